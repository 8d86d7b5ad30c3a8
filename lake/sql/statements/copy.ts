import type { Node } from 'libpg-query';
import { as, type Fields, namesOf } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import type { ParsedStatement } from '../parse.ts';
import type { CopyFormat, SqlStatement } from '../sql-session.ts';

// COPY (query) TO STDOUT and COPY table (columns) TO STDOUT: a SELECT whose rows go out in a format of their own.
// https://www.postgresql.org/docs/16/sql-copy.html

/** The statement, or undefined when the node is no COPY to the client. Throws SqlError for options that are wrong. */
export async function copyStatement(
  node: Node,
  parsed: ParsedStatement,
  select: (node: Node) => Promise<SqlStatement>,
): Promise<SqlStatement | undefined> {
  const copy = as(node, 'CopyStmt');
  if (!copy || copy.is_from) return undefined;
  const position = parsed.positionOf(0);
  if (copy.filename !== undefined || copy.is_program) {
    throw new SqlError('42501', `permission denied to COPY to a ${copy.is_program ? 'program' : 'file'}`, {
      position,
      hint: 'COPY ... TO STDOUT (or \\copy of psql) gives the rows to the client',
    });
  }
  const format = copyFormat(copy.options ?? [], position, 'to STDOUT');
  const query = copy.query ?? selectOf(copy);
  const statement = await select(query);
  if (statement.parameterTypes.length > 0)
    throw new SqlError('42P02', 'COPY takes no parameters', { position });
  return { ...statement, copy: format };
}

function selectOf({ relation, attlist }: Fields<'CopyStmt'>): Node {
  if (!relation) throw notSupported('COPY without a table');
  const names = namesOf(attlist);
  const columns = names.length === 0 ? [undefined] : names;
  const targetList = columns.map((sval): Node => {
    const field: Node = sval === undefined ? { A_Star: {} } : { String: { sval } };
    return { ResTarget: { val: { ColumnRef: { fields: [field] } } } };
  });
  return { SelectStmt: { targetList, fromClause: [{ RangeVar: relation }] } };
}

type Option = Fields<'DefElem'>;

/** Throws SqlError for options that are wrong, or not known in this direction. */
export function copyFormat(
  nodes: readonly Node[],
  position: number | undefined,
  direction: 'to STDOUT' | 'from STDIN',
): CopyFormat {
  const options = new Map<string, Option>();
  for (const node of nodes) {
    const option = as(node, 'DefElem');
    const name = option?.defname ?? '';
    if (options.has(name)) throw new SqlError('42601', 'conflicting or redundant options', { position });
    if (option) options.set(name, option);
  }
  const value = (name: string): string | undefined => {
    const option = options.get(name);
    return option && textValue(option.arg);
  };
  const bad = (message: string): SqlError => new SqlError('22023', message, { position });
  const format = value('format') ?? 'text';
  if (format !== 'text' && format !== 'csv' && format !== 'binary') {
    throw bad(`COPY format "${format}" not recognized`);
  }
  const known = format === 'csv' ? csvOptions : format === 'text' ? textOptions : binaryOptions;
  for (const name of options.keys()) {
    if (!known.includes(name)) throw bad(`COPY ${name} is not available in ${format} format ${direction}`);
  }
  if (format === 'binary') return { kind: 'binary' };
  const one = (name: string, otherwise: string): string => {
    const text = value(name) ?? otherwise;
    if (Buffer.byteLength(text) !== 1) throw bad(`COPY ${name} must be a single one-byte character`);
    return text;
  };
  const delimiter = one('delimiter', format === 'csv' ? ',' : '\t');
  const header = isOn(options.get('header'));
  const encoding = value('encoding') ?? 'UTF8';
  if (!/^utf-?8$/i.test(encoding)) throw notSupported(`encoding ${encoding}`, position);
  if (format === 'text') return { kind: 'text', delimiter, header, absent: value('null') ?? '\\N' };
  const quote = one('quote', '"');
  return {
    ...{ kind: 'csv', delimiter, header, absent: value('null') ?? '', quote },
    escape: one('escape', quote),
    forced: forcedColumns(options.get('force_quote')),
  };
}

const binaryOptions = ['format', 'encoding'];
const textOptions = [...binaryOptions, 'delimiter', 'null', 'header'];
const csvOptions = [...textOptions, 'quote', 'escape', 'force_quote'];

function forcedColumns(option: Option | undefined): readonly string[] | 'all' {
  if (!option) return [];
  return as(option.arg, 'A_Star') ? 'all' : namesOf(as(option.arg, 'List')?.items);
}

function textValue(node: Node | undefined): string {
  const text = as(node, 'String')?.sval;
  const integer = as(node, 'Integer');
  return text ?? (integer ? String(integer.ival ?? 0) : '');
}

function isOn(option: Option | undefined): boolean {
  if (!option) return false;
  const boolean = as(option.arg, 'Boolean');
  if (boolean) return boolean.boolval ?? false;
  return option.arg === undefined || /^(true|on|1|match)$/i.test(textValue(option.arg));
}
