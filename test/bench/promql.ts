import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeRequestBody } from '../../lake/receive/remote-write/encode.fixture.ts';
import { startPart } from '../harness/firn.ts';
import { readFlags } from './flags.ts';
import { measureMonth } from './promql-month.ts';
import { ask, cellsOf, type Figures, ratios, rivals, type Subject, titles } from './promql-peers.ts';
import { measureRefresh } from './promql-refresh.ts';
import { runRemoteWriteLoad } from './remote-write-load.ts';

// PromQL on the same samples in Firn, Prometheus and VictoriaMetrics: 6 hours at 15 s, after everything is in its files.
// Answers are not remembered here, in none of the three; promql-refresh.ts measures what that is worth. With --growth: the
// last hour of ever more samples.

const stepMs = 15_000;
/** With the share of the faster peer's time and CPU that Firn is to take at most. */
const questions = [
  ['a', 'one series', 'm{host="0",sensor="1"}', 1],
  ['b', 'rate of 200 series', 'sum by (line) (rate(m{host=~"0|1|2|3"}[5m]))', 1],
  ['c', 'rate of all series', 'sum by (line) (rate(m[5m]))', 0.5],
  ['d', 'classic histograms', 'histogram_quantile(0.99, sum by (le) (rate(b_bucket[5m])))', 0.5],
  ['e', 'top of averages', 'topk(10, avg_over_time(m[1h]))', 0.5],
] as const;

export async function main(argv: readonly string[]): Promise<void> {
  const values = readFlags(argv, {
    series: { type: 'string', default: '10000', about: 'with a sample every 15 s' },
    hours: { type: 'string', default: '6', about: 'of samples' },
    rounds: { type: 'string', default: '5', about: 'of each query; the median counts' },
    alone: { type: 'boolean', default: false, about: 'without Prometheus and VictoriaMetrics' },
    growth: {
      type: 'boolean',
      default: false,
      about: 'the same queries while more and more samples are stored',
    },
    millions: { type: 'string', default: '1,10,100', about: 'of samples at which growth is measured' },
    node: { type: 'string', default: '', about: 'flags for the Node of the gateway' },
  });
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-promql-'));
  try {
    await using stack = new AsyncDisposableStack();
    const subjects = [
      await firn(stack, folder, values.node),
      ...(values.alone ? [] : await rivals(stack, folder)),
    ];
    const endMs = Math.floor(Date.now() / 60_000) * 60_000 - 120_000;
    const startMs = endMs - Number(values.hours) * 3_600_000;
    const [series, rounds] = [Number(values.series), Number(values.rounds)];
    if (values.growth) {
      const samples = values.millions.split(',').map((millions) => Number(millions) * 1e6);
      await grow(subjects, series, samples, endMs, rounds);
    } else {
      await load(subjects, series, startMs, startMs, endMs);
      await measure(subjects, startMs, endMs, rounds);
      const [ours] = subjects;
      if (ours) await measureRefresh(ours, questions, endMs);
      if (!values.alone) await measureMonth(folder, rounds);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function firn(stack: AsyncDisposableStack, folder: string, nodeOptions: string): Promise<Subject> {
  const flags = ['--data-dir', join(folder, 'firn'), '--log-level', 'warn', '--seal-interval-ms', '5000'];
  const launch = nodeOptions === '' ? {} : { env: { NODE_OPTIONS: nodeOptions } };
  const part = stack.use(await startPart('gateway', flags, launch));
  return { name: 'Firn', pid: part.pid, base: `http://127.0.0.1:${part.port('gatewayHttp')}` };
}

/** A fifth of the series are buckets of classic histograms; hosts have 50 sensors each, lines cut across them. */
function labelsOf(index: number, series: number): [string, string][] {
  const buckets = Math.floor(series / 5);
  if (index < buckets) {
    const le = ['0.1', '0.25', '0.5', '1', '2.5', '5', '10', '30', '60', '+Inf'][index % 10] ?? '+Inf';
    return [
      ['__name__', 'b_bucket'],
      ['host', String(Math.floor(index / 10))],
      ['le', le],
    ];
  }
  return [
    ['__name__', 'm'],
    ['host', String(Math.floor((index - buckets) / 50))],
    ['line', `line-${index % 37}`],
    ['sensor', String((index - buckets) % 50)],
  ];
}

/** Ever more samples of the same series, up to the same end; what is asked for is the last hour of them. */
async function grow(
  subjects: readonly Subject[],
  series: number,
  sizes: readonly number[],
  endMs: number,
  rounds: number,
): Promise<void> {
  const most = Math.ceil(Math.max(...sizes) / series) * stepMs;
  const firstMs = endMs - most;
  let loadedMs = firstMs;
  for (const size of sizes) {
    const untilMs = firstMs + Math.ceil(size / series) * stepMs;
    await load(subjects, series, firstMs, loadedMs, untilMs);
    loadedMs = untilMs;
    await measure(subjects, Math.max(firstMs, untilMs - 3_600_000), untilMs, rounds);
  }
}

/** Writes the samples of [fromMs, toMs) to all; the values are those of series that begin at `startMs`. */
async function load(
  subjects: readonly Subject[],
  series: number,
  startMs: number,
  fromMs: number,
  toMs: number,
): Promise<void> {
  const stepsPerRequest = 40;
  const spent = subjects.map(() => 0);
  // Some steps of some series a request, so that the requests of all of them fit into memory.
  for (let atMs = fromMs; atMs < toMs; atMs += stepsPerRequest * stepMs) {
    const untilMs = Math.min(toMs, atMs + stepsPerRequest * stepMs);
    const bodies = requestsOf(series, startMs, atMs, untilMs);
    for (const [index, { base }] of subjects.entries())
      spent[index] = (spent[index] ?? 0) + (await runRemoteWriteLoad(`${base}/api/v1/write`, bodies, 2));
  }
  const samples = series * Math.ceil((toMs - fromMs) / stepMs);
  console.log(`${samples / 1e6} million samples of ${series} series`);
  for (const [index, { name }] of subjects.entries())
    console.log(`  ${name}: written in ${spent[index]?.toFixed(1)} s`);
  // Until what is written lies in files: two seals, and what Prometheus and VictoriaMetrics do by themselves.
  await new Promise((resolve) => setTimeout(resolve, 20_000));
}

const seriesPerRequest = 250;

function requestsOf(series: number, startMs: number, fromMs: number, toMs: number): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  for (let first = 0; first < series; first += seriesPerRequest) {
    const some = Array.from({ length: Math.min(seriesPerRequest, series - first) }, (_, offset) => {
      const index = first + offset;
      const samples: [number, number][] = [];
      for (let atMs = fromMs; atMs < toMs; atMs += stepMs)
        samples.push([atMs, valueAt(index, (atMs - startMs) / stepMs)]);
      return { labels: labelsOf(index, series), samples };
    });
    bodies.push(writeRequestBody(some));
  }
  return bodies;
}

/** A counter that restarts now and then. */
const valueAt = (index: number, step: number): number =>
  ((step + index * 7) % 997) * (1 + (index % 10)) + Math.floor(5 * Math.sin(step / 20 + index));

async function measure(
  subjects: readonly Subject[],
  startMs: number,
  endMs: number,
  rounds: number,
): Promise<void> {
  const range = `start=${startMs / 1000}&end=${endMs / 1000}`;
  const lookUp = `match[]=${encodeURIComponent('m{host="3"}')}`;
  const paths = [
    ...questions.map(([key, what, query, goal]) => {
      const text = encodeURIComponent(query);
      return { key, what, goal, path: `/api/v1/query_range?query=${text}&${range}&step=60&cache=off` };
    }),
    { key: 'f', what: 'values of a label', goal: 1, path: `/api/v1/label/sensor/values?${range}` },
    { key: 'f', what: 'series of a host', goal: 1, path: `/api/v1/series?${lookUp}&${range}` },
  ];
  console.log(titles);
  for (const { key, what, path, goal } of paths) {
    const all: Figures[] = [];
    for (const subject of subjects) {
      const figures = await ask(subject, path, rounds);
      all.push(figures);
      console.log(`(${key}) ${what}`.padEnd(24) + subject.name.padEnd(16) + cellsOf(figures));
    }
    const [ours, ...others] = all;
    if (ours && others.length > 0) console.log(`${''.padEnd(24)}${ratios(ours, others, goal)}`);
  }
}
