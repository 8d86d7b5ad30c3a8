import { type ColumnChunk, corrupt, listPages, readPage, unsupported } from './columns-file.ts';
import { decodeDeltaNumbers } from './delta-packed.ts';
import { decodeHybrid } from './hybrid-runs.ts';
import { encodings } from './parquet-pages.ts';

// Whole column chunks as typed arrays, near the form that they have in the file: what a dictionary holds stays in it.

/** Not of bytes, so that loops over them see few kinds of arrays. */
export type Codes = Uint16Array | Uint32Array;

interface Cells {
  /** Which entry each row has; undefined when entries are one a row. Of a null it means nothing. */
  readonly codes: Codes | undefined;
  /** 1 for rows that have a value; undefined when all have. */
  readonly present: Uint8Array | undefined;
}

/** 64-bit values as they are in the file. */
export interface WideCells extends Cells {
  readonly entries: BigInt64Array;
}

export interface TextCells extends Cells {
  text(row: number): string;
}

/** Parquet's name for a dictionary in newer files. */
const RLE_DICTIONARY = 8;

/** Reads a chunk of 64-bit numbers. Throws FirnError `unsupported` for pages that no writer of ours makes. */
export function readWideCells(fd: number, path: string, chunk: ColumnChunk): WideCells {
  const { dictionary, codes, present, plain } = readCells(fd, path, chunk);
  if (dictionary === undefined && plain.length > 1 && present !== undefined)
    throw unsupported(path, 'its nulls are spread over pages');
  const bytes = dictionary ?? Buffer.concat(plain.map(({ body }) => body));
  const entries = new BigInt64Array(
    Uint8Array.from(bytes.subarray(0, bytes.length - (bytes.length % 8))).buffer,
  );
  if (dictionary !== undefined) return { entries, codes, present };
  if (present === undefined) {
    if (entries.length < chunk.values) throw corrupt(path, 'a page is too short');
    return { entries, codes: undefined, present };
  }
  const spread = new BigInt64Array(chunk.values);
  let next = 0;
  for (let row = 0; row < spread.length; row++) if (present[row] === 1) spread[row] = entries[next++] ?? 0n;
  return { entries: spread, codes: undefined, present };
}

/** Times as numbers, one a row; undefined when they are not packed as differences. */
export function readPackedTimes(fd: number, path: string, chunk: ColumnChunk): Float64Array | undefined {
  const pages = listPages(fd, path, chunk);
  if (pages.some(({ dictionary, encoding }) => dictionary || encoding !== encodings.delta)) return undefined;
  const times = new Float64Array(chunk.values);
  for (const page of pages) {
    const body = readPage(fd, path, chunk.codec, page);
    const values = chunk.optional ? body.subarray(4 + body.readUInt32LE(0)) : body;
    if (!decodeDeltaNumbers(values, times.subarray(page.firstRow, page.firstRow + page.values)))
      return undefined;
  }
  return times;
}

/** Reads a chunk of texts. */
export function readTextCells(fd: number, path: string, chunk: ColumnChunk): TextCells {
  const { dictionary, codes, present, plain } = readCells(fd, path, chunk);
  if (dictionary === undefined && (present !== undefined || plain.length !== 1))
    throw unsupported(path, 'its texts are not in a dictionary');
  const bytes = dictionary ?? plain[0]?.body ?? Buffer.alloc(0);
  const starts: number[] = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4 + bytes.readUInt32LE(at)) starts.push(at + 4);
  const text = (row: number): string => {
    const start = starts[codes ? (codes[row] ?? -1) : row];
    if (start === undefined) throw corrupt(path, 'a text is missing');
    return bytes.toString('utf8', start, start + bytes.readUInt32LE(start - 4));
  };
  return { codes, present, text };
}

/** Which rows of a chunk have a value; undefined when all have. */
export function readPresence(fd: number, path: string, chunk: ColumnChunk): Uint8Array | undefined {
  return readCells(fd, path, chunk).present;
}

interface RawCells extends Cells {
  readonly dictionary: Buffer | undefined;
  readonly plain: readonly { readonly body: Buffer }[];
}

function readCells(fd: number, path: string, chunk: ColumnChunk): RawCells {
  let dictionary: Buffer | undefined;
  let entries = 0;
  let codes: Codes | undefined;
  let present: Uint8Array | undefined;
  const plain: { readonly body: Buffer }[] = [];
  for (const page of listPages(fd, path, chunk)) {
    let body = readPage(fd, path, chunk.codec, page);
    if (page.dictionary) {
      dictionary = body;
      entries = page.values;
      continue;
    }
    if (chunk.optional) {
      const length = body.readUInt32LE(0);
      const levels = decodeHybrid(body.subarray(4, 4 + length), 1, page.values, new Uint8Array(page.values));
      body = body.subarray(4 + length);
      if (levels.includes(0)) {
        present ??= new Uint8Array(chunk.values).fill(1);
        present.set(levels, page.firstRow);
      }
    }
    const isCodes = page.encoding === encodings.dictionary || page.encoding === RLE_DICTIONARY;
    if (!isCodes && page.encoding !== encodings.plain) throw unsupported(path, `encoding ${page.encoding}`);
    if (isCodes !== (dictionary !== undefined)) throw unsupported(path, 'pages of two encodings');
    if (!isCodes) {
      plain.push({ body });
      continue;
    }
    codes ??= newCodes(entries, chunk.values);
    const { firstRow, values } = page;
    const nulls = present?.subarray(firstRow, firstRow + values);
    const ofPage = codes.subarray(firstRow, firstRow + values);
    readCodes(body, nulls, ofPage);
    if (entries > 0 && largest(ofPage) >= entries) throw corrupt(path, 'a code without entry');
  }
  return { dictionary, codes, present, plain };
}

const newCodes = (entries: number, rows: number): Codes =>
  entries <= 0x10000 ? new Uint16Array(rows) : new Uint32Array(rows);

function largest(codes: Codes): number {
  let found = 0;
  for (let row = 0; row < codes.length; row++) found = Math.max(found, codes[row] ?? 0);
  return found;
}

function readCodes(body: Buffer, present: Uint8Array | undefined, into: Codes): void {
  const bitWidth = body[0] ?? 0;
  if (present === undefined) {
    if (into.length > 0) decodeHybrid(body.subarray(1), bitWidth, into.length, into);
    return;
  }
  const count = present.reduce((sum, level) => sum + level, 0);
  const found = count === 0 ? [] : decodeHybrid(body.subarray(1), bitWidth, count);
  let next = 0;
  for (let row = 0; row < into.length; row++) if (present[row] === 1) into[row] = found[next++] ?? 0;
}
