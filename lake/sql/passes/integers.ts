import type { Node } from 'libpg-query';
import { as, namesOf, plainName } from '../ast.ts';

const integerTypes = /^(int2|int4|int8|oid|smallint|integer|bigint)$/;
const integerColumns = /^(series_id|stream_id|timestamp_ns|oid|attnum|ordinal_position)$/;
const integerFunctions =
  /^(count|length|char_length|character_length|strlen|strpos|len|row_number|rank|dense_rank|ntile|epoch_ms|epoch_us|epoch_ns|date_diff)$/;
/** Whose result is an integer when their arguments are. */
const keeping = /^(abs|min|max|mod|sign|greatest|least|lag|lead|first_value|last_value|any_value)$/;

/** Whether an expression is certain to be an integer, as far as can be told without knowing the columns' types. */
export function isInteger(node: Node | undefined): boolean {
  const constant = as(node, 'A_Const');
  if (constant) return constant.ival !== undefined;
  const cast = as(node, 'TypeCast');
  if (cast) return integerTypes.test(plainName(cast.typeName?.names) ?? '') && !cast.typeName?.arrayBounds;
  const column = as(node, 'ColumnRef');
  if (column) return integerColumns.test(namesOf(column.fields).at(-1) ?? '');
  const found = as(node, 'FuncCall');
  if (found) {
    const name = namesOf(found.funcname).at(-1) ?? '';
    return integerFunctions.test(name) || (keeping.test(name) && (found.args ?? []).every(isInteger));
  }
  const sum = as(node, 'A_Expr');
  if (sum?.kind !== 'AEXPR_OP' || !/^([+*%-]|\/\/)$/.test(namesOf(sum.name).at(-1) ?? '')) return false;
  return (sum.lexpr === undefined || isInteger(sum.lexpr)) && isInteger(sum.rexpr);
}
