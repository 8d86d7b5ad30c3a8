import fc from 'fast-check';
import { compress } from 'snappyjs';
import { expect, test } from 'vitest';
import { type LabelLimits, labelLimits } from '../label-limits.ts';
import { createSeriesCache, type SeriesCache } from '../series-cache.ts';
import { createSeriesGuard } from '../series-guard.ts';
import { encodeWriteRequest, lengthField, type WriteSeries, writeRequestBody } from './encode.fixture.ts';
import { type RemoteWriteLimits, remoteWriteLimits } from './limits.ts';
import { type RemoteWriteResult, receiveRemoteWrite } from './receive.ts';

const plain = { contentType: undefined, contentEncoding: undefined };

function receive(
  body: Uint8Array,
  options: { cache?: SeriesCache; limits?: Partial<RemoteWriteLimits>; headers?: object } = {},
): RemoteWriteResult {
  return receiveRemoteWrite({ ...plain, ...options.headers }, body, {
    cache: options.cache ?? createSeriesCache({ identity: [] }),
    limits: { ...remoteWriteLimits, ...options.limits },
  });
}

function batchOf(result: RemoteWriteResult) {
  if (!result.ok) throw new Error(result.message);
  return result.metrics;
}

const up: WriteSeries = {
  labels: [
    ['__name__', 'up'],
    ['job', 'a'],
  ],
  samples: [
    [1_700_000_000_123, 1.5],
    [-1, -0],
  ],
};
const staleBits = 0x7ff0000000000002n;

test('samples become rows: microseconds, values bit for bit, one entry a series', () => {
  const stale: WriteSeries = { labels: [['__name__', 'stale']], samples: [[0, staleBits]] };
  const batch = batchOf(receive(writeRequestBody([up, stale, up])));
  expect(batch.series.map(({ labels }) => labels)).toEqual([
    '{"__name__":"up","job":"a"}',
    '{"__name__":"stale"}',
  ]);
  const [upId, staleId] = batch.series.map(({ id }) => id);
  expect([...batch.seriesId]).toEqual([upId, upId, staleId, upId, upId]);
  expect([...batch.timestampUs]).toEqual([
    1_700_000_000_123_000n,
    -1000n,
    0n,
    1_700_000_000_123_000n,
    -1000n,
  ]);
  expect([...batch.value.slice(0, 2)]).toEqual([1.5, -0]);
  expect(new BigUint64Array(batch.value.buffer, batch.value.byteOffset, 5)[2]).toBe(staleBits);
});

test('any series comes back as it was sent', () => {
  const name = fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' });
  const series = fc.record({
    labels: fc
      .dictionary(name, fc.string({ minLength: 1, unit: 'grapheme' }), { maxKeys: 5 })
      .map((others) =>
        Object.entries({ ...others, __name__: 'm' }).sort(([a], [b]) =>
          Buffer.compare(Buffer.from(a), Buffer.from(b)),
        ),
      ),
    samples: fc.array(
      fc.tuple(fc.integer({ min: -1e12, max: 4e12 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
      { maxLength: 5 },
    ),
  });
  fc.assert(
    fc.property(fc.array(series, { maxLength: 5 }), (sent) => {
      const batch = batchOf(receive(writeRequestBody(sent)));
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

test('identity labels are in the series id; the sender keeps its own as exported_', () => {
  const cache = createSeriesCache({ identity: [['job', 'gateway']] });
  const first = batchOf(receive(writeRequestBody([up]), { cache }));
  expect(first.series.map(({ labels }) => labels)).toEqual([
    '{"__name__":"up","exported_job":"a","job":"gateway"}',
  ]);
  cache.markDurable(first.series);
  const second = batchOf(receive(writeRequestBody([up]), { cache }));
  expect(second.series).toEqual([]);
  expect(second.seriesId).toEqual(first.seriesId);
});

test('labels that stand after the samples are the same series', () => {
  const before = writeRequestBody([up]);
  const label = (name: string, value: string) =>
    lengthField(1, Buffer.concat([lengthField(1, Buffer.from(name)), lengthField(2, Buffer.from(value))]));
  const samples = encodeWriteRequest([{ labels: [], samples: up.samples }]).subarray(2);
  const after = Buffer.concat([samples, label('__name__', 'up'), label('job', 'a')]);
  const around = Buffer.concat([label('__name__', 'up'), samples, label('job', 'a')]);
  for (const series of [after, around])
    expect(receive(compress(lengthField(1, series)))).toEqual(receive(before));
});

test('labels in any order are the same series', () => {
  const sorted = batchOf(receive(writeRequestBody([up])));
  const unsorted = batchOf(receive(writeRequestBody([{ ...up, labels: [...up.labels].reverse() }])));
  expect(unsorted).toEqual(sorted);
});

test('a request may hold metadata only, or nothing', () => {
  const metadata = [{ type: 1, name: 'http_requests', help: 'Requests.', unit: 'requests' }];
  expect(batchOf(receive(writeRequestBody([], metadata)))).toMatchObject({
    rows: 0,
    metadata: [{ name: 'http_requests', type: 'counter', help: 'Requests.', unit: 'requests' }],
  });
  expect(batchOf(receive(writeRequestBody([])))).toMatchObject({ rows: 0, metadata: [] });
});

test('exemplars become rows of their own, a wrong one is no reason to refuse anything', () => {
  const exemplars: WriteSeries['exemplars'] = [
    {
      labels: [
        ['trace_id', 'abc'],
        ['a', 'b'],
      ],
      value: 0.5,
      timestampMs: 7,
    },
    { labels: [['', 'b']], value: 1, timestampMs: 7 },
    { labels: [], value: 1, timestampMs: 2 ** 60 },
  ];
  const result = receive(writeRequestBody([{ ...up, exemplars }]));
  expect(result).toMatchObject({
    ...{ ok: true, refusal: undefined, metrics: { rows: 2 } },
    exemplars: {
      ...{ rows: 1, timestampUs: BigInt64Array.of(7000n), value: Float64Array.of(0.5) },
      ...{ exemplarLabels: ['{"a":"b","trace_id":"abc"}'], traceId: ['abc'] },
    },
  });
});

const labelled = (...labels: [string, string][]): Uint8Array =>
  writeRequestBody([{ labels, samples: [[1, 1]] }]);
const rawLabel = (name: Uint8Array, value: Uint8Array): Uint8Array =>
  compress(lengthField(1, lengthField(1, Buffer.concat([lengthField(1, name), lengthField(2, value)]))));

test.each<[string, Uint8Array, RegExp]>([
  [
    'a label twice',
    labelled(['__name__', 'a'], ['b', '1'], ['b', '2']),
    /series 1: label "b" is there twice/,
  ],
  ['an empty name', labelled(['', '1'], ['__name__', 'a']), /label 1 has an empty name/],
  ['no __name__', labelled(['b', '1']), /__name__ is missing in \{b="1"\}/],
  ['an empty __name__', labelled(['__name__', '']), /__name__ is missing/],
  ['no labels', labelled(), /no labels/],
  ['a name that is not UTF-8', rawLabel(Uint8Array.of(0xff), Uint8Array.of(65)), /name 1 is not valid UTF-8/],
  [
    'a value that is not UTF-8',
    rawLabel(Buffer.from('a'), Uint8Array.of(0xc0)),
    /value of label "a" is not valid/,
  ],
  [
    'a timestamp beyond its range',
    writeRequestBody([{ ...up, samples: [[2 ** 62, 1]] }]),
    /timestamp .* out of range/,
  ],
  [
    'a timestamp before its range',
    writeRequestBody([{ ...up, samples: [[-9_000_000_000_001, 1]] }]),
    /timestamp .* out of range/,
  ],
  [
    'metadata without a name',
    writeRequestBody([], [{ type: 1, name: '', help: '', unit: '' }]),
    /metric_family_name/,
  ],
])('%s: the rest is taken, and the sender told', (_, body, message) => {
  expect(receive(body)).toMatchObject({
    ok: true,
    refusal: { status: 400, message: expect.stringMatching(message) },
  });
});

test.each<[string, Uint8Array, RegExp]>([
  ['bytes that are not snappy', Buffer.from('not snappy'), /not a valid snappy block/],
  ['bytes that are not protobuf', compress(Buffer.from('not protobuf')), /not a valid protobuf message/],
  [
    'a message that is cut off',
    compress(encodeWriteRequest([up]).subarray(0, -1)),
    /not a valid protobuf message/,
  ],
])('%s: 400 with the reason', (_, body, message) => {
  expect(receive(body)).toMatchObject({ ok: false, status: 400, message: expect.stringMatching(message) });
});

test('one bad series does not refuse the good ones around it', () => {
  const bad: WriteSeries = { labels: [['b', '1']], samples: [[1, 1]] };
  expect(receive(writeRequestBody([up, bad, up, bad]))).toMatchObject({
    ok: true,
    metrics: { rows: 4 },
    refusal: { status: 400, message: expect.stringMatching(/^series 2: .* \(and 1 more\)$/) },
  });
});

test('new series beyond the guard are refused with 429, the others go on', () => {
  const guard = createSeriesGuard({ activeSeriesMax: 1, newSeriesPerMinuteMax: 0 }, () => 0);
  const cache = createSeriesCache({ identity: [], guard });
  const other: WriteSeries = { ...up, labels: [['__name__', 'other']] };
  const bad: WriteSeries = { ...up, labels: [['b', '1']] };
  for (const status of [429, 429])
    expect(receive(writeRequestBody([up, other]), { cache })).toMatchObject({
      ok: true,
      metrics: { rows: 2 },
      refusal: { status, message: expect.stringMatching(/series 2: .*1 active series.*activeSeriesMax/) },
    });
  // What is wrong as well must not be sent again.
  expect(receive(writeRequestBody([other, bad]), { cache })).toMatchObject({ refusal: { status: 400 } });
  expect(guard.counts()).toEqual({ active: 1, admitted: 1, refused: 3 });
});

const two = writeRequestBody([up, { ...up, labels: [['__name__', 'other']] }]);
test.each<[keyof RemoteWriteLimits, number, 400 | 413]>([
  ['bodyBytesMax', two.length, 413],
  ['decodedBytesMax', encodeWriteRequest([up, { ...up, labels: [['__name__', 'other']] }]).length, 413],
  ['seriesPerRequestMax', 2, 400],
  ['rowsPerRequestMax', 4, 400],
])('%s: %i is accepted, one less is answered with %i', (name, value, status) => {
  expect(receive(two, { limits: { [name]: value } }).ok).toBe(true);
  expect(receive(two, { limits: { [name]: value - 1 } })).toMatchObject({ ok: false, status });
});

test.each<[keyof LabelLimits, number]>([
  ['labelsPerSeriesMax', 2],
  ['labelNameBytesMax', 8],
  ['labelValueBytesMax', 5],
])('%s: %i is accepted, with one less the series is refused', (name, value) => {
  const cacheOf = (max: number) =>
    createSeriesCache({ identity: [], limits: { ...labelLimits, [name]: max } });
  expect(receive(two, { cache: cacheOf(value) })).toMatchObject({ ok: true, refusal: undefined });
  expect(receive(two, { cache: cacheOf(value - 1) })).toMatchObject({
    ok: true,
    refusal: { status: 400, message: expect.stringContaining(`limits.${name}`) },
  });
});

test.each([
  [{ contentType: 'application/x-protobuf', contentEncoding: 'snappy' }, undefined],
  [{ contentType: 'application/x-protobuf;proto=prometheus.WriteRequest' }, undefined],
  [{ contentType: 'Application/X-Protobuf; charset=x; proto="prometheus.WriteRequest"' }, undefined],
  [
    { contentType: 'application/x-protobuf;proto=yolo' },
    /"yolo" is not known: send prometheus.WriteRequest or io/,
  ],
  [{ contentType: 'application/json' }, /"application\/json" is not accepted/],
  [{ contentEncoding: 'gzip' }, /"gzip" is not accepted: send snappy/],
  [{ contentEncoding: 'zstd' }, /send snappy/],
])('headers %j', (headers, message) => {
  const result = receive(writeRequestBody([up]), { headers });
  if (message === undefined) expect(result.ok).toBe(true);
  else expect(result).toMatchObject({ ok: false, status: 415, message: expect.stringMatching(message) });
});
