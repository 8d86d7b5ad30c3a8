import type { DuckDBValue } from '@duckdb/node-api';
import type { SqlColumn, SqlResult } from '../../sql/sql-session.ts';

/**
 * A result as JSON text in pieces: `{"columns":[{"name","type"}],"rows":[[...]]}`. JSON columns are JSON, times are
 * RFC 3339 in UTC, integers beyond 2^53 and numbers that JSON has no word for (NaN) are strings, everything else that is
 * not a number, boolean or null is text as SQL prints it. An error after the first row ends it with an `error` member.
 */
export async function* jsonPieces(
  result: SqlResult,
  describeError: (error: unknown) => object,
): AsyncGenerator<string> {
  const columns = result.columns ?? [];
  yield `{"columns":${JSON.stringify(columns)},"rows":[`;
  let separator = '';
  try {
    for await (const chunk of result.chunks()) {
      yield separator +
        chunk
          .rows()
          .map((row) => printRow(row, columns))
          .join(',\n');
      separator = ',\n';
    }
    yield ']}\n';
  } catch (error) {
    yield `],"error":${JSON.stringify(describeError(error))}}\n`;
  }
}

const printRow = (row: readonly DuckDBValue[], columns: readonly SqlColumn[]): string =>
  `[${row.map((value, index) => printValue(value, columns[index]?.type ?? '')).join(',')}]`;

function printValue(value: DuckDBValue, type: string): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : `"${value}"`;
  if (typeof value === 'bigint') {
    return Number.isSafeInteger(Number(value)) ? String(value) : `"${value}"`;
  }
  if (type === 'JSON') return String(value);
  return JSON.stringify(textOf(value, type));
}

/** A value as text; times in the form that JSON's users expect. */
export function textOf(value: Exclude<DuckDBValue, null>, type: string): string {
  const text = String(value);
  return type === 'TIMESTAMP WITH TIME ZONE' ? text.replace(' ', 'T').replace(/\+00$/, 'Z') : text;
}
