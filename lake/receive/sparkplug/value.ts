import type { WireValue } from './payload.ts';

/** What a metric's value is, once its datatype is known. */
export type SparkplugValue =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'numbers'; readonly values: readonly number[] }
  | { readonly kind: 'text'; readonly text: string };

const dateTime = 13;
const booleanArray = 32;
const stringArray = 33;

/** Bits of the signed types, whose values are two's complement in unsigned fields. */
const signedBits: Readonly<Record<number, number>> = { 1: 8, 2: 16, 3: 32, 4: 64 };

/** Undefined for what is not stored: bytes, files, and what its datatype does not fit. */
export function sparkplugValue(wire: WireValue, datatype: number): SparkplugValue | undefined {
  switch (wire.kind) {
    case 'integer': {
      const bits = signedBits[datatype];
      const value = bits === undefined ? Number(wire.value) : Number(BigInt.asIntN(bits, BigInt(wire.value)));
      // Seconds, as Prometheus has times.
      return { kind: 'number', value: datatype === dateTime ? value / 1000 : value };
    }
    case 'float':
      return { kind: 'number', value: wire.value };
    case 'text':
      return { kind: 'text', text: wire.value };
    case 'bytes':
      return arrayOf(wire.value, datatype);
    case 'dataset':
      return { kind: 'text', text: dataSetText(wire.value) };
    case 'template':
      return undefined;
  }
}

type Element = readonly [size: number, read: (view: DataView, at: number) => number];

/** Packed little-endian elements of the array datatypes. */
const elements: Readonly<Record<number, Element>> = {
  22: [1, (view, at) => view.getInt8(at)],
  23: [2, (view, at) => view.getInt16(at, true)],
  24: [4, (view, at) => view.getInt32(at, true)],
  25: [8, (view, at) => Number(view.getBigInt64(at, true))],
  26: [1, (view, at) => view.getUint8(at)],
  27: [2, (view, at) => view.getUint16(at, true)],
  28: [4, (view, at) => view.getUint32(at, true)],
  29: [8, (view, at) => Number(view.getBigUint64(at, true))],
  30: [4, (view, at) => view.getFloat32(at, true)],
  31: [8, (view, at) => view.getFloat64(at, true)],
  34: [8, (view, at) => Number(view.getBigInt64(at, true)) / 1000],
};

function arrayOf(bytes: Uint8Array, datatype: number): SparkplugValue | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (datatype === booleanArray) return booleans(view);
  if (datatype === stringArray) {
    const texts = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8').split('\0');
    return { kind: 'text', text: JSON.stringify(texts.slice(0, -1)) };
  }
  const [size, read] = elements[datatype] ?? [];
  if (size === undefined || read === undefined || bytes.length % size !== 0) return undefined;
  const values = Array.from({ length: bytes.length / size }, (_, index) => read(view, index * size));
  return { kind: 'numbers', values };
}

/** A count of 4 bytes, then bits from the highest. */
function booleans(view: DataView): SparkplugValue | undefined {
  if (view.byteLength < 4) return undefined;
  const count = view.getUint32(0, true);
  if (count > (view.byteLength - 4) * 8) return undefined;
  const bit = (index: number): number => (view.getUint8(4 + (index >> 3)) >> (7 - (index & 7))) & 1;
  return { kind: 'numbers', values: Array.from({ length: count }, (_, index) => bit(index)) };
}

function dataSetText({ columns, types, rows }: Extract<WireValue, { kind: 'dataset' }>['value']): string {
  const cell = (wire: WireValue | undefined, index: number): number | string | null => {
    const value = wire === undefined ? undefined : sparkplugValue(wire, types[index] ?? 0);
    if (value?.kind === 'number') return Number.isFinite(value.value) ? value.value : String(value.value);
    return value?.kind === 'text' ? value.text : null;
  };
  return JSON.stringify({ columns, rows: rows.map((cells) => cells.map(cell)) });
}
