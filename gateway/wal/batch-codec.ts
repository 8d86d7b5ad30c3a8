import { FirnError } from '../../lake/base/errors.ts';
import type { Batch, LogsBatch, MetricsBatch, Signal } from '../../lake/model/batch.ts';

// The payload of a `batch` row. Header: u8 format, u8 0, u16 0, u32 rows. Then the columns one after another, 64-bit
// ones first so that they can be viewed in place; a text column is i32 byte lengths (-1: null) and then its UTF-8
// bytes, padded to 4. Labels and metadata are not in it: they have tables of their own.

const FORMAT = 1;
const HEADER_BYTES = 8;
const logTextColumns = ['line', 'attributes', 'severity', 'traceId', 'spanId'] as const;

export function encodeBatch(batch: Batch): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(FORMAT, 0);
  header.writeUInt32LE(batch.rows, 4);
  const parts: Uint8Array[] = [header];
  if (batch.signal === 'metrics') {
    for (const column of [batch.seriesId, batch.timestampUs, batch.value])
      parts.push(bytesOf(column, batch.rows));
  } else {
    for (const column of [batch.streamId, batch.timestampNs]) parts.push(bytesOf(column, batch.rows));
    for (const name of logTextColumns) parts.push(...encodeText(batch[name], batch.rows));
  }
  return Buffer.concat(parts);
}

/** Reads a payload; `series` and `metadata` are empty. Throws FirnError `corrupt` when its length is not what it says. */
export function decodeBatch(signal: Signal, payload: Uint8Array): Batch {
  const bytes = payload.byteOffset % 8 === 0 ? payload : new Uint8Array(payload);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < HEADER_BYTES || view.getUint8(0) !== FORMAT) throw corrupt('header');
  const rows = view.getUint32(4, true);
  let offset = HEADER_BYTES;
  const take = (length: number): number => {
    if (offset + length > bytes.byteLength) throw corrupt('length');
    offset += length;
    return bytes.byteOffset + offset - length;
  };
  const int64 = (): BigInt64Array => new BigInt64Array(bytes.buffer as ArrayBuffer, take(rows * 8), rows);
  const batch = signal === 'metrics' ? decodeMetrics() : decodeLogs();
  if (offset !== bytes.byteLength) throw corrupt('length');
  return batch;

  function decodeMetrics(): MetricsBatch {
    const seriesId = int64();
    const timestampUs = int64();
    const value = new Float64Array(bytes.buffer as ArrayBuffer, take(rows * 8), rows);
    return { signal: 'metrics', rows, seriesId, timestampUs, value, series: [], metadata: [] };
  }

  function decodeLogs(): LogsBatch {
    const streamId = int64();
    const timestampNs = int64();
    const [line, attributes, severity, traceId, spanId] = logTextColumns.map(text);
    if (!line || !attributes || !severity || !traceId || !spanId) throw corrupt('columns');
    const lines = line.map((value) => value ?? '');
    return {
      signal: 'logs',
      rows,
      streamId,
      timestampNs,
      line: lines,
      attributes,
      severity,
      traceId,
      spanId,
      series: [],
    };
  }

  function text(): (string | null)[] {
    const lengths = new Int32Array(bytes.buffer as ArrayBuffer, take(rows * 4), rows);
    const column: (string | null)[] = [];
    for (const length of lengths) {
      const start = length < 0 ? 0 : take(length) - bytes.byteOffset;
      column.push(length < 0 ? null : decodeUtf8(bytes.subarray(start, start + length)));
    }
    take((4 - (offset % 4)) % 4);
    return column;
  }
}

const utf8 = new TextDecoder();
const decodeUtf8 = (bytes: Uint8Array): string => utf8.decode(bytes);

function bytesOf(column: BigInt64Array | Float64Array, rows: number): Uint8Array {
  return new Uint8Array(column.buffer, column.byteOffset, rows * 8);
}

function encodeText(column: readonly (string | null)[], rows: number): Uint8Array[] {
  const lengths = new Int32Array(rows);
  const values: Uint8Array[] = [new Uint8Array(lengths.buffer)];
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const value = column[row];
    if (value === null || value === undefined) {
      lengths[row] = -1;
      continue;
    }
    const encoded = Buffer.from(value);
    lengths[row] = encoded.byteLength;
    total += encoded.byteLength;
    values.push(encoded);
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
