import type { Node } from 'libpg-query';
import { as, type Fields, namesOf, plainName, rewrite, walk } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import { castRules } from '../passes/casts.ts';
import { functionRulesAt } from '../passes/functions.ts';
import { sequenceRule } from '../passes/sequences.ts';
import { printValue } from '../print/printer.ts';
import { fill } from '../print/template.ts';
import { printType } from '../print/types.ts';
import type { SqlColumn } from '../sql-session.ts';
import type { TempColumn, TempConstraint, TempTableDefinition } from '../temp-definition.ts';
import { nextvalSql, type SequenceOptions } from '../temp-sequences.ts';
import type { TempTables } from '../temp-tables.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { analyzeQuery } from './query.ts';
import { sequenceOptions } from './temp-sequence.ts';

// Columns and constraints, as CREATE TABLE and ALTER TABLE name them.

/** A column whose numbers come from a sequence that there is not yet. */
interface DraftColumn extends TempColumn {
  readonly numbers?: SequenceOptions;
}

export interface Draft {
  readonly columns: readonly DraftColumn[];
  readonly constraints: readonly TempConstraint[];
}

/** Throws SqlError 42704 for a type that there is not, 0A000 for what a temporary table can't have. */
export async function draftOf(
  table: string,
  elements: readonly Node[],
  input: SelectInput,
  context: SelectContext,
): Promise<Draft> {
  const columns: DraftColumn[] = [];
  const constraints: TempConstraint[] = [];
  for (const element of elements) {
    const column = as(element, 'ColumnDef');
    const constraint = as(element, 'Constraint');
    const like = as(element, 'TableLikeClause')?.relation;
    if (column) {
      const drafted = columnOf(column, input, context);
      columns.push(drafted.column);
      constraints.push(...drafted.constraints);
    } else if (constraint) constraints.push(constraintOf(constraint, input, context));
    else if (like) columns.push(...(await columnsLike({ RangeVar: like }, input, context)));
    else throw notSupported('this part of a table', input.positionOf(0));
  }
  const keys = constraints.filter(({ kind }) => kind === 'primary');
  if (keys.length > 1)
    throw new SqlError('42P16', `multiple primary keys for table "${table}" are not allowed`);
  return { columns: withKey(columns, constraints), constraints };
}

/** What is in a primary key is never NULL. */
export const withKey = <T extends TempColumn>(
  columns: readonly T[],
  constraints: readonly TempConstraint[],
): readonly T[] => {
  const [key] = constraints.filter(({ kind }) => kind === 'primary');
  return columns.map((column) =>
    key?.columns.includes(column.name) ? { ...column, notNull: true } : column,
  );
};

/** Makes the sequences of its columns. */
export async function definitionOf(
  table: string,
  { columns, constraints }: Draft,
  temp: TempTables,
): Promise<Omit<TempTableDefinition, 'onCommit'>> {
  const made: TempColumn[] = [];
  for (const { numbers, ...column } of columns) {
    const sequence = numbers && (await temp.sequences.create(`${table}_${column.name}_seq`, numbers));
    made.push(sequence ? { ...column, notNull: true, default: nextvalSql(sequence) } : column);
  }
  return { name: table, columns: made, constraints };
}

/** A column whose default is the next number of a sequence. */
export const isNumbered = ({ default: value = '' }: TempColumn): boolean => value.startsWith('nextval(');

async function columnsLike(
  relation: Node,
  input: SelectInput,
  context: SelectContext,
): Promise<readonly TempColumn[]> {
  const targetList: Node[] = [{ ResTarget: { val: { ColumnRef: { fields: [{ A_Star: {} }] } } } }];
  const node: Node = { SelectStmt: { targetList, fromClause: [relation] } };
  const { columns } = await (await analyzeQuery({ ...input, node }, context)).describe();
  return columns.map(plainColumn);
}

/** A column of nothing but NULL is text, as in PostgreSQL. */
export const plainColumn = ({ name, type }: SqlColumn): TempColumn => ({
  name,
  type: type === '"NULL"' ? 'VARCHAR' : type,
  notNull: false,
});

const serialTypes: Readonly<Record<string, string>> = {
  smallserial: 'SMALLINT',
  serial2: 'SMALLINT',
  serial: 'INTEGER',
  serial4: 'INTEGER',
  bigserial: 'BIGINT',
  serial8: 'BIGINT',
};

export function columnOf(
  { colname: name = '', typeName, constraints: nodes = [] }: Fields<'ColumnDef'>,
  input: SelectInput,
  context: SelectContext,
): { readonly column: DraftColumn; readonly constraints: readonly TempConstraint[] } {
  const serial = serialTypes[plainName(typeName?.names) ?? ''];
  const { type, lengthMax } = serial ? { type: serial } : printType(typeName, input.positionOf);
  let column: DraftColumn = { name, type, lengthMax, notNull: false };
  if (serial) column = { ...column, numbers: { cycles: false } };
  const constraints: TempConstraint[] = [];
  for (const node of nodes) {
    const found = as(node, 'Constraint') ?? {};
    switch (found.contype) {
      case 'CONSTR_NULL':
        break;
      case 'CONSTR_NOTNULL':
        column = { ...column, notNull: true };
        break;
      case 'CONSTR_DEFAULT':
        column = { ...column, default: valueSql(found.raw_expr, input, context) };
        break;
      case 'CONSTR_IDENTITY': {
        const numbers = sequenceOptions(found.options ?? [], input);
        column = { ...column, numbers, always: found.generated_when === 'a' };
        break;
      }
      default:
        constraints.push(constraintOf(found, input, context, name));
    }
  }
  return { column, constraints };
}

/** `column` is the one that it stands at. */
export function constraintOf(
  { contype, conname, keys, raw_expr: expression, location }: Fields<'Constraint'>,
  input: SelectInput,
  context: SelectContext,
  column?: string,
): TempConstraint {
  const columns = keys ? namesOf(keys) : column === undefined ? [] : [column];
  switch (contype) {
    case 'CONSTR_PRIMARY':
      return { name: conname, kind: 'primary', columns };
    case 'CONSTR_UNIQUE':
      return { name: conname, kind: 'unique', columns };
    case 'CONSTR_CHECK':
      return { name: conname, kind: 'check', columns, sql: valueSql(expression, input, context) };
    default:
      throw notSupported('this constraint of a temporary table', input.positionOf(location));
  }
}

/** SQL of a value that is computed for each row. */
export function valueSql(
  expression: Node | undefined,
  { positionOf }: SelectInput,
  { temp }: SelectContext,
): string {
  if (!expression) throw notSupported('a constraint without an expression');
  walk(expression, (each) => {
    if (as(each, 'SubLink')) throw notSupported('a subquery in DEFAULT, CHECK or USING', positionOf(0));
  });
  const rules = [sequenceRule(temp.sequences, positionOf), ...functionRulesAt(positionOf), ...castRules];
  const root = rewrite(expression, rules);
  // Without a subquery there is no hole but the time, here that of the statement that needs the value.
  return fill(printValue(root, { positionOf, parameterTypes: [] }), () => 'now()').sql;
}
