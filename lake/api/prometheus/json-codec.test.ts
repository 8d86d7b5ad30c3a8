import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Histogram, noBuckets } from '../../promql/histograms/histogram.ts';
import type { ResultData } from '../../promql/result.ts';
import type { SeriesScan } from '../../scan/series-scan.ts';
import { resultPieces } from './encode.ts';
import { answerExemplars } from './exemplars.ts';
import type { Parameters } from './parameters.ts';

// Prometheus' own cases of its JSON, from the corpus beside the repository: what they say is read, and must come out again
// byte for byte.

const root = join(import.meta.dirname, '..', '..', '..');
const path = join(root, '..', 'shared', 'corpora', 'promql-parser', 'dev', 'json_codec.jsonl');
const cases = existsSync(path)
  ? readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { id: string; expected: string })
  : [];

type Bucket = readonly [rule: number, lower: string, upper: string, count: string];
interface JsonHistogram {
  readonly count: string;
  readonly sum: string;
  readonly buckets: readonly Bucket[];
}
interface JsonSeries {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
  readonly histograms?: readonly (readonly [number, JsonHistogram])[];
}
interface JsonExemplars {
  readonly seriesLabels: Readonly<Record<string, string>>;
  readonly exemplars: readonly { labels: Record<string, string>; value: string; timestamp: number }[];
}

const numberOf = (text: string): number => Number(text.replace('Inf', 'Infinity'));

/** Of schema 2, in which those of the cases are. */
function histogramOf({ count, sum, buckets }: JsonHistogram): Histogram {
  const index = (bound: string): number => Math.round(4 * Math.log2(Math.abs(numberOf(bound))));
  const side = (wanted: number, end: 1 | 2) => {
    const own = buckets.filter(([rule]) => rule === wanted).sort((a, b) => index(a[end]) - index(b[end]));
    return own.length === 0
      ? noBuckets
      : { indexes: own.map((bucket) => index(bucket[end])), counts: own.map(([, , , n]) => numberOf(n)) };
  };
  const zero = buckets.find(([rule]) => rule === 3);
  return {
    ...{ schema: 2, count: numberOf(count), sum: numberOf(sum), customValues: [], hint: 'unknown' },
    ...{ zeroThreshold: numberOf(zero?.[2] ?? '0'), zeroCount: numberOf(zero?.[3] ?? '0') },
    ...{ positive: side(0, 2), negative: side(1, 1) },
  };
}

const printed = (data: ResultData): string => `{${[...resultPieces(data)].join('')}}`;
const ms = (seconds: number): number => Math.round(seconds * 1000);

function matrixText(series: readonly JsonSeries[]): string {
  return printed({
    type: 'matrix',
    series: series.map(({ metric, values = [], histograms = [] }) => ({
      labels: Object.entries(metric),
      timestampsMs: Float64Array.from([...values, ...histograms], ([seconds]) => ms(seconds)),
      values: Float64Array.from([...values, ...histograms], ([, value]) =>
        typeof value === 'string' ? numberOf(value) : 0,
      ),
      ...(histograms.length > 0 && { histograms: histograms.map(([, value]) => histogramOf(value)) }),
    })),
  });
}

/** Samples of an instant query all have its time, those of the cases have not. */
function vectorText(series: readonly JsonSeries[]): string {
  const each = series.map(({ metric, value: [seconds, value] = [0, ''] }) => {
    const samples = [{ labels: Object.entries(metric), value: numberOf(value) }];
    return /\[(\{.*\})\]\}$/.exec(printed({ type: 'vector', timestampMs: ms(seconds), samples }))?.[1];
  });
  return `{"resultType":"vector","result":[${each.join()}]}`;
}

async function exemplarsText(found: readonly JsonExemplars[]): Promise<string> {
  const scan = {
    exemplars: async () =>
      found.map(({ seriesLabels, exemplars }) => ({
        labels: Object.entries(seriesLabels),
        exemplars: exemplars.map(({ labels, value, timestamp }) => ({
          ...{ labels: Object.entries(labels), value: numberOf(value), timestampMs: ms(timestamp) },
        })),
      })),
  } as unknown as SeriesScan;
  const parameters: Parameters = { text: (name) => (name === 'query' ? 'foo' : ''), all: () => [] };
  const answer = await answerExemplars(parameters, scan, new AbortController().signal);
  return ((await answer.text()).match(/"data":(.*)\}$/s) ?? [])[1] ?? '';
}

async function again(data: unknown): Promise<string> {
  if (!Array.isArray(data)) {
    const { resultType, result } = data as { resultType: string; result: readonly JsonSeries[] };
    return resultType === 'matrix' ? matrixText(result) : vectorText(result);
  }
  if (typeof data[0] !== 'number') return exemplarsText(data as JsonExemplars[]);
  const text = printed({ type: 'scalar', timestampMs: ms(data[0]), value: numberOf(String(data[1])) });
  return /"result":(.*)\}$/.exec(text)?.[1] ?? '';
}

test.skipIf(cases.length === 0)("Prometheus' JSON (skipped where the corpus is absent)", async () => {
  for (const { id, expected } of cases) {
    const { data } = JSON.parse(expected) as { data: unknown };
    // A time of the year 393189: milliseconds are doubles here, and none holds it.
    if (Array.isArray(data) && !Number.isSafeInteger(ms(Number(data[0]) || 0))) continue;
    expect([id, `{"status":"success","data":${await again(data)}}`]).toEqual([id, expected]);
  }
  expect(cases.length).toBeGreaterThan(10);
});
