import fc from 'fast-check';
import { compress } from 'snappyjs';
import { expect, test } from 'vitest';
import { parseHistogramText } from '../../model/native-histogram.ts';
import { createSeriesCache, type SeriesCache } from '../series-cache.ts';
import {
  encodeWriteRequestV2,
  lengthField,
  type WriteHistogram,
  type WriteSeries,
  writeRequestBody,
} from './encode.fixture.ts';
import { type RemoteWriteLimits, remoteWriteLimits } from './limits.ts';
import { type RemoteWriteResult, receiveRemoteWrite } from './receive.ts';

const headers = {
  contentType: 'application/x-protobuf;proto=io.prometheus.write.v2.Request',
  contentEncoding: 'snappy',
};

function receiveBytes(
  bytes: Uint8Array,
  cache: SeriesCache = createSeriesCache({ identity: [] }),
  limits: Partial<RemoteWriteLimits> = {},
): RemoteWriteResult {
  return receiveRemoteWrite(headers, compress(bytes), { cache, limits: { ...remoteWriteLimits, ...limits } });
}

const receive = (series: readonly WriteSeries[], cache?: SeriesCache) =>
  receiveBytes(encodeWriteRequestV2(series), cache);

const up: WriteSeries = {
  labels: [
    ['__name__', 'up'],
    ['job', 'a'],
  ],
  samples: [
    [1000, 1.5, 500],
    [2000, 0x7ff0000000000002n],
  ],
};

test('a series is the same as in 1.0, and found by what the cache has from there', () => {
  const cache = createSeriesCache({ identity: [] });
  const first = receiveRemoteWrite(
    { contentType: undefined, contentEncoding: undefined },
    writeRequestBody([up]),
    { cache, limits: remoteWriteLimits },
  );
  const second = receive([up], cache);
  if (!first.ok || !second.ok) throw new Error('refused');
  expect(cache.size).toBe(1);
  expect(second.metrics.seriesId).toEqual(first.metrics.seriesId);
  expect(second.metrics.startTimestampUs).toEqual([500_000n, null]);
  const bits = (batch: typeof first.metrics) =>
    new BigUint64Array(batch.value.buffer, batch.value.byteOffset, batch.rows);
  expect(bits(second.metrics)).toEqual(bits(first.metrics));
});

test('metadata comes once a metric, of the family where the series is a part of it', () => {
  const part = (name: string, type: number): WriteSeries => ({
    labels: [['__name__', name]],
    samples: [[1, 1]],
    metadata: { type, help: 'How.', unit: 's' },
  });
  const result = receive([
    ...[part('a_total', 1), part('a_total', 1), part('b_bucket', 3), part('c_count', 2)],
    { ...up, metadata: { type: 0, help: '', unit: '' } },
  ]);
  expect(result.ok && result.metrics.metadata).toEqual([
    { name: 'a_total', type: 'counter', help: 'How.', unit: 's' },
    { name: 'b', type: 'histogram', help: 'How.', unit: 's' },
    { name: 'c_count', type: 'gauge', help: 'How.', unit: 's' },
  ]);
});

test('exemplars keep their labels', () => {
  const exemplars = [{ labels: [['span_id', 'x']] as const, value: 2, timestampMs: 5 }];
  expect(receive([{ ...up, exemplars }])).toMatchObject({
    ...{ ok: true, refusal: undefined },
    exemplars: { rows: 1, exemplarLabels: ['{"span_id":"x"}'], spanId: ['x'] },
  });
});

const histogram: WriteHistogram = {
  ...{ schema: 2, count_int: 2n ** 62n + 7n, sum: 20.5, zero_threshold: 1e-128, zero_count_int: 3 },
  ...{
    positive_spans: [[-1, 1] as const, [2, 2] as const],
    positive_deltas: [2n ** 62n, -(2n ** 62n) + 3n, -2n],
  },
  ...{ reset_hint: 2, timestamp: 5, start_timestamp: 3 },
};

test('native histograms are stored to the last bit of a count, in both versions', () => {
  const series: WriteSeries = { labels: [['__name__', 'h']], samples: [], histograms: [histogram] };
  const first = receiveRemoteWrite(
    { contentType: undefined, contentEncoding: undefined },
    writeRequestBody([series]),
    { cache: createSeriesCache({ identity: [] }), limits: remoteWriteLimits },
  );
  for (const result of [first, receive([series])]) {
    if (!result.ok) throw new Error(result.message);
    expect([result.histograms, result.refusal, result.metrics.value[0]]).toEqual([1, undefined, Number.NaN]);
    expect(result.metrics.timestampUs).toEqual(BigInt64Array.of(5000n));
    expect(result.metrics.startTimestampUs).toEqual([3000n]);
    expect(parseHistogramText(result.metrics.histogram?.[0] ?? '')).toEqual({
      ...{ schema: 2, integer: true, count: 2n ** 62n + 7n, sum: 20.5, stale: false },
      ...{ zeroThreshold: 1e-128, zeroCount: 3, negative: { spans: [], counts: [] }, customValues: [] },
      positive: {
        spans: [
          [-1, 1],
          [2, 2],
        ],
        counts: [2n ** 62n, 3, 1],
      },
      resetHint: 'no',
    });
  }
});

test('a stale histogram has the marker as its value; one that is wrong is refused alone', () => {
  const stale = { sum: 0x7ff0000000000002n, timestamp: 1 };
  const wrong = { ...histogram, count_int: 1 };
  const result = receive([{ labels: [['__name__', 'h']], samples: [], histograms: [stale, wrong] }]);
  if (!result.ok) throw new Error(result.message);
  expect(result.metrics.histogram).toEqual(['{"schema":0,"count":0,"sum":"StaleNaN"}']);
  const { value } = result.metrics;
  expect(new BigUint64Array(value.buffer, value.byteOffset, 1)).toEqual(
    BigUint64Array.of(0x7ff0000000000002n),
  );
  expect(result.refusal).toMatchObject({
    status: 400,
    message: expect.stringMatching(/a histogram is not valid: its buckets hold \d+ observations/),
  });
});

const varintOf = (value: number): Uint8Array => Uint8Array.of((value & 0x7f) | 0x80, value >>> 7);
const refs = (...values: number[]): Uint8Array =>
  lengthField(
    5,
    Buffer.concat([lengthField(1, Buffer.concat(values.map(varintOf))), Uint8Array.of(0x12, 0)]),
  );
const table = Buffer.concat(['', '__name__', 'up'].map((text) => lengthField(4, Buffer.from(text))));

test.each([
  ['an odd number of references', refs(1, 2, 1), /3 label references, which are no pairs/],
  ['a reference beyond the table', refs(1, 3), /label refers to symbol 3, of which there are 3/],
  ['no name', refs(2, 2), /__name__ is missing/],
  ['a series of 1.0', Uint8Array.of(0x0a, 0), /series of remote write 1.0/],
  [
    'metadata beyond the table',
    lengthField(
      5,
      Buffer.concat([lengthField(1, Uint8Array.of(1, 2)), lengthField(5, Uint8Array.of(0x18, 99))]),
    ),
    /its help refers to symbol 99/,
  ],
])('%s: the rest is taken, and the sender told', (_, bytes, message) => {
  const good = Buffer.concat([table, refs(1, 2)]);
  const result = receiveBytes(Buffer.concat([good, bytes]));
  expect(result).toMatchObject({
    ok: true,
    refusal: { status: 400, message: expect.stringMatching(message) },
  });
  expect(result.ok && result.metrics.rows).toBeGreaterThan(0);
});

test('symbols that stand after the series are found', () => {
  expect(receiveBytes(Buffer.concat([refs(1, 2), table]))).toMatchObject({ ok: true, metrics: { rows: 1 } });
});

test('long symbols that are used again and again do not multiply', () => {
  const long = Buffer.concat([table, lengthField(4, Buffer.alloc(10_000, 'a'))]);
  const many = Array.from({ length: 200 }, () => refs(1, 3));
  const result = receiveBytes(Buffer.concat([long, ...many]), undefined, { decodedBytesMax: 1_000_000 });
  expect(result).toMatchObject({
    ok: false,
    status: 413,
    message: expect.stringMatching(/where they are used/),
  });
});

test('any series comes back as it was sent', () => {
  const name = fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' });
  const series = fc.record({
    labels: fc
      .dictionary(name, fc.string({ minLength: 1, unit: 'grapheme' }), { maxKeys: 5 })
      .map((others) => Object.entries({ ...others, __name__: 'm' })),
    samples: fc.array(
      fc.tuple(fc.integer({ min: -1e12, max: 4e12 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
      { minLength: 1, maxLength: 5 },
    ),
  });
  fc.assert(
    fc.property(fc.array(series, { maxLength: 5 }), (sent) => {
      const result = receive(sent);
      if (!result.ok) throw new Error(result.message);
      const batch = result.metrics;
      const samples = sent.flatMap((one) => one.samples);
      expect([...batch.timestampUs]).toEqual(samples.map(([timestampMs]) => BigInt(timestampMs) * 1000n));
      const bits = new BigUint64Array(batch.value.buffer, batch.value.byteOffset, batch.rows);
      expect([...bits]).toEqual(samples.map(([, value]) => value));
      const labelsById = new Map(batch.series.map(({ id, labels }) => [id, JSON.parse(labels)]));
      expect([...batch.seriesId].map((id) => labelsById.get(id))).toEqual(
        sent.flatMap((one) => one.samples.map(() => Object.fromEntries(one.labels))),
      );
    }),
  );
});
