import { compress } from 'snappyjs';
import { expect, test } from 'vitest';
import { canonicalLabels } from '../../model/labels.ts';
import { parseHistogramText } from '../../model/native-histogram.ts';
import { fromNative } from '../../promql/histograms/histogram.ts';
import { histogramOf, newSum } from '../../promql/histograms/sum.ts';
import { defaultQueryLimits } from '../../promql/limits.ts';
import { memorySource } from '../../promql/memory-source.ts';
import { bitsOf, type SeriesData, setStaleAt } from '../../promql/source.ts';
import { remoteWriteLimits } from '../../receive/remote-write/limits.ts';
import { receiveRemoteWrite } from '../../receive/remote-write/receive.ts';
import { createSeriesCache } from '../../receive/series-cache.ts';
import { decodeSnappy } from '../../receive/snappy.ts';
import { answerRemoteRead } from './remote-read.ts';

const labels = canonicalLabels([
  ['__name__', 'm'],
  ['host', 'ä'],
]);
const values = Float64Array.of(1.5, 0, -0, 4);
setStaleAt(bitsOf(values), 1);
const floats: SeriesData = { labels, timestampsMs: Float64Array.of(1000, 2000, 3000, 9000), values };
const histogram = histogramOf(
  newSum({
    ...{
      schema: 1,
      count: 6,
      sum: -3.5,
      zeroThreshold: 0.001,
      zeroCount: 1,
      hint: 'gauge',
      customValues: [],
    },
    ...{ positive: { indexes: [-2, -1, 4], counts: [1, 2, 1] }, negative: { indexes: [3], counts: [1] } },
  }),
);
const histograms: SeriesData = {
  ...{ labels: canonicalLabels([['__name__', 'h']]), timestampsMs: Float64Array.of(2000) },
  ...{ values: Float64Array.of(Number.NaN), histograms: [histogram] },
};

const field = (number: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of(number * 8 + 2, bytes.length), bytes]);
const text = (number: number, value: string): Buffer => field(number, Buffer.from(value));
/** {host=~".+"} or all names, in [0, 5000] ms. */
const query = (...matchers: readonly Buffer[]): Buffer =>
  field(1, Buffer.concat([Buffer.of(8, 0, 16, 0x88, 0x27), ...matchers.map((one) => field(3, one))]));
const matcher = (type: number, name: string, value: string): Buffer =>
  Buffer.concat([Buffer.of(8, type), text(2, name), text(3, value)]);

const options = {
  source: memorySource([floats, histograms]),
  limits: defaultQueryLimits,
  signal: new AbortController().signal,
};
const ask = (body: Uint8Array, change = {}) => answerRemoteRead(body, { ...options, ...change }, 1_000_000);

/** The message QueryResult is WriteRequest's twin, so the receiver of remote write reads what is answered. */
async function rowsOf(response: Response) {
  const answer = Buffer.from(decodeSnappy(new Uint8Array(await response.arrayBuffer()), 1_000_000));
  const [first] = answer;
  expect(first).toBe(10);
  const length = answer[1] ?? 0;
  const start = length < 128 ? 2 : 3;
  const received = receiveRemoteWrite(
    { contentType: undefined, contentEncoding: undefined },
    compress(
      answer.subarray(start, start + (length < 128 ? length : (length & 127) | ((answer[2] ?? 0) << 7))),
    ),
    { cache: createSeriesCache({ identity: [] }), limits: remoteWriteLimits },
  );
  if (!received.ok) throw new Error(received.message);
  return received.metrics;
}

test('samples come as they are, bit for bit, within the time', async () => {
  const response = await ask(compress(query(matcher(2, 'host', '.+'))));
  expect(response.headers.get('content-encoding')).toBe('snappy');
  const rows = await rowsOf(response);
  expect(rows.series.map((one) => one.labels)).toEqual(['{"__name__":"m","host":"ä"}']);
  expect([...rows.timestampUs]).toEqual([1_000_000n, 2_000_000n, 3_000_000n]);
  expect([...bitsOf(rows.value.slice())]).toEqual([...bitsOf(values.slice(0, 3))]);
});

test('native histograms keep their buckets', async () => {
  const rows = await rowsOf(await ask(compress(query(matcher(0, '__name__', 'h')))));
  const stored = rows.histogram?.[0] ?? '';
  const native = parseHistogramText(stored);
  expect(native.stale ? undefined : fromNative(native)).toEqual({ ...histogram });
});

test.each([
  ['no snappy', Buffer.from('nonsense')],
  ['no message', compress(Buffer.from('nonsense'))],
  ['cut off', compress(query(matcher(0, 'a', 'b')).subarray(0, 9))],
])('%s is the sender’s fault', async (_, body) => {
  await expect(ask(body)).rejects.toMatchObject({ code: 'invalid' });
});

test('many queries in one request are refused', async () => {
  const body = compress(Buffer.concat(Array.from({ length: 101 }, () => query(matcher(0, 'a', 'b')))));
  await expect(ask(body)).rejects.toMatchObject({ errorType: 'bad_data' });
});
