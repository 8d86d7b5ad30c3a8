import type { DuckDBValue } from '@duckdb/node-api';
import { escapedTexts } from '../../sql/cells/escaped-texts.ts';
import { plainTexts, type TextStyle, textField } from '../../sql/cells/fields.ts';
import { separatedRows } from '../../sql/cells/rows.ts';
import type { SqlResult } from '../../sql/sql-session.ts';
import { rowPieces } from './row-pieces.ts';
import { httpTextStyle, textOf } from './text.ts';

/** Before every row; of the first one it is left out. */
const separator = ',\n';

/**
 * A result as JSON text in pieces: `{"columns":[{"name","type"}],"rows":[[...]]}`. JSON columns are JSON, times are
 * RFC 3339 in UTC, integers beyond 2^53 and numbers that JSON has no word for (NaN) are strings, everything else that is
 * not a number, boolean or null is text as SQL prints it. An error after the first row ends it with an `error` member.
 */
export async function* jsonPieces(
  result: SqlResult,
  describeError: (error: unknown) => object,
): AsyncGenerator<Uint8Array> {
  const columns = result.columns ?? [];
  yield Buffer.from(`{"columns":${JSON.stringify(columns)},"rows":[`);
  const frame = separatedRows(columns.length, ','.charCodeAt(0), {
    ...{ begin: `${separator}[`, end: ']', absent: 'null' },
  });
  const pieces = rowPieces(
    result,
    (chunk, { type }, index) =>
      textField(chunk, index, type === 'JSON' ? documents : strings, (value) => printValue(value, type)),
    frame,
  );
  try {
    let before = separator.length;
    for await (const piece of pieces) {
      yield piece.subarray(before);
      before = 0;
    }
    yield Buffer.from(']}\n');
  } catch (error) {
    yield Buffer.from(`],"error":${JSON.stringify(describeError(error))}}\n`);
  }
}

/** Characters that a JSON string can't have as they are, as JSON.stringify writes them. */
const escapes = [...Array(0x20).keys(), 0x22, 0x5c].map((code): [number, string] => [
  code,
  JSON.stringify(String.fromCharCode(code)).slice(1, -1),
]);

const strings: TextStyle = {
  ...httpTextStyle,
  timeQuote: '"',
  texts: escapedTexts({ replaced: new Map(escapes), quote: 0x22 }),
};

const documents: TextStyle = { ...strings, texts: plainTexts };

function printValue(value: Exclude<DuckDBValue, null>, type: string): string {
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : `"${value}"`;
  if (typeof value === 'bigint') {
    return Number.isSafeInteger(Number(value)) ? String(value) : `"${value}"`;
  }
  if (type === 'JSON') return String(value);
  return JSON.stringify(textOf(value, type));
}
