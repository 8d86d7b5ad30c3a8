import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { compress } from 'snappyjs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { canonicalLabels, labelsJson } from '../model/labels.ts';
import { defaultLookbackMs, defaultQueryLimits } from './limits.ts';
import { memorySource } from './memory-source.ts';
import { instantQuery, parseQuery, type QueryResult, rangeQuery } from './query.ts';
import { bitsOf, type SeriesData, setStaleAt } from './source.ts';

// The same samples in a real Prometheus and here: the same answers, to 12 digits. FIRN_PROMETHEUS names its binary.

const binary = process.env.FIRN_PROMETHEUS ?? '';
const isThere = binary !== '' && existsSync(binary);
const baseMs = Math.floor(Date.now() / 3_600_000) * 3_600_000 - 3_600_000;

/** A small, repeatable source of chance. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Counters with restarts and gaps, gauges with odd values, classic histograms; at uneven times. */
function makeSeries(): readonly SeriesData[] {
  const random = chance(42);
  const all: SeriesData[] = [];
  const add = (pairs: Record<string, string>, next: (before: number) => number): void => {
    const times: number[] = [];
    const values: number[] = [];
    const stale: number[] = [];
    let value = Math.floor(random() * 10);
    for (let timeMs = baseMs; timeMs < baseMs + 3_000_000; timeMs += 14_000 + Math.floor(random() * 2000)) {
      value = next(value);
      const dice = random();
      if (dice < 0.05) continue;
      if (dice < 0.07) stale.push(values.length);
      times.push(timeMs);
      values.push(value);
    }
    const column = Float64Array.from(values);
    for (const index of stale) setStaleAt(bitsOf(column), index);
    const labels = canonicalLabels(Object.entries(pairs));
    all.push({ labels, timestampsMs: Float64Array.from(times), values: column });
  };
  for (const job of ['api', 'web', 'db']) {
    for (const instance of ['0', '1', '2']) {
      const at = { job, instance };
      add({ __name__: 'requests_total', ...at }, (before) => (random() < 0.03 ? 0 : before + random() * 7));
      add({ __name__: 'temperature', ...at }, () =>
        random() < 0.01 ? Number.NaN : 20 + random() * 5 - (random() < 0.05 ? 60 : 0),
      );
      for (const le of ['0.1', '1', '10', '+Inf'])
        add(
          { __name__: 'latency_bucket', le, ...at },
          (before) => before + Math.floor(random() * 4 + (le === '+Inf' ? 5 : Number(le) / 3)),
        );
    }
    add({ __name__: 'job_info', job, team: `team-${job}` }, () => 1);
  }
  return all;
}

const series = makeSeries();
const source = memorySource(series);

const queries = [
  'requests_total',
  'temperature offset 3m',
  'temperature{job=~"a.*|d.", instance!="1"}',
  'rate(requests_total[1m])',
  'rate(requests_total[5m])',
  'increase(requests_total[7m])',
  'delta(temperature[5m])',
  'irate(requests_total[2m])',
  'idelta(temperature[2m])',
  'deriv(temperature[10m])',
  'predict_linear(requests_total[10m], 600)',
  'resets(requests_total[20m])',
  'changes(temperature[5m])',
  ...'avg sum min max count stddev stdvar last present'
    .split(' ')
    .map((name) => `${name}_over_time(temperature[5m])`),
  'quantile_over_time(0.9, temperature[10m])',
  'mad_over_time(requests_total[10m])',
  'double_exponential_smoothing(temperature{job="api"}[5m], 0.3, 0.6)',
  'absent_over_time(temperature{job="none"}[5m])',
  ...'sum avg min max count stddev stdvar group'.split(' ').map((op) => `${op} by (job) (temperature)`),
  'sum without (instance) (rate(requests_total[5m]))',
  'quantile by (job) (0.75, temperature)',
  'topk(2, temperature)',
  'bottomk by (job) (1, rate(requests_total[3m]))',
  'count_values("value", floor(temperature / 10))',
  'temperature > 22',
  'temperature > bool 22',
  'temperature % 7 ^ 2 - 3 / temperature',
  'temperature * on (job) group_left (team) job_info',
  'rate(requests_total[5m]) / ignoring (job) group_left () sum by (instance) (rate(requests_total[5m]))',
  'temperature and requests_total > 50',
  'temperature{job="api"} or requests_total{job="web"}',
  'temperature unless on (instance) requests_total{job="api"} > 100',
  'histogram_quantile(0.9, sum by (le, job) (rate(latency_bucket[5m])))',
  'histogram_quantile(0.5, latency_bucket)',
  'max_over_time(rate(requests_total[2m])[10m:1m])',
  'sum_over_time(sum(temperature)[10m:37s] offset 2m)',
  'avg_over_time(temperature[5m] @ start())',
  'temperature @ start() - temperature',
  'label_replace(temperature, "host", "$2-$1", "job", "(.)(.*)")',
  'label_join(temperature, "both", "/", "job", "instance")',
  'clamp(temperature, 20, 23)',
  'round(temperature, 0.3)',
  'ln(abs(temperature)) + sqrt(abs(temperature)) * exp(temperature / 30) + sgn(temperature)',
  'sin(temperature) + atan(temperature) * deg(cosh(temperature / 20)) + (temperature atan2 3)',
  'timestamp(temperature) - time()',
  'minute(timestamp(temperature)) + day_of_year(timestamp(temperature)) * on () group_left () (hour() + days_in_month())',
  'scalar(sum(temperature)) + vector(time())',
  'absent(temperature{job="none", instance=~".*"})',
  'sort_desc(temperature)',
  'vector(1) / 0 - vector(0) / 0',
] as const;

let server: { readonly url: string; readonly process: ChildProcess; readonly folder: string } | undefined;

beforeAll(async () => {
  if (isThere) server = await startPrometheus();
}, 60_000);

afterAll(async () => {
  if (server === undefined) return;
  server.process.kill();
  await once(server.process, 'exit');
  rmSync(server.folder, { recursive: true });
});

async function startPrometheus() {
  const folder = mkdtempSync(join(tmpdir(), 'firn-'));
  writeFileSync(join(folder, 'prometheus.yml'), '{}\n');
  const port = await freePort();
  const process = spawn(
    binary,
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--web.enable-remote-write-receiver',
      '--enable-feature=promql-experimental-functions,promql-delayed-name-removal',
      '--log.level=error',
    ],
    { stdio: 'ignore' },
  );
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries++) {
    const ready = await fetch(`${url}/-/ready`).catch(() => undefined);
    if (ready?.ok) break;
    if (tries > 200) throw new Error('Prometheus does not get ready');
    await delay(100);
  }
  const response = await fetch(`${url}/api/v1/write`, {
    method: 'POST',
    headers: { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf' },
    body: new Uint8Array(compress(writeRequest())),
  });
  if (!response.ok) throw new Error(await response.text());
  return { url, process, folder };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  return typeof address === 'object' && address ? address.port : 0;
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    const byte = Number(rest & 127n);
    if (rest < 128n) return Buffer.from([...bytes, byte]);
    bytes.push(byte | 128);
  }
}

const field = (number: number, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2]), varint(BigInt(body.length)), body]);

/** A remote write 1.0 request with all series. */
function writeRequest(): Buffer {
  const all = series.map(({ labels, timestampsMs, values }) => {
    const pairs = labels.map(([name, value]) =>
      field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, Buffer.from(value))])),
    );
    const samples = Array.from(timestampsMs, (timeMs, index) => {
      const bits = Buffer.from(values.slice(index, index + 1).buffer);
      return field(2, Buffer.concat([Buffer.from([9]), bits, Buffer.from([16]), varint(BigInt(timeMs))]));
    });
    return field(1, Buffer.concat([...pairs, ...samples]));
  });
  return Buffer.concat(all);
}

/** Answers as lines: labels, then values by time. */
type Answer = ReadonlyMap<string, ReadonlyMap<number, number>>;

interface Json {
  readonly data: {
    readonly resultType: string;
    readonly result: readonly {
      readonly metric: Record<string, string>;
      readonly value?: readonly [number, string];
      readonly values?: readonly (readonly [number, string])[];
    }[];
  };
}

const numberOf = (text: string): number => Number(text.replace('Inf', 'Infinity'));

async function theirs(path: string): Promise<Answer> {
  const response = await fetch(`${server?.url}/api/v1/${path}`);
  const { data } = (await response.json()) as Json;
  return new Map(
    data.result.map(({ metric, value, values = [] }) => [
      labelsJson(canonicalLabels(Object.entries(metric))),
      new Map((value ? [value] : values).map(([time, text]) => [Math.round(time * 1000), numberOf(text)])),
    ]),
  );
}

function ours({ data }: QueryResult): Answer {
  if (data.type === 'vector')
    return new Map(
      data.samples.map(({ labels, value }) => [labelsJson(labels), new Map([[data.timestampMs, value]])]),
    );
  if (data.type !== 'matrix') throw new Error(`a ${data.type}`);
  return new Map(
    data.series.map(({ labels, timestampsMs, values }) => [
      labelsJson(labels),
      new Map(Array.from(timestampsMs, (timeMs, index) => [timeMs, values[index] ?? 0])),
    ]),
  );
}

function differences(wanted: Answer, got: Answer): readonly string[] {
  const found: string[] = [];
  for (const key of new Set([...wanted.keys(), ...got.keys()])) {
    const [theirPoints, ourPoints] = [wanted.get(key) ?? new Map(), got.get(key) ?? new Map()];
    for (const time of new Set([...theirPoints.keys(), ...ourPoints.keys()])) {
      const [their, our] = [theirPoints.get(time), ourPoints.get(time)];
      const same =
        their === our ||
        (Number.isNaN(their) && Number.isNaN(our)) ||
        (their !== undefined &&
          our !== undefined &&
          Math.abs(their - our) <= 1e-12 * Math.max(Math.abs(their), Math.abs(our)));
      if (!same) found.push(`${key} at ${time}: ${their} there, ${our} here`);
    }
  }
  return found.slice(0, 5);
}

test.skipIf(!isThere).each(queries)('%s', async (text) => {
  const options = {
    source,
    clock: systemClock,
    limits: defaultQueryLimits,
    lookbackMs: defaultLookbackMs,
    signal: new AbortController().signal,
  };
  const query = parseQuery(text);
  const encoded = encodeURIComponent(text);
  const times = { startMs: baseMs + 100_000, endMs: baseMs + 3_400_000, stepMs: 23_000 };
  const range = `query_range?query=${encoded}&start=${times.startMs / 1000}&end=${times.endMs / 1000}&step=${times.stepMs / 1000}`;
  const there = await theirs(range);
  const here = ours(await rangeQuery(query, times, options));
  expect(differences(there, here)).toEqual([]);
  expect([...here.keys()]).toEqual([...there.keys()]);
  expect(there.size).toBeGreaterThan(0);
  const atMs = baseMs + 1_503_000;
  const instant = await theirs(`query?query=${encoded}&time=${atMs / 1000}`);
  const answer = ours(await instantQuery(query, atMs, options));
  expect(differences(instant, answer)).toEqual([]);
});
