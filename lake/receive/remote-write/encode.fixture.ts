import { compress } from 'snappyjs';

// The sender's side of remote write, for tests and load generators.

type Pairs = readonly (readonly [name: string, value: string])[];

export interface WriteSeries {
  /** In the order in which they are to be sent. */
  readonly labels: Pairs;
  /** A value may be given as its IEEE 754 bits. `startMs` is of 2.0 only. */
  readonly samples: readonly (readonly [timestampMs: number, value: number | bigint, startMs?: number])[];
  readonly histograms?: readonly WriteHistogram[];
  readonly exemplars?: readonly WriteExemplar[];
  /** Of 2.0 only. */
  readonly metadata?: { readonly type: number; readonly help: string; readonly unit: string };
  /** Bytes of further fields of the TimeSeries message. */
  readonly extra?: Uint8Array;
}

/** Fields by their names in types.proto; absent ones are not sent. */
export interface WriteHistogram {
  readonly count_int?: number | bigint;
  readonly count_float?: number;
  readonly sum?: number | bigint;
  readonly schema?: number;
  readonly zero_threshold?: number;
  readonly zero_count_int?: number | bigint;
  readonly zero_count_float?: number;
  readonly negative_spans?: readonly (readonly [number, number])[];
  readonly negative_deltas?: readonly (number | bigint)[];
  readonly negative_counts?: readonly number[];
  readonly positive_spans?: readonly (readonly [number, number])[];
  readonly positive_deltas?: readonly (number | bigint)[];
  readonly positive_counts?: readonly number[];
  readonly reset_hint?: number;
  readonly timestamp?: number;
  readonly custom_values?: readonly number[];
  readonly start_timestamp?: number;
}

export interface WriteExemplar {
  readonly labels: Pairs;
  readonly value: number;
  readonly timestampMs: number;
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

/** io.prometheus.write.v2.Request, not compressed. */
export function encodeWriteRequestV2(series: readonly WriteSeries[]): Uint8Array {
  const symbols = new Map([['', 0]]);
  const refOf = (text: string): number => {
    const ref = symbols.get(text) ?? symbols.size;
    symbols.set(text, ref);
    return ref;
  };
  const refs = (labels: Pairs): Uint8Array =>
    lengthField(1, Buffer.concat(labels.flatMap((pair) => pair.map((text) => varint(BigInt(refOf(text)))))));
  const encoded = series.map(({ labels, samples, histograms = [], exemplars = [], metadata, extra }) =>
    lengthField(
      5,
      Buffer.concat([
        refs(labels),
        ...samples.map((sample) => lengthField(2, encodeSample(...sample))),
        ...histograms.map((histogram) => lengthField(3, encodeHistogram(histogram))),
        ...exemplars.map((one) =>
          lengthField(
            4,
            Buffer.concat([refs(one.labels), double(2, one.value), varintField(3, one.timestampMs)]),
          ),
        ),
        metadata === undefined
          ? new Uint8Array()
          : lengthField(
              5,
              Buffer.concat([
                varintField(1, metadata.type),
                varintField(3, refOf(metadata.help)),
                varintField(4, refOf(metadata.unit)),
              ]),
            ),
        extra ?? new Uint8Array(),
      ]),
    ),
  );
  const table = [...symbols.keys()].map((text) => lengthField(4, Buffer.from(text)));
  return Buffer.concat([...table, ...encoded]);
}

function encodeSeries({ labels, samples, histograms = [], exemplars = [], extra }: WriteSeries): Uint8Array {
  return Buffer.concat([
    ...labels.map(encodeLabel),
    ...samples.map(([timestampMs, value]) => lengthField(2, encodeSample(timestampMs, value))),
    ...exemplars.map(({ labels: own, value, timestampMs }) =>
      lengthField(3, Buffer.concat([...own.map(encodeLabel), double(2, value), varintField(3, timestampMs)])),
    ),
    ...histograms.map((histogram) => lengthField(4, encodeHistogram(histogram))),
    extra ?? new Uint8Array(),
  ]);
}

const encodeLabel = ([name, value]: readonly [string, string]): Uint8Array =>
  lengthField(1, Buffer.concat([lengthField(1, Buffer.from(name)), lengthField(2, Buffer.from(value))]));

function encodeSample(timestampMs: number, value: number | bigint, startMs = 0): Uint8Array {
  return Buffer.concat([
    double(1, value),
    varintField(2, timestampMs),
    startMs === 0 ? new Uint8Array() : varintField(3, startMs),
  ]);
}

type Encode = (field: number, value: never) => Uint8Array;
const each =
  <T>(encode: (field: number, value: T) => Uint8Array) =>
  (field: number, values: readonly T[]): Uint8Array =>
    Buffer.concat(values.map((value) => encode(field, value)));
const packed =
  <T>(encode: (value: T) => Uint8Array) =>
  (field: number, values: readonly T[]): Uint8Array =>
    lengthField(field, Buffer.concat(values.map(encode)));
const spans = each((field, [offset, length]: readonly [number, number]) =>
  lengthField(field, Buffer.concat([varintField(1, zigzag(offset)), varintField(2, length)])),
);
const deltas = packed((value: number | bigint) => varint(BigInt(zigzag(value))));
const doubles = packed((value: number) => double(0, value).subarray(1));

const histogramFields: Readonly<Record<keyof WriteHistogram, readonly [number, Encode]>> = {
  count_int: [1, varintField],
  count_float: [2, double],
  sum: [3, double],
  schema: [4, (field, value: number) => varintField(field, zigzag(value))],
  zero_threshold: [5, double],
  zero_count_int: [6, varintField],
  zero_count_float: [7, double],
  negative_spans: [8, spans],
  negative_deltas: [9, deltas],
  negative_counts: [10, doubles],
  positive_spans: [11, spans],
  positive_deltas: [12, deltas],
  positive_counts: [13, doubles],
  reset_hint: [14, varintField],
  timestamp: [15, varintField],
  custom_values: [16, doubles],
  start_timestamp: [17, varintField],
};

function encodeHistogram(histogram: WriteHistogram): Uint8Array {
  return Buffer.concat(
    Object.entries(histogram).map(([name, value]) => {
      const [field, encode] = histogramFields[name as keyof WriteHistogram];
      return encode(field, value as never);
    }),
  );
}

function encodeMetadata({ type, name, help, unit }: WriteMetadata): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(1 << 3, type),
    lengthField(2, Buffer.from(name)),
    lengthField(4, Buffer.from(help)),
    lengthField(5, Buffer.from(unit)),
  ]);
}

const zigzag = (value: number | bigint): bigint => {
  const exact = BigInt(value);
  return exact < 0n ? -2n * exact - 1n : 2n * exact;
};

function double(field: number, value: number | bigint): Uint8Array {
  const bytes = Buffer.alloc(9);
  bytes.writeUInt8((field << 3) | 1);
  if (typeof value === 'bigint') bytes.writeBigUInt64LE(value, 1);
  else bytes.writeDoubleLE(value, 1);
  return bytes;
}

function varintField(field: number, value: number | bigint): Uint8Array {
  return Buffer.concat([varint(BigInt(field << 3)), varint(BigInt(value))]);
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
