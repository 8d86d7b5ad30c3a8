import type { DuckDBPreparedStatement } from '@duckdb/node-api';
import { SqlError } from '../errors.ts';
import { parseArray } from '../passes/arrays.ts';

/**
 * Gives a prepared statement its parameters, PostgreSQL's texts. DuckDB casts text to the type that the statement wants
 * and reads most of PostgreSQL's spellings; `types` says where it would not: bytea and arrays. Plain numbers are given as
 * such, because DuckDB plans a statement anew for values of another type. Throws SqlError 08P01.
 */
export function bindTexts(
  prepared: DuckDBPreparedStatement,
  texts: readonly (string | null)[],
  types: readonly (string | null | undefined)[],
): void {
  const count = prepared.parameterCount;
  if (count > texts.length) {
    const message = `bind message supplies ${texts.length} parameters, but the statement requires ${count}`;
    throw new SqlError('08P01', message);
  }
  for (let index = 1; index <= count; index++) {
    const text = texts[index - 1] ?? null;
    const type = types[index - 1] ?? '';
    if (text === null) prepared.bindNull(index);
    else if (type === 'BLOB') prepared.bindBlob(index, bytesOf(text));
    else if (type === 'INTEGER' && plainInteger.test(text)) prepared.bindInteger(index, Number(text));
    else if (type === 'BIGINT' && plainBigint.test(text)) prepared.bindBigInt(index, BigInt(text));
    else if (type === 'DOUBLE' && plainDouble.test(text)) prepared.bindDouble(index, Number(text));
    else prepared.bindVarchar(index, type.endsWith('[]') ? listText(text, type) : text);
  }
}

/** Texts of numbers that both read alike, and that are within the type. */
const plainInteger = /^-?\d{1,9}$/;
const plainBigint = /^-?\d{1,18}$/;
const plainDouble = /^-?\d{1,15}(\.\d{1,15})?$/;

/** `\x00ff`; anything else is the bytes of the text. */
function bytesOf(text: string): Uint8Array {
  return /^\\x([0-9a-f]{2})*$/i.test(text) ? Buffer.from(text.slice(2), 'hex') : Buffer.from(text);
}

/** `{1,2}` as DuckDB writes a list: `[1, 2]`. What is not a one-dimensional array is left for DuckDB to judge. */
export function listText(text: string, type: string): string {
  const elements = parseArray(text);
  if (!elements) return text;
  const isText = type.startsWith('VARCHAR');
  const quoted = (element: string): string => `'${element.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  return `[${elements.map((element) => (element === null ? 'NULL' : isText ? quoted(element) : element)).join(', ')}]`;
}
