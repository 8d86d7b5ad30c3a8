import { FirnError } from '../../lake/base/errors.ts';
import type { Batch, BatchColumn, Signal } from '../../lake/model/batch.ts';
import { isTextColumn, type TextColumn, type Texts, textsOf } from '../../lake/model/text-column.ts';
import { batchColumnsOf, batchOf, columnOf, isDense, isUtf8Column } from '../../lake/schema/batch-columns.ts';
import type { Column } from '../../lake/schema/tables.ts';

// The payload of a `batch` row. Header: u8 format, u24 which columns it has (bit n: field id n + 1), u32 rows. Then the
// columns one after another: 64-bit ones first, by field id, so that they can be viewed in place; one of them that may
// have nulls is followed by a bit for each row that has a value, padded to 8 bytes. Then text columns, by field id: i32
// byte lengths (-1: null) and the UTF-8 bytes, padded to 4. Labels and metadata are not in it: they have tables of their
// own.

const FORMAT = 2;
const HEADER_BYTES = 8;
/** Format 1 had no list of columns: it was these. */
const formatOneColumns: Readonly<Partial<Record<Signal, readonly string[]>>> = {
  metrics: ['series_id', 'timestamp', 'value'],
  logs: ['stream_id', 'timestamp_ns', 'line', 'attributes', 'severity', 'trace_id', 'span_id'],
};

const orders = new Map<Signal, readonly Column[]>();

/** A signal's columns as they follow one another in a payload. */
function payloadOrder(signal: Signal): readonly Column[] {
  const known = orders.get(signal);
  if (known) return known;
  const isText = ({ type }: Column): number => Number(type === 'string');
  const order = batchColumnsOf(signal).toSorted((a, b) => isText(a) - isText(b) || a.fieldId - b.fieldId);
  orders.set(signal, order);
  return order;
}

/** `allocate`: where the payload is put, at least so many bytes; more are left out of the result. */
export function encodeBatch(
  batch: Batch,
  allocate = (bytes: number) => new Uint8Array(bytes),
): Uint8Array<ArrayBuffer> {
  const { rows } = batch;
  const header = Buffer.alloc(HEADER_BYTES);
  const parts: Uint8Array[] = [header];
  let present = 0;
  for (const { name, fieldId, type } of payloadOrder(batch.signal)) {
    const column = columnOf(batch, name);
    if (column === undefined) continue;
    present |= 1 << (fieldId - 1);
    if (column instanceof BigInt64Array || column instanceof Float64Array) parts.push(bytesOf(column, rows));
    else if (type === 'string') parts.push(...encodeText(column as Texts, rows));
    else parts.push(...encodeNullable(column as readonly (bigint | null)[], rows));
  }
  header.writeUInt8(FORMAT, 0);
  header.writeUIntLE(present, 1, 3);
  header.writeUInt32LE(rows, 4);
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const payload = allocate(bytes).subarray(0, bytes);
  let end = 0;
  for (const part of parts) {
    payload.set(part, end);
    end += part.byteLength;
  }
  return payload;
}

/** Reads a payload; `series` and `metadata` are empty. Throws FirnError `corrupt` when its length is not what it says. */
export function decodeBatch(signal: Signal, payload: Uint8Array): Batch {
  const bytes = payload.byteOffset % 8 === 0 ? payload : new Uint8Array(payload);
  if (bytes.byteLength < HEADER_BYTES) throw corrupt('header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rows = view.getUint32(4, true);
  const has = presentColumns(signal, view);
  const reader = columnReader(signal, bytes, rows);
  const columns = new Map<string, BatchColumn>();
  for (const column of payloadOrder(signal)) {
    if (has(column)) columns.set(column.name, reader.read(column));
    else if (column.required || isDense(column)) throw corrupt('columns');
  }
  if (!reader.atEnd()) throw corrupt('length');
  return batchOf(signal, rows, columns);
}

function presentColumns(signal: Signal, view: DataView): (column: Column) => boolean {
  const format = view.getUint8(0);
  const names = format === 1 ? formatOneColumns[signal] : undefined;
  if (names) return ({ name }) => names.includes(name);
  if (format !== FORMAT) throw corrupt('header');
  const present = view.getUint32(0, true) >>> 8;
  const known = payloadOrder(signal).reduce((bits, { fieldId }) => bits | (1 << (fieldId - 1)), 0);
  if ((present & ~known) !== 0) throw corrupt('columns');
  return ({ fieldId }) => (present & (1 << (fieldId - 1))) !== 0;
}

function columnReader(signal: Signal, bytes: Uint8Array, rows: number) {
  const buffer = bytes.buffer as ArrayBuffer;
  let offset = HEADER_BYTES;
  const take = (length: number): number => {
    if (offset + length > bytes.byteLength) throw corrupt('length');
    offset += length;
    return bytes.byteOffset + offset - length;
  };
  const int64 = (): BigInt64Array => new BigInt64Array(buffer, take(rows * 8), rows);
  const nullable = (): (bigint | null)[] => {
    const values = int64();
    const valid = new Uint8Array(buffer, take(validityBytes(rows)), validityBytes(rows));
    return Array.from(values, (value, row) => ((valid[row >> 3] ?? 0) & (1 << (row & 7)) ? value : null));
  };
  const text = (required: boolean): TextColumn => {
    const stored = new Int32Array(buffer, take(rows * 4), rows);
    // A text that is required is not null.
    const lengths = required && stored.some((length) => length < 0) ? stored.map(atLeastZero) : stored;
    let total = 0;
    for (let row = 0; row < rows; row++) total += Math.max(0, lengths[row] ?? 0);
    const texts = new Uint8Array(buffer, take(total), total);
    take((4 - (offset % 4)) % 4);
    return { kind: 'utf8', length: rows, lengths, bytes: texts };
  };
  return {
    atEnd: () => offset === bytes.byteLength,
    read: (column: Column): BatchColumn => {
      if (column.type === 'double') return new Float64Array(buffer, take(rows * 8), rows);
      if (column.type === 'string') {
        const texts = text(column.required);
        return isUtf8Column(signal, column) ? texts : textsOf(texts);
      }
      return isDense(column) ? int64() : nullable();
    },
  };
}

const atLeastZero = (length: number): number => Math.max(0, length);

function bytesOf(column: BigInt64Array | Float64Array, rows: number): Uint8Array {
  return new Uint8Array(column.buffer, column.byteOffset, rows * 8);
}

const validityBytes = (rows: number): number => Math.ceil(rows / 64) * 8;

function encodeNullable(column: readonly (bigint | null)[], rows: number): Uint8Array[] {
  const values = new BigInt64Array(rows);
  const valid = new Uint8Array(validityBytes(rows));
  for (let row = 0; row < rows; row++) {
    const value = column[row];
    if (value === null || value === undefined) continue;
    values[row] = value;
    valid[row >> 3] = (valid[row >> 3] ?? 0) | (1 << (row & 7));
  }
  return [new Uint8Array(values.buffer), valid];
}

/** Rows whose texts are encoded by one call, where all of them are ASCII: a call for each costs more than its bytes. */
const rowsTogether = 256;

function encodeText(column: Texts, rows: number): Uint8Array[] {
  if (isTextColumn(column)) {
    const { lengths, bytes } = column;
    return [
      new Uint8Array(lengths.buffer, lengths.byteOffset, rows * 4),
      bytes,
      new Uint8Array((4 - (bytes.byteLength % 4)) % 4),
    ];
  }
  const lengths = new Int32Array(rows);
  const values: Uint8Array[] = [new Uint8Array(lengths.buffer)];
  let total = 0;
  for (let start = 0; start < rows; start += rowsTogether) {
    const end = Math.min(rows, start + rowsTogether);
    // What joins nulls joins them as nothing.
    const joined = column.slice(start, end).join('');
    const together = Buffer.from(joined);
    if (together.byteLength === joined.length) {
      for (let row = start; row < end; row++) lengths[row] = column[row]?.length ?? -1;
      values.push(together);
      total += together.byteLength;
      continue;
    }
    for (let row = start; row < end; row++) {
      const value = column[row];
      lengths[row] = -1;
      if (value === null || value === undefined) continue;
      const encoded = Buffer.from(value);
      lengths[row] = encoded.byteLength;
      total += encoded.byteLength;
      values.push(encoded);
    }
  }
  values.push(new Uint8Array((4 - (total % 4)) % 4));
  return values;
}

function corrupt(what: string): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'decode WAL batch',
    subject: what,
    message: `a WAL batch is damaged: its ${what} is not as written`,
  });
}
