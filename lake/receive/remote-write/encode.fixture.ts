import { compress } from 'snappyjs';

// The sender's side of remote write 1.0, for tests and load generators.

export interface WriteSeries {
  /** In the order in which they are to be sent. */
  readonly labels: readonly (readonly [name: string, value: string])[];
  /** A value may be given as its IEEE 754 bits. */
  readonly samples: readonly (readonly [timestampMs: number, value: number | bigint])[];
  /** Bytes of further fields of the TimeSeries message. */
  readonly extra?: Uint8Array;
}

export interface WriteMetadata {
  readonly type: number;
  readonly name: string;
  readonly help: string;
  readonly unit: string;
}

/** prometheus.WriteRequest, not compressed. */
export function encodeWriteRequest(
  series: readonly WriteSeries[],
  metadata: readonly WriteMetadata[] = [],
): Uint8Array {
  return Buffer.concat([
    ...series.map((one) => lengthField(1, encodeSeries(one))),
    ...metadata.map((one) => lengthField(3, encodeMetadata(one))),
  ]);
}

/** The body of a request as a sender puts it on the wire. */
export const writeRequestBody = (...args: Parameters<typeof encodeWriteRequest>): Uint8Array =>
  compress(encodeWriteRequest(...args));

function encodeSeries({ labels, samples, extra }: WriteSeries): Uint8Array {
  return Buffer.concat([
    ...labels.map(([name, value]) =>
      lengthField(1, Buffer.concat([lengthField(1, Buffer.from(name)), lengthField(2, Buffer.from(value))])),
    ),
    ...samples.map(([timestampMs, value]) => lengthField(2, encodeSample(timestampMs, value))),
    extra ?? new Uint8Array(),
  ]);
}

function encodeSample(timestampMs: number, value: number | bigint): Uint8Array {
  const bits = Buffer.alloc(8);
  if (typeof value === 'bigint') bits.writeBigUInt64LE(value);
  else bits.writeDoubleLE(value);
  return Buffer.concat([
    Uint8Array.of((1 << 3) | 1),
    bits,
    Uint8Array.of(2 << 3),
    varint(BigInt(timestampMs)),
  ]);
}

function encodeMetadata({ type, name, help, unit }: WriteMetadata): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(1 << 3, type),
    lengthField(2, Buffer.from(name)),
    lengthField(4, Buffer.from(help)),
    lengthField(5, Buffer.from(unit)),
  ]);
}

export function lengthField(field: number, value: Uint8Array): Uint8Array {
  return Buffer.concat([varint(BigInt((field << 3) | 2)), varint(BigInt(value.length)), value]);
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
