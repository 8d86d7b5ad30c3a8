import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseHistogramText } from '../../model/native-histogram.ts';
import { metricsOf, only, pointAt, receiver, samples, text, trace } from './receive.fixture.ts';

test('sums: counters end in _total, sums that may go down are gauges, units are suffixes', () => {
  const sum = (isMonotonic: boolean) => ({
    ...{ aggregationTemporality: 2, isMonotonic },
    dataPoints: [pointAt(5, { asInt: '-7', attributes: [text('a.b', '1'), text('a_b', '2')] })],
  });
  const request = receiver()(
    'metrics',
    metricsOf(
      { name: 'http.requests', unit: '1', sum: sum(true) },
      { name: 'queue', unit: 'By/s', sum: sum(false) },
      { name: 'load', unit: '1', gauge: { dataPoints: [pointAt(5, { asDouble: 0.5 })] } },
    ),
  );
  expect(samples(request)).toEqual([
    'http_requests_total{a_b="1;2"} -7',
    'queue_bytes_per_second{a_b="1;2"} -7',
    'load_ratio{} 0.5',
  ]);
  const { metadata, startTimestampUs } = only(request.batches, 'metrics');
  expect(metadata.map(({ name, type }) => [name, type])).toEqual([
    ['http_requests_total', 'counter'],
    ['queue_bytes_per_second', 'gauge'],
    ['load_ratio', 'gauge'],
  ]);
  expect(startTimestampUs).toEqual([1_000_000n, null, null]);
});

test('histograms and summaries become their series; a point without a value ends them', () => {
  const histogram = {
    aggregationTemporality: 2,
    dataPoints: [
      pointAt(5, { count: '6', sum: 30, bucketCounts: ['1', '2', '3'], explicitBounds: [1e-7, 10] }),
      pointAt(6, { flags: 1 }),
    ],
  };
  const summary = {
    dataPoints: [pointAt(5, { count: '2', sum: 3, quantileValues: [{ quantile: 0.5, value: 1 }] })],
  };
  const request = receiver()(
    'metrics',
    metricsOf({ name: 'h', histogram }, { name: 's', unit: 's', summary }),
  );
  expect(samples(request)).toEqual([
    ...[
      'h_bucket{le="0.0000001"} 1',
      'h_bucket{le="10"} 3',
      'h_bucket{le="+Inf"} 6',
      'h_sum{} 30',
      'h_count{} 6',
    ],
    ...['h_bucket{le="+Inf"} NaN', 'h_count{} NaN'],
    ...['s_seconds{quantile="0.5"} 1', 's_seconds_sum{} 3', 's_seconds_count{} 2'],
  ]);
  const { value } = only(request.batches, 'metrics');
  expect(new BigUint64Array(value.buffer, value.byteOffset)[5]).toBe(0x7ff0000000000002n);
});

test('exponential histograms become native ones; scales that are too fine are made coarser', () => {
  const dataPoint = (scale: number) =>
    pointAt(5, {
      ...{ scale, count: '10', sum: 30, zeroCount: '2' },
      positive: { offset: -1, bucketCounts: ['2', '0', '0', '0', '0', '3', '1'] },
      negative: { offset: 4, bucketCounts: ['2'] },
    });
  const request = receiver()(
    'metrics',
    metricsOf({
      name: 'e',
      exponentialHistogram: {
        aggregationTemporality: 2,
        dataPoints: [dataPoint(2), dataPoint(9), dataPoint(-5)],
      },
    }),
  );
  const { histogram = [] } = only(request.batches, 'metrics');
  expect(histogram.map((each) => parseHistogramText(each ?? ''))).toMatchObject([
    {
      schema: 2,
      zeroThreshold: 1e-128,
      positive: {
        spans: [
          [0, 1],
          [4, 2],
        ],
        counts: [2, 3, 1],
      },
      negative: { spans: [[5, 1]], counts: [2] },
    },
    { schema: 8, positive: { spans: [[0, 4]], counts: [2, 0, 0, 4] }, negative: { spans: [[3, 1]] } },
  ]);
  expect(request.rejected).toEqual({ count: 1, messages: ['e: scale -5 is less than -4'] });
});

test('differences are added up, once each; what could not be stored is taken back', () => {
  const receive = receiver();
  const delta = (seconds: number, value: number) =>
    receive(
      'metrics',
      metricsOf({
        name: 'c',
        sum: {
          aggregationTemporality: 1,
          isMonotonic: true,
          dataPoints: [pointAt(seconds, { asDouble: value })],
        },
      }),
    );
  expect(samples(delta(5, 2))).toEqual(['c_total{} 2']);
  const failed = delta(6, 10);
  failed.undo();
  expect(samples(delta(6, 10))).toEqual(['c_total{} 12']);
  const again = delta(6, 10);
  expect(again.rejected).toMatchObject({ count: 1, messages: [expect.stringMatching(/not newer/)] });
  expect(samples(delta(7, 1))).toEqual(['c_total{} 13']);
});

test('exemplars go to their bucket, and exemplars of sums to the sum', () => {
  const exemplar = {
    timeUnixNano: '5000000000',
    asDouble: 7,
    ...trace,
    filteredAttributes: [text('user', 'u')],
  };
  const histogram = {
    aggregationTemporality: 2,
    dataPoints: [
      pointAt(5, {
        count: '1',
        sum: 7,
        bucketCounts: ['0', '1', '0'],
        explicitBounds: [1, 10],
        exemplars: [exemplar],
      }),
    ],
  };
  const { batches } = receiver()('metrics', metricsOf({ name: 'h', histogram }));
  const exemplars = only(batches, 'exemplars');
  const metrics = only(batches, 'metrics');
  expect(exemplars).toMatchObject({ rows: 1, traceId: [trace.traceId], spanId: [trace.spanId] });
  expect(exemplars.exemplarLabels[0]).toContain('"user":"u"');
  expect(exemplars.seriesId[0]).toBe(metrics.seriesId[1]);
});

test('points that are wrong are rejected alone', () => {
  const good = pointAt(5, { asDouble: 1 });
  const { batches, rejected } = receiver()(
    'metrics',
    metricsOf(
      { name: 'a', gauge: { dataPoints: [{ asDouble: 1 }, pointAt(5, {}), good] } },
      { name: '°', gauge: { dataPoints: [good] } },
      { name: 'b', sum: { dataPoints: [good] } },
      {
        name: 'h',
        histogram: {
          aggregationTemporality: 2,
          dataPoints: [pointAt(5, { bucketCounts: ['1', '1', '1'], explicitBounds: [1] })],
        },
      },
    ),
  );
  expect(only(batches, 'metrics').rows).toBe(1);
  expect(rejected.count).toBe(5);
  expect(rejected.messages.join('\n')).toMatch(
    /no time.*\n.*no value.*\n.*no letter.*\n.*temporality.*\n.*1 bounds/,
  );
});

const corpora = join(import.meta.dirname, '../../../..', 'shared/corpora/wire');
interface PrometheusCase {
  readonly translation_strategy: string;
  readonly type_and_unit_labels: boolean;
  readonly expected: readonly { labels: Record<string, string>; value: number | string }[];
}

test.skipIf(!existsSync(corpora))('metrics become what Prometheus makes of them (skipped: no corpus)', () => {
  const { otlp_metrics_json } = JSON.parse(
    readFileSync(join(corpora, 'prom-otlp/request.otlp.json'), 'utf8'),
  );
  const cases = readFileSync(join(corpora, 'prom-otlp/dev/translation.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as PrometheusCase);
  // The default strategy; where the corpus lacks it, its names are those without the dots of the one that keeps them.
  const own = cases.find(
    (each) =>
      each.translation_strategy.endsWith('.UnderscoreEscapingWithSuffixes') && !each.type_and_unit_labels,
  );
  const dotted = cases.find((each) => each.translation_strategy.endsWith('.NoUTF8EscapingWithSuffixes'));
  const escaped = (labels: Record<string, string>) =>
    Object.fromEntries(
      Object.entries(labels).map(([name, value]) => [
        name.replaceAll('.', '_'),
        name === '__name__' ? value.replaceAll('.', '_') : value,
      ]),
    );
  const expected = (own ?? dotted)?.expected.map(({ labels, value }) => [escaped(labels), value]);
  const { batches, rejected } = receiver()('metrics', otlp_metrics_json);
  const { seriesId, value, series, histogram = [] } = only(batches, 'metrics');
  const labels = new Map(
    series.map((entry) => [entry.id, JSON.parse(entry.labels) as Record<string, string>]),
  );
  const got = [...seriesId].map((id, row) => [
    labels.get(id),
    histogram[row] ? parseHistogramText(histogram[row]).positive : value[row],
  ]);
  const sorted = (rows: unknown[][] = []) =>
    rows
      .map(([set, number]) =>
        JSON.stringify([
          Object.entries(set as object).sort(),
          typeof number === 'number' ? number : 'histogram',
        ]),
      )
      .sort();
  expect(rejected.messages).toEqual([]);
  expect(sorted(got)).toEqual(sorted(expected));
  expect(only(batches, 'exemplars').rows).toBe(1);
});
