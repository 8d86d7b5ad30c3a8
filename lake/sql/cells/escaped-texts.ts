import { type Bytes, copyBytes, equalBytes } from '../duckdb/bytes.ts';
import { isValid } from '../duckdb/vectors.ts';
import type { ByteWriter } from './byte-writer.ts';
import { madeField, type TextStyle } from './fields.ts';

/** How a format writes texts that its own characters may stand in. */
export interface Escapes {
  /** What is written for a byte; every other byte stands for itself. */
  readonly replaced: ReadonlyMap<number, string>;
  /** ASCII code of what stands before and behind a text; undefined: nothing does. */
  readonly quote?: number;
  /**
   * Texts with one of these bytes are quoted, and these whole texts; all others are written as they are, without
   * replacing a byte. Undefined: every text is quoted.
   */
  readonly quotedFor?: { readonly bytes: string; readonly texts: readonly string[] };
}

/** The texts of a `TextStyle`, for a format with such escapes. */
export function escapedTexts({ replaced, quote, quotedFor }: Escapes): TextStyle['texts'] {
  const replacements = Array.from({ length: 256 }, (_, byte) => {
    const text = replaced.get(byte);
    return text === undefined ? undefined : Buffer.from(text);
  });
  const growth = Math.max(1, ...replacements.map((each) => each?.length ?? 1));
  const toReplace = Uint8Array.from(replacements, (each) => (each ? 1 : 0));
  const needsQuotes = quotedFor && quotesTest(quotedFor);

  const put = (source: Bytes, from: number, length: number, out: ByteWriter): void => {
    const target = out.reserve(2 + length * growth);
    const { bytes } = target;
    let at = out.length;
    const end = from + length;
    const asItIs = needsQuotes !== undefined && !needsQuotes(source.bytes, from, end);
    const isQuoted = quote !== undefined && !asItIs;
    if (isQuoted) bytes[at++] = quote;
    const replacing = asItIs ? end : firstMarked(source.bytes, from, end, toReplace);
    copyBytes(source, from, target, at, replacing - from);
    at += replacing - from;
    for (let index = replacing; index < end; index++) {
      const byte = source.bytes[index] as number;
      const replacement = replacements[byte];
      if (replacement === undefined) bytes[at++] = byte;
      else for (let each = 0; each < replacement.length; each++) bytes[at++] = replacement[each] as number;
    }
    if (isQuoted) bytes[at++] = quote;
    out.setLength(at);
  };

  return (text, valid) => {
    // Rows of a sorted table often have the text of the row before: what was made of that stands for both.
    let last = text.source;
    let lastFrom = 0;
    let lastLength = -1;
    let made = -1;
    return madeField((row, out) => {
      if (!isValid(valid, row)) {
        lastLength = -1;
        return -1;
      }
      const from = text.find(row);
      const length = text.lengthOf(row);
      const { source } = text;
      // Another block begins with nothing made.
      // A text of Parquet's dictionary stands in memory once for all its rows.
      const isThere = last === source && lastFrom === from;
      const isSame =
        out.length > 0 &&
        lastLength === length &&
        (isThere || equalBytes(last, lastFrom, source, from, length));
      last = source;
      lastFrom = from;
      lastLength = length;
      if (isSame) return made;
      made = out.length;
      put(source, from, length, out);
      return made;
    });
  };
}

/** Tells whether a text needs quotes. */
function quotesTest({
  bytes,
  texts,
}: NonNullable<Escapes['quotedFor']>): (source: Uint8Array, from: number, end: number) => boolean {
  const marks = new Uint8Array(256);
  for (const byte of Buffer.from(bytes)) marks[byte] = 1;
  const whole = texts.map((text) => Buffer.from(text));
  return (source, from, end) =>
    firstMarked(source, from, end, marks) < end ||
    whole.some(
      (text) => text.length === end - from && text.every((byte, index) => source[from + index] === byte),
    );
}

function firstMarked(bytes: Uint8Array, from: number, end: number, marks: Uint8Array): number {
  let at = from;
  while (at < end && marks[bytes[at] as number] === 0) at++;
  return at;
}
