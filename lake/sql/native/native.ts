import type { DuckDBConnection } from '@duckdb/node-api';
import { sqlText } from '../duckdb/engine.ts';
import { notSupported, SqlError } from '../errors.ts';
import type { Template } from '../print/template.ts';
import type { CheckedNative, JsonNode } from './check.ts';

// DuckDB's own parser, as a function of DuckDB: a text to its syntax tree, and a tree to text.

// Of ECMAScript 2026, and of Node 24, but not of TypeScript's library.
declare global {
  interface JSON {
    rawJSON(text: string): object;
    isRawJSON(value: unknown): boolean;
    parse(
      text: string,
      reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
    ): unknown;
  }
}

interface Serialized {
  readonly error: boolean;
  readonly error_type?: string;
  readonly error_message?: string;
  /** 0-based. */
  readonly position?: string;
  readonly statements?: readonly JsonNode[];
}

/**
 * The statements of a text. Throws `refusal`, which is PostgreSQL's, when DuckDB's parser does not get further than
 * PostgreSQL's did, SqlError 42601 when it does, and 0A000 for what is no query.
 */
export async function serialize(
  connection: DuckDBConnection,
  text: string,
  refusal: SqlError,
): Promise<readonly JsonNode[]> {
  const { error, error_type, error_message, position, statements } = await serialized(connection, text);
  if (!error) return statements ?? [];
  if (error_type === 'not implemented')
    throw notSupported(
      'this statement of DuckDB',
      undefined,
      'queries are answered, FROM, SELECT, SUMMARIZE and DESCRIBE; PIVOT needs its values: ON name IN (…)',
    );
  const reached = position === undefined ? 0 : Number(position) + 1;
  if (reached <= (refusal.position ?? 0) || error_message === undefined) throw refusal;
  throw new SqlError('42601', error_message, { position: reached });
}

async function serialized(connection: DuckDBConnection, text: string): Promise<Serialized> {
  const sql = `SELECT CAST(json_serialize_sql(${sqlText(text)}) AS VARCHAR)`;
  let row: readonly unknown[] | undefined;
  try {
    [row] = (await connection.runAndReadAll(sql)).getRows();
  } catch {
    // A text that DuckDB does not even look at, as one that is nested too deeply.
    return { error: true };
  }
  return JSON.parse(String(row?.[0]), exactNumbers) as Serialized;
}

/** Numbers stay as they are written: some have more digits than JavaScript's, and 10.0 is not 10. */
const exactNumbers = (_: string, value: unknown, { source }: { source?: string }): unknown =>
  typeof value === 'number' && source !== undefined && source !== String(value)
    ? JSON.rawJSON(source)
    : value;

/** DuckDB's text of statements, separated by semicolons. */
export async function deserialize(
  connection: DuckDBConnection,
  statements: readonly JsonNode[],
): Promise<string> {
  const json = JSON.stringify({ error: false, statements });
  const [row] = (await connection.runAndReadAll(`SELECT json_deserialize_sql(${sqlText(json)})`)).getRows();
  return String(row?.[0]);
}

/** The statement's text, cut at its holes. */
export function templateOf(sql: string, { mark, holes }: CheckedNative): Template {
  const parts = sql.split(mark).map((part, index) => {
    if (index % 2 === 0) return part;
    const hole = holes[Number(part)];
    if (!hole) throw new Error('a mark without a hole');
    return hole;
  });
  return { parts, marks: [] };
}
