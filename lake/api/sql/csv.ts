import type { SqlResult } from '../../sql/sql-session.ts';
import { textOf } from './json.ts';

/**
 * A result as CSV in pieces (RFC 4180): a line of column names, then a line for each row. NULL is an empty field, an empty
 * text is `""`; times are RFC 3339. CSV has no place for an error after the first row: the stream breaks off.
 */
export async function* csvPieces(result: SqlResult): AsyncGenerator<string> {
  const columns = result.columns ?? [];
  yield `${columns.map(({ name }) => field(name)).join(',')}\r\n`;
  for await (const chunk of result.chunks()) {
    const lines = chunk
      .rows()
      .map((row) =>
        row
          .map((value, index) =>
            value === null || value === undefined ? '' : field(textOf(value, columns[index]?.type ?? '')),
          )
          .join(','),
      );
    yield `${lines.join('\r\n')}\r\n`;
  }
}

function field(text: string): string {
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
