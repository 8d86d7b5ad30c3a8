import { escapedTexts } from '../../sql/cells/escaped-texts.ts';
import { textField } from '../../sql/cells/fields.ts';
import { separatedRows } from '../../sql/cells/rows.ts';
import type { SqlResult } from '../../sql/sql-session.ts';
import { rowPieces } from './row-pieces.ts';
import { httpTextStyle, textOf } from './text.ts';

const quote = '"';
const special = ',"\r\n';

const style = {
  ...httpTextStyle,
  timeQuote: '',
  texts: escapedTexts({
    replaced: new Map([[quote.charCodeAt(0), quote + quote]]),
    quote: quote.charCodeAt(0),
    quotedFor: { bytes: special, texts: [''] },
  }),
} as const;

/**
 * A result as CSV in pieces (RFC 4180): a line of column names, then a line for each row. NULL is an empty field, an empty
 * text is `""`; times are RFC 3339. CSV has no place for an error after the first row: the stream breaks off.
 */
export async function* csvPieces(result: SqlResult): AsyncGenerator<Uint8Array> {
  const columns = result.columns ?? [];
  yield Buffer.from(`${columns.map(({ name }) => field(name)).join(',')}\r\n`);
  yield* rowPieces(
    result,
    (chunk, { type }, index) => textField(chunk, index, style, (value) => field(textOf(value, type))),
    separatedRows(columns.length, ','.charCodeAt(0), { begin: '', end: '\r\n', absent: '' }),
  );
}

function field(text: string): string {
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
