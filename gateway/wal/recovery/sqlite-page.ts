// Table leaf pages and records of an SQLite database (sqlite.org/fileformat2.html, sections 1.6 and 2.1), read without
// SQLite: each page and each cell for itself, so that damage takes what it touches and nothing else.

/** One row as it stands in a leaf page: its key, and its record or the beginning of it. */
export interface Cell {
  readonly rowid: bigint;
  /** The part of the record that is in this page. */
  readonly local: Uint8Array;
  readonly recordBytes: number;
  /** Where the rest is; 0: nowhere. */
  readonly overflowPage: number;
}

const leafTable = 0x0d;
const leafHeaderBytes = 8;
/** On the first page, the header of the database stands before that of the page. */
const databaseHeaderBytes = 100;
/** No row of ours is larger: a batch is one request. */
const recordBytesMax = 256 * 1024 * 1024;

/** The rows of a page if it is a leaf of a table. Cells that can't be right are left out. */
export function* cellsOf(page: Uint8Array, number: number): Generator<Cell, void, undefined> {
  const start = number === 1 ? databaseHeaderBytes : 0;
  if (page[start] !== leafTable) return;
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const count = view.getUint16(start + 3);
  const pointersEnd = start + leafHeaderBytes + 2 * count;
  if (pointersEnd > page.byteLength) return;
  for (let pointer = start + leafHeaderBytes; pointer < pointersEnd; pointer += 2) {
    const at = view.getUint16(pointer);
    const cell = at < pointersEnd ? undefined : parseCell(page, view, at);
    if (cell !== undefined) yield cell;
  }
}

function parseCell(page: Uint8Array, view: DataView, at: number): Cell | undefined {
  const cursor = { at };
  const recordBytes = Number(readVarint(page, cursor));
  const rowid = BigInt.asIntN(64, readVarint(page, cursor));
  if (recordBytes < 2 || recordBytes > recordBytesMax) return undefined;
  const localBytes = localBytesOf(recordBytes, page.byteLength);
  const end = cursor.at + localBytes;
  if (localBytes === recordBytes) {
    if (end > page.byteLength) return undefined;
    return { rowid, local: page.subarray(cursor.at, end), recordBytes, overflowPage: 0 };
  }
  if (end + 4 > page.byteLength) return undefined;
  return { rowid, local: page.subarray(cursor.at, end), recordBytes, overflowPage: view.getUint32(end) };
}

function localBytesOf(recordBytes: number, usableBytes: number): number {
  const most = usableBytes - 35;
  if (recordBytes <= most) return recordBytes;
  const least = Math.floor(((usableBytes - 12) * 32) / 255) - 23;
  const fitting = least + ((recordBytes - least) % (usableBytes - 4));
  return fitting <= most ? fitting : least;
}

/** One to nine bytes, seven bits each, the ninth with eight; past the end it reads as zeros. */
function readVarint(bytes: Uint8Array, cursor: { at: number }): bigint {
  let low = 0; // most are short, and numbers are quicker
  for (let index = 0; index < 4; index++) {
    const byte = bytes[cursor.at++] ?? 0;
    low = low * 128 + (byte & 0x7f);
    if (byte < 0x80) return BigInt(low);
  }
  let value = BigInt(low);
  for (let index = 4; index < 9; index++) {
    const byte = bytes[cursor.at++] ?? 0;
    if (index === 8) return (value << 8n) | BigInt(byte);
    value = (value << 7n) | BigInt(byte & 0x7f);
    if (byte < 0x80) return value;
  }
  return value;
}

export type Value = null | number | bigint | string | Uint8Array;

/** A column of a record: its serial type, and where its value stands. */
interface Column {
  readonly type: number;
  readonly start: number;
  readonly end: number;
}

const columnsMax = 32;

/** Where the columns stand; undefined when the record's own header is not whole or its lengths don't add up. */
export function columnsOf(local: Uint8Array, recordBytes: number): Column[] | undefined {
  const cursor = { at: 0 };
  const headerBytes = Number(readVarint(local, cursor));
  if (headerBytes > local.byteLength || headerBytes > recordBytes) return undefined;
  const columns: Column[] = [];
  let start = headerBytes;
  while (cursor.at < headerBytes) {
    if (columns.length === columnsMax) return undefined;
    const type = Number(readVarint(local, cursor));
    const end = start + bytesOfType(type);
    columns.push({ type, start, end });
    start = end;
  }
  return cursor.at === headerBytes && start === recordBytes ? columns : undefined;
}

const fixedBytes = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0];

function bytesOfType(type: number): number {
  if (type >= 12) return (type - (type % 2 === 0 ? 12 : 13)) / 2;
  return fixedBytes[type] ?? Number.NaN; // 10 and 11 are reserved
}

/** A short name for what a column holds: n(ull), i(nteger), r(eal), t(ext), b(lob). */
export const kindOf = ({ type }: Column): string => {
  if (type === 0) return 'n';
  if (type === 7) return 'r';
  if (type < 12) return 'i';
  return type % 2 === 0 ? 'b' : 't';
};

const utf8 = new TextDecoder();

/** The value of a column of a whole record. */
export function columnValue(record: Uint8Array, { type, start, end }: Column): Value {
  const bytes = record.subarray(start, end);
  if (type === 0) return null;
  if (type === 8 || type === 9) return type - 8;
  if (type >= 12) return type % 2 === 0 ? bytes : utf8.decode(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (type === 7) return view.getFloat64(0);
  if (type === 6) return narrow(view.getBigInt64(0));
  if (type === 5) return view.getInt16(0) * 2 ** 32 + view.getUint32(2);
  if (type === 4) return view.getInt32(0);
  if (type === 3) return view.getInt8(0) * 65_536 + view.getUint16(1);
  return type === 2 ? view.getInt16(0) : view.getInt8(0);
}

const narrow = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
