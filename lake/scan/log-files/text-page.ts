import { type ColumnChunk, corrupt, type PageRef, unsupported } from '../../parquet/columns-file.ts';
import { decodeHybrid } from '../../parquet/hybrid-runs.ts';
import { encodings } from '../../parquet/parquet-pages.ts';

// Pages of a column of texts, as their bytes: no text is made before somebody wants to see it.

/** Texts as they lie in a page, each behind its length in four bytes. */
export interface Entries {
  readonly body: Buffer;
  readonly count: number;
  /** Where each text's length begins, and at last where the texts end. */
  starts(): Uint32Array;
}

export interface TextPage {
  /** Among the rows of the row group. */
  readonly firstRow: number;
  readonly rows: number;
  readonly entries: Entries;
  /** Which entry each row has, or `noEntry` for null; absent: each its own. */
  readonly codes: Uint32Array | undefined;
}

export const noEntry = 0xffff_ffff;

/** Where a text begins, and whether it is flat JSON. */
const rememberedBytes = 5;

export const textPageBytes = ({ entries, codes }: TextPage): number =>
  entries.body.byteLength + rememberedBytes * entries.count + (codes?.byteLength ?? 0);

export function entryText({ body, starts }: Entries, entry: number): string {
  const at = starts();
  return body.toString('utf8', (at[entry] ?? 0) + 4, at[entry + 1] ?? 0);
}

export const entryBytes = ({ starts }: Entries, entry: number): number => {
  const at = starts();
  return (at[entry + 1] ?? 0) - (at[entry] ?? 0) - 4;
};

/** Bytes of the texts of the rows [from, to) of the row group. */
export function bytesOfRows(page: TextPage, from: number, to: number): number {
  const { entries, codes, firstRow, rows } = page;
  if (codes === undefined) {
    const lengths = 4 * (to - from);
    if (to - from === rows) return entries.body.byteLength - lengths;
    const at = entries.starts();
    return (at[to - firstRow] ?? 0) - (at[from - firstRow] ?? 0) - lengths;
  }
  let sum = 0;
  for (let row = from; row < to; row++) {
    const entry = entryOf(page, row);
    if (entry !== noEntry) sum += entryBytes(entries, entry);
  }
  return sum;
}

/** The entry of a row of the row group. */
export const entryOf = ({ codes, firstRow }: TextPage, row: number): number =>
  codes === undefined ? row - firstRow : (codes[row - firstRow] ?? noEntry);

/** `body` holds `count` texts and nothing else. */
export function plainEntries(path: string, body: Buffer, count: number): Entries {
  let known: Uint32Array | undefined;
  return {
    body,
    count,
    starts: () => {
      known ??= startsOf(path, body, count);
      return known;
    },
  };
}

function startsOf(path: string, body: Buffer, count: number): Uint32Array {
  const starts = new Uint32Array(count + 1);
  const end = body.byteLength;
  let at = 0;
  for (let entry = 0; entry < count; entry++) {
    starts[entry] = at;
    if (at + 4 > end) throw corrupt(path, 'a page of texts is too short');
    const length =
      (body[at] ?? 0) |
      ((body[at + 1] ?? 0) << 8) |
      ((body[at + 2] ?? 0) << 16) |
      ((body[at + 3] ?? 0) << 24);
    at += 4 + (length >>> 0);
  }
  if (at !== end) throw corrupt(path, 'a page of texts has another length');
  starts[count] = at;
  return starts;
}

/** Parquet's name for a dictionary in newer files. */
const RLE_DICTIONARY = 8;

/** Reads a data page. Throws FirnError `corrupt`, or `unsupported` for what no writer of ours makes. */
export function textPage(
  path: string,
  chunk: ColumnChunk,
  page: PageRef,
  body: Buffer,
  dictionary: Entries | undefined,
): TextPage {
  const { firstRow, values: rows, encoding } = page;
  const { levels, rest, present } = definitionLevels(chunk, rows, body);
  if (encoding === encodings.plain) {
    const entries = plainEntries(path, rest, present);
    return { firstRow, rows, entries, codes: levels && codesOf(levels, (index) => index) };
  }
  if (encoding !== encodings.dictionary && encoding !== RLE_DICTIONARY)
    throw unsupported(path, `it has texts with encoding ${encoding}`);
  if (dictionary === undefined) throw corrupt(path, 'it has no dictionary');
  const codes = present === 0 ? new Uint32Array() : decodeHybrid(rest.subarray(1), rest[0] ?? 0, present);
  if (codes.some((code) => code >= dictionary.count)) throw corrupt(path, 'a code has no entry');
  const ofRows = levels === undefined ? codes : codesOf(levels, (index) => codes[index] ?? noEntry);
  return { firstRow, rows, entries: dictionary, codes: ofRows };
}

/** `levels` is undefined where no row is null. */
export function definitionLevels(
  { optional }: ColumnChunk,
  rows: number,
  body: Buffer,
): { readonly levels: Uint32Array | undefined; readonly rest: Buffer; readonly present: number } {
  if (!optional) return { levels: undefined, rest: body, present: rows };
  const length = body.readUInt32LE(0);
  const levels = decodeHybrid(body.subarray(4, 4 + length), 1, rows);
  let present = 0;
  for (let row = 0; row < rows; row++) present += levels[row] ?? 0;
  return { levels: present === rows ? undefined : levels, rest: body.subarray(4 + length), present };
}

function codesOf(levels: Uint32Array, codeOf: (index: number) => number): Uint32Array {
  const codes = new Uint32Array(levels.length);
  let index = 0;
  for (let row = 0; row < levels.length; row++) codes[row] = levels[row] === 1 ? codeOf(index++) : noEntry;
  return codes;
}
