import type { Labels } from '../../model/labels.ts';
import type { Histogram } from '../../promql/histograms/histogram.ts';
import type { SeriesData } from '../../promql/source.ts';

// prometheus.ReadResponse (prompb/remote.proto, prompb/types.proto). Values are copied by their bits, because a staleness
// marker does not survive as a number.

/** The series of each query, in the order of the queries. */
export function encodeReadResponse(results: readonly (readonly SeriesData[])[]): Uint8Array {
  return Buffer.concat(results.map((series) => message(1, series.map(timeSeries))));
}

const timeSeries = ({ labels, timestampsMs, values, histograms }: SeriesData): Buffer => {
  const bits = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  const samples: Buffer[] = [];
  const ofHistograms: Buffer[] = [];
  for (const [index, timestampMs] of timestampsMs.entries()) {
    const histogram = histograms?.[index];
    if (histogram) ofHistograms.push(message(4, histogramFields(histogram, timestampMs)));
    else
      samples.push(
        message(2, [fixed64(1, bits.subarray(8 * index, 8 * index + 8)), integer(2, timestampMs)]),
      );
  }
  return message(1, [...labelFields(labels), ...samples, ...ofHistograms]);
};

const labelFields = (labels: Labels): Buffer[] =>
  labels.map((pair) =>
    message(
      1,
      pair.map((text, index) => bytesField(index + 1, Buffer.from(text))),
    ),
  );

const hints: Readonly<Record<Histogram['hint'], number>> = { unknown: 0, yes: 1, no: 2, gauge: 3 };

/** Counts are floats in all of them: whole ones mean the same. */
function histogramFields(histogram: Histogram, timestampMs: number): Buffer[] {
  const { count, sum, schema, zeroThreshold, zeroCount, negative, positive, hint, customValues } = histogram;
  return [
    ...[double(2, count), double(3, sum), integer(4, zigzag(schema)), double(5, zeroThreshold)],
    double(7, zeroCount),
    ...spans(8, negative.indexes),
    packed(10, negative.counts),
    ...spans(11, positive.indexes),
    packed(13, positive.counts),
    ...[integer(14, hints[hint]), integer(15, timestampMs), packed(16, customValues)],
  ];
}

/** Buckets in a row, each span after a gap of `offset` buckets. */
function spans(field: number, indexes: ArrayLike<number>): Buffer[] {
  const found: Buffer[] = [];
  let next = 0;
  for (let from = 0, to = 1; from < indexes.length; from = to, to++) {
    const first = indexes[from] ?? 0;
    while (to < indexes.length && indexes[to] === first + to - from) to++;
    found.push(message(field, [integer(1, zigzag(first - next)), integer(2, to - from)]));
    next = first + to - from;
  }
  return found;
}

const zigzag = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value);

function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

const integer = (field: number, value: number): Buffer => Buffer.concat([varint(field * 8), varint(value)]);
const fixed64 = (field: number, bits: Buffer): Buffer => Buffer.concat([varint(field * 8 + 1), bits]);
const bytesField = (field: number, bytes: Buffer): Buffer =>
  Buffer.concat([varint(field * 8 + 2), varint(bytes.length), bytes]);
const message = (field: number, parts: readonly Buffer[]): Buffer => bytesField(field, Buffer.concat(parts));

function double(field: number, value: number): Buffer {
  const bits = Buffer.alloc(8);
  bits.writeDoubleLE(value);
  return fixed64(field, bits);
}

const packed = (field: number, values: ArrayLike<number>): Buffer =>
  bytesField(field, Buffer.from(Float64Array.from(values).buffer));
