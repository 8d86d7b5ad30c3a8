import {
  type Cursor,
  readDouble,
  readEnd,
  readTag,
  readUint64,
  readVarint32,
  skipBytes,
  skipField,
} from '../protobuf.ts';

// A Sparkplug B payload (sparkplug_b.proto of Eclipse Tahu), read in place. What a value means depends on the datatype,
// which only births have to tell: values stay as they are on the wire here, and value.ts reads them.

export interface SparkplugPayload {
  readonly timestampMs: number | undefined;
  readonly seq: number | undefined;
  readonly metrics: readonly SparkplugMetric[];
}

export interface SparkplugMetric {
  /** '' when there is only an alias. */
  readonly name: string;
  readonly alias: string | undefined;
  readonly timestampMs: number | undefined;
  /** 0 when it is not told. */
  readonly datatype: number;
  readonly isNull: boolean;
  /** Of the property engUnit. */
  readonly unit: string;
  readonly value: WireValue | undefined;
}

export type WireValue =
  | { readonly kind: 'integer'; readonly value: number | bigint }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'bytes'; readonly value: Uint8Array }
  | { readonly kind: 'dataset'; readonly value: DataSet }
  | {
      readonly kind: 'template';
      readonly isDefinition: boolean;
      readonly metrics: readonly SparkplugMetric[];
    };

interface DataSet {
  readonly columns: readonly string[];
  readonly types: readonly number[];
  readonly rows: readonly (readonly (WireValue | undefined)[])[];
}

export interface SparkplugLimits {
  /** Metrics of one payload, those inside of templates and cells of data sets among them. */
  readonly valuesPerPayloadMax: number;
}

/** Templates inside of templates. */
const templateDepthMax = 8;

interface Reading {
  readonly cursor: Cursor;
  values: number;
  readonly valuesMax: number;
}

export class TooManyValues extends Error {}

/** Throws FirnError `invalid` for what is no payload, and TooManyValues. */
export function readSparkplugPayload(bytes: Uint8Array, limits: SparkplugLimits): SparkplugPayload {
  const cursor: Cursor = { bytes, pos: 0, end: bytes.length };
  const reading: Reading = { cursor, values: 0, valuesMax: limits.valuesPerPayloadMax };
  let timestampMs: number | undefined;
  let seq: number | undefined;
  const metrics: SparkplugMetric[] = [];
  eachField(cursor, cursor.end, (field, tag) => {
    if (field === 1 && isVarint(tag)) timestampMs = Number(readUint64(cursor));
    else if (field === 2 && isLength(tag)) metrics.push(readMetric(reading, 0));
    else if (field === 3 && isVarint(tag)) seq = Number(readUint64(cursor));
    else skipField(cursor, tag);
  });
  return { timestampMs, seq, metrics };
}

function count(reading: Reading): void {
  if (++reading.values > reading.valuesMax) throw new TooManyValues();
}

function readMetric(reading: Reading, depth: number): SparkplugMetric {
  count(reading);
  const { cursor } = reading;
  const metric = { name: '', datatype: 0, isNull: false, unit: '' };
  let alias: string | undefined;
  let timestampMs: number | undefined;
  let value: WireValue | undefined;
  eachField(cursor, readEnd(cursor), (field, tag) => {
    if (field === 1 && isLength(tag)) metric.name = readText(cursor);
    else if (field === 2 && isVarint(tag)) alias = String(readUint64(cursor));
    else if (field === 3 && isVarint(tag)) timestampMs = Number(readUint64(cursor));
    else if (field === 4 && isVarint(tag)) metric.datatype = readVarint32(cursor);
    else if (field === 7 && isVarint(tag)) metric.isNull = readVarint32(cursor) !== 0;
    else if (field === 9 && isLength(tag)) metric.unit = readUnit(cursor);
    else if (field === 17 && isLength(tag)) value = { kind: 'dataset', value: readDataSet(reading) };
    else if (field === 18 && isLength(tag)) value = readTemplate(reading, depth + 1);
    else value = readScalar(cursor, tag, field - 9) ?? value;
  });
  return { ...metric, alias, timestampMs, value };
}

/** The value of a metric (from field 10) or of a cell (from field 1), by its place in the oneof; skips what is none. */
function readScalar(cursor: Cursor, tag: number, place: number): WireValue | undefined {
  if ((place === 1 || place === 2 || place === 5) && isVarint(tag))
    return { kind: 'integer', value: readUint64(cursor) };
  if (place === 3 && (tag & 7) === 5) return { kind: 'float', value: readFloat(cursor) };
  if (place === 4 && (tag & 7) === 1) return { kind: 'float', value: readDouble(cursor) };
  if (place === 6 && isLength(tag)) return { kind: 'text', value: readText(cursor) };
  if (place === 7 && isLength(tag)) return { kind: 'bytes', value: readBytes(cursor) };
  skipField(cursor, tag);
  return undefined;
}

function readTemplate(reading: Reading, depth: number): WireValue {
  if (depth > templateDepthMax) throw new TooManyValues();
  const { cursor } = reading;
  const metrics: SparkplugMetric[] = [];
  let isDefinition = false;
  eachField(cursor, readEnd(cursor), (field, tag) => {
    if (field === 2 && isLength(tag)) metrics.push(readMetric(reading, depth));
    else if (field === 5 && isVarint(tag)) isDefinition = readVarint32(cursor) !== 0;
    else skipField(cursor, tag);
  });
  return { kind: 'template', isDefinition, metrics };
}

function readDataSet(reading: Reading): DataSet {
  const { cursor } = reading;
  const columns: string[] = [];
  const types: number[] = [];
  const rows: (WireValue | undefined)[][] = [];
  eachField(cursor, readEnd(cursor), (field, tag) => {
    if (field === 2 && isLength(tag)) columns.push(readText(cursor));
    else if (field === 3 && isVarint(tag)) types.push(readVarint32(cursor));
    else if (field === 3 && isLength(tag)) {
      const end = readEnd(cursor);
      while (cursor.pos < end) types.push(readVarint32(cursor));
    } else if (field === 4 && isLength(tag)) {
      count(reading);
      const cells: (WireValue | undefined)[] = [];
      eachField(cursor, readEnd(cursor), (of, cell) => {
        if (of !== 1 || !isLength(cell)) return skipField(cursor, cell);
        count(reading);
        let value: WireValue | undefined;
        eachField(cursor, readEnd(cursor), (place, inner) => {
          value = readScalar(cursor, inner, place) ?? value;
        });
        cells.push(value);
      });
      rows.push(cells);
    } else skipField(cursor, tag);
  });
  return { columns, types, rows };
}

/** The text of the property that says the unit, '' without one. */
function readUnit(cursor: Cursor): string {
  const keys: string[] = [];
  const values: string[] = [];
  eachField(cursor, readEnd(cursor), (field, tag) => {
    if (field === 1 && isLength(tag)) keys.push(readText(cursor));
    else if (field === 2 && isLength(tag)) {
      let text = '';
      eachField(cursor, readEnd(cursor), (inner, innerTag) => {
        if (inner === 8 && isLength(innerTag)) text = readText(cursor);
        else skipField(cursor, innerTag);
      });
      values.push(text);
    } else skipField(cursor, tag);
  });
  return values[keys.findIndex((key) => /^(?:eng_?)?units?$/i.test(key))] ?? '';
}

/** Calls `read` at each field up to `end`, within which it has to stay. */
function eachField(cursor: Cursor, end: number, read: (field: number, tag: number) => void): void {
  const outer = cursor.end;
  cursor.end = end;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    read(tag >>> 3, tag);
  }
  cursor.end = outer;
}

const isVarint = (tag: number): boolean => (tag & 7) === 0;
const isLength = (tag: number): boolean => (tag & 7) === 2;

function readBytes(cursor: Cursor): Uint8Array {
  const end = readEnd(cursor);
  const bytes = cursor.bytes.subarray(cursor.pos, end);
  cursor.pos = end;
  return bytes;
}

function readText(cursor: Cursor): string {
  const bytes = readBytes(cursor);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function readFloat(cursor: Cursor): number {
  const at = cursor.pos;
  skipBytes(cursor, 4);
  const { buffer, byteOffset } = cursor.bytes;
  return new DataView(buffer, byteOffset + at, 4).getFloat32(0, true);
}

/** NCMD: asks an edge node to publish its births again. */
export function rebirthCommand(nowMs: number): Uint8Array {
  const name = Buffer.from('Node Control/Rebirth');
  const timestamp = varint(BigInt(nowMs));
  // name = 1, timestamp = 3, datatype = 4 (Boolean, 11), boolean_value = 14
  const metric = Buffer.concat([
    ...[Buffer.of(0x0a, name.length), name, Buffer.of(0x18), timestamp],
    Buffer.of(0x20, 11, 0x70, 1),
  ]);
  return Buffer.concat([Buffer.of(0x08), timestamp, Buffer.of(0x12, metric.length), metric]);
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}
