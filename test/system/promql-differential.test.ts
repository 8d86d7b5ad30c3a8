import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resultPieces } from '../../lake/api/prometheus/encode.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { PromqlError } from '../../lake/promql/errors.ts';
import { defaultLookbackMs, defaultQueryLimits } from '../../lake/promql/limits.ts';
import { memorySource } from '../../lake/promql/memory-source.ts';
import { instantQuery, parseQuery, type QueryOptions, rangeQuery } from '../../lake/promql/query.ts';
import type { SeriesSource } from '../../lake/promql/source.ts';
import { writeRequestBody } from '../../lake/receive/remote-write/encode.fixture.ts';
import { type Part, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, startProgram, waitFor } from '../harness/process.ts';
import { findProgram, sharedFolder } from '../harness/programs.ts';
import { dataMinutes, differentialSeries, seriesData } from '../harness/promql-data.ts';
import { sampleQueries } from '../harness/promql-queries.ts';

// The same samples in a real Prometheus and here, and the same questions to both: the same answers, to 12 digits. Most
// questions are answered by the language alone, in this process; every eighth goes to a gateway, which has got its samples
// by remote write as Prometheus has.

const seed = Number(process.env.FIRN_PROMQL_SEED ?? 20_261_126);
const queriesCount = 2000;
const prometheus = process.env.FIRN_PROMETHEUS ?? findProgram('prometheus');
const compliance = sharedFolder && join(sharedFolder, 'corpora', 'promql-compliance', 'dev', 'queries.jsonl');

const startMs = Math.floor(Date.now() / 3_600_000) * 3_600_000 - 3_600_000;
const endMs = startMs + dataMinutes * 60_000;

describe.skipIf(!prometheus)('as Prometheus answers (skipped where it is not installed: test/setup)', () => {
  const folder = temporaryFolder();
  let theirs = '';
  let ours = '';
  const parts: AsyncDisposable[] = [];
  beforeAll(async () => {
    const gateway: Part = await startPart('gateway', [
      ...['--data-dir', join(folder.path, 'gateway'), '--identity-labels', 'false', '--log-level', 'warn'],
    ]);
    parts.push(gateway);
    ours = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
    theirs = `http://127.0.0.1:${await freePort()}`;
    writeFileSync(join(folder.path, 'prometheus.yml'), '{}\n');
    parts.push(
      startProgram(prometheus ?? '', [
        `--config.file=${join(folder.path, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder.path, 'tsdb')}`,
        `--web.listen-address=${new URL(theirs).host}`,
        '--web.enable-remote-write-receiver',
        '--enable-feature=promql-experimental-functions,promql-delayed-name-removal,native-histograms,promql-per-step-stats',
      ]),
    );
    await waitFor('Prometheus', 30_000, async () => {
      const response = await fetch(`${theirs}/-/ready`).catch(() => undefined);
      return response?.ok ? true : undefined;
    });
    const body = Buffer.from(writeRequestBody(differentialSeries(startMs)));
    for (const base of [theirs, ours]) {
      const headers = { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf' };
      const response = await fetch(`${base}/api/v1/write`, { method: 'POST', headers, body });
      expect(response.ok, await response.text()).toBe(true);
    }
  }, 60_000);
  afterAll(async () => {
    for (const part of parts) await part[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const range = { start: startMs + 100_000, end: endMs + 400_000, step: 61_000 };
  const ask = async (base: string, query: string, times: Times, more = {}): Promise<Answer> => {
    const params = new URLSearchParams({ query, ...more });
    for (const [name, ms] of Object.entries(times)) params.set(name, String(ms / 1000));
    const path = 'time' in times ? 'query' : 'query_range';
    const response = await fetch(`${base}/api/v1/${path}`, { method: 'POST', body: params });
    return (await response.json()) as Answer;
  };
  const source = memorySource(differentialSeries(startMs).map(seriesData));
  const compare = async (query: string, times: Times, gateway: boolean): Promise<string | undefined> => {
    const [there, here] = await Promise.all([
      ask(theirs, query, times),
      gateway ? ask(ours, query, times) : askLanguage(source, query, times),
    ]);
    const why = difference(query, there, here);
    return why && `${query} ${JSON.stringify(times)}: ${why}`;
  };

  test(`${queriesCount} queries by the grammar (seed ${seed}: FIRN_PROMQL_SEED)`, async () => {
    const queries = sampleQueries(queriesCount, seed);
    const wrong = await inParallel(queries, async (query, index) =>
      // Every fourth at one time only; these are what sort and staleness are seen by.
      compare(query, index % 3 === 0 ? { time: startMs + (index % 3000) * 1000 } : range, index % 8 === 0),
    );
    expect(wrong).toEqual([]);
    expect(queries.length).toBe(queriesCount);
  });

  test.skipIf(!compliance)("the queries of PromLabs' compliance tester", async () => {
    const lines = readFileSync(compliance ?? '', 'utf8')
      .split('\n')
      .filter((line) => line !== '');
    const queries = lines.map((line) => (JSON.parse(line) as { query: string }).query);
    const times = { start: endMs - 720_000, end: endMs - 120_000, step: 10_000 };
    expect(await inParallel(queries, (query, index) => compare(query, times, index % 8 === 0))).toEqual([]);
    expect(queries.length).toBeGreaterThan(200);
  });

  test.each(countedQueries(startMs))(
    'samples of %s, by step, also when they are remembered',
    async (query) => {
      const samplesOf = async (base: string, times: Times): Promise<object> => {
        const { data } = await ask(base, query, times, { stats: 'all' });
        expect(Object.keys(data?.stats?.timings ?? {})).toEqual(timings);
        const { totalQueryableSamplesPerStep, totalQueryableSamples } = data?.stats?.samples ?? {};
        return { totalQueryableSamplesPerStep, totalQueryableSamples };
      };
      for (const times of [{ time: startMs + 1_000_000 }, range]) {
        const there = await samplesOf(theirs, times);
        for (let time = 0; time < 3; time++) expect(await samplesOf(ours, times)).toEqual(there);
      }
    },
  );
});

/** Queries whose samples are counted as Prometheus counts them; native histograms are not (README). */
const countedQueries = (ms: number): readonly string[] => [
  'temperature',
  'temperature{job="api"} offset 5m',
  `temperature @ ${ms / 1000 + 900} * 2`,
  'sum by (job) (rate(requests_total[5m]))',
  'max_over_time(temperature[10m] offset 3m)',
  `sum_over_time(temperature[10m] @ ${ms / 1000 + 900})`,
  'sum_over_time(temperature[10m:1m])',
  'avg_over_time(rate(requests_total[5m])[10m:30s])',
  'min_over_time(max_over_time(temperature[3m])[10m:1m] offset 1m)',
  'timestamp(temperature)',
  'histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))',
  'temperature > 22 or vector(0)',
  'absent(nothing)',
  'absent_over_time(temperature[1m])',
  'topk(2, temperature)',
  'requests_total * on (job) group_left (team) job_info',
  'scalar(sum(temperature)) + time()',
  'count_values("value", job_info)',
  'quantile_over_time(0.5, temperature[5m])',
  'temperature unless temperature offset 10m',
];
const timings = [
  ...['evalTotalTime', 'resultSortTime', 'queryPreparationTime', 'innerEvalTime', 'execQueueTime'],
  'execTotalTime',
];

type Times = { time: number } | { start: number; end: number; step: number };

type Point =
  | string
  | {
      readonly count: string;
      readonly sum: string;
      readonly buckets?: readonly (readonly (string | number)[])[];
    };

interface Answer {
  readonly status: string;
  readonly errorType?: string;
  readonly error?: string;
  readonly data?: {
    readonly resultType: string;
    readonly stats?: { readonly timings: object; readonly samples: Record<string, unknown> };
    readonly result: readonly {
      readonly metric: Record<string, string>;
      readonly value?: readonly [number, Point];
      readonly values?: readonly (readonly [number, Point])[];
      readonly histogram?: readonly [number, Point];
      readonly histograms?: readonly (readonly [number, Point])[];
    }[];
  };
}

/** The answer of the HTTP API without the gateway around it. */
async function askLanguage(source: SeriesSource, text: string, times: Times): Promise<Answer> {
  const options: QueryOptions = {
    ...{ source, clock: systemClock, limits: defaultQueryLimits, lookbackMs: defaultLookbackMs },
    signal: new AbortController().signal,
  };
  try {
    const query = parseQuery(text);
    const { data } =
      'time' in times
        ? await instantQuery(query, times.time, options)
        : await rangeQuery(query, { startMs: times.start, endMs: times.end, stepMs: times.step }, options);
    return JSON.parse(`{"status":"success","data":{${[...resultPieces(data)].join('')}}}`) as Answer;
  } catch (error) {
    if (!(error instanceof PromqlError)) throw error;
    return { status: 'error', errorType: error.errorType, error: error.message };
  }
}

/** Runs a few at a time; gives what they found. */
async function inParallel(
  queries: readonly string[],
  run: (query: string, index: number) => Promise<string | undefined>,
): Promise<readonly string[]> {
  const wrong: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < queries.length; index = next++) {
      const why = await run(queries[index] ?? '', index);
      if (why !== undefined) wrong.push(why);
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  return wrong;
}

/** What Prometheus has changed since 3.5: there these are no errors now, or they are. */
function changedSince(query: string, there: Answer, here: Answer): boolean {
  // label_replace and label_join put series together that have come to be the same, where they do not overlap.
  if (there.error === 'vector cannot contain metrics with the same labelset') return query.includes('label_');
  // Pairs that a comparison filters out count as matched.
  return here.error?.startsWith('multiple matches for labels') === true && /[<>]|[!=]=/.test(query);
}

function difference(query: string, there: Answer, here: Answer): string | undefined {
  if (changedSince(query, there, here)) return undefined;
  if (there.status !== here.status || there.errorType !== here.errorType)
    return `${there.status} ${there.error ?? ''} there, ${here.status} ${here.error ?? ''} here`;
  if (there.status !== 'success') return undefined;
  if (there.data?.resultType !== here.data?.resultType) return `a ${here.data?.resultType}`;
  if (!Array.isArray(there.data?.result) || typeof there.data.result[0] !== 'object')
    return samePoint(String(there.data?.result[1]), String(here.data?.result[1]))
      ? undefined
      : 'another scalar';
  const [wanted, got] = [pointsOf(there), pointsOf(here)];
  for (const key of new Set([...wanted.keys(), ...got.keys()])) {
    const [their, our] = [wanted.get(key), got.get(key)];
    if (their === undefined || our === undefined || !samePoint(their, our))
      return `${key}: ${JSON.stringify(their)} there, ${JSON.stringify(our)} here`;
  }
  const order = ({ data }: Answer): string =>
    (data?.result ?? []).map(({ metric }) => labelsOf(metric)).join();
  return there.data.resultType === 'matrix' && order(there) !== order(here) ? 'another order' : undefined;
}

const labelsOf = (metric: Record<string, string>): string => JSON.stringify(Object.entries(metric).sort());

function pointsOf({ data }: Answer): ReadonlyMap<string, Point> {
  const points = new Map<string, Point>();
  for (const { metric, value, values = [], histogram, histograms = [] } of data?.result ?? [])
    for (const [time, point] of [...(value ? [value] : values), ...(histogram ? [histogram] : histograms)])
      points.set(`${labelsOf(metric)} at ${time}`, point);
  return points;
}

function samePoint(one: Point, other: Point): boolean {
  if (typeof one === 'string' || typeof other === 'string')
    return typeof one === 'string' && typeof other === 'string' && sameNumber(one, other);
  const numbers = ({ count, sum, buckets = [] }: Exclude<Point, string>): readonly string[] =>
    [count, sum, ...buckets.flat()].map(String);
  const [left, right] = [numbers(one), numbers(other)];
  return left.length === right.length && left.every((text, index) => sameNumber(text, right[index] ?? ''));
}

function sameNumber(one: string, other: string): boolean {
  if (one === other) return true;
  const [a, b] = [one, other].map((text) => Number(text.replace('Inf', 'Infinity'))) as [number, number];
  return Math.abs(a - b) <= 1e-12 * Math.max(Math.abs(a), Math.abs(b));
}
