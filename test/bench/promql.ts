import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeRequestBody } from '../../lake/receive/remote-write/encode.fixture.ts';
import { startPart } from '../harness/firn.ts';
import { cpuSeconds, freePort, peakMemoryBytes, startProgram, waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';
import { measureRefresh } from './promql-refresh.ts';
import { runRemoteWriteLoad } from './remote-write-load.ts';
import { median } from './side-by-side.ts';

// PromQL on the same samples in Firn, Prometheus and VictoriaMetrics: 6 hours at 15 s, after everything is in its files.

// Answers are not remembered here, in none of the three; promql-refresh.ts measures what that is worth.

const stepMs = 15_000;
const questions = [
  ['a', 'one series', 'm{host="0",sensor="1"}'],
  ['b', 'rate of 200 series', 'sum by (line) (rate(m{host=~"0|1|2|3"}[5m]))'],
  ['c', 'rate of all series', 'sum by (line) (rate(m[5m]))'],
  ['d', 'classic histograms', 'histogram_quantile(0.99, sum by (le) (rate(b_bucket[5m])))'],
  ['e', 'top of averages', 'topk(10, avg_over_time(m[1h]))'],
] as const;

interface Subject {
  readonly name: string;
  readonly pid: number;
  readonly base: string;
}

export async function main(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      series: { type: 'string', default: '10000' },
      hours: { type: 'string', default: '6' },
      rounds: { type: 'string', default: '5' },
      alone: { type: 'boolean', default: false },
      node: { type: 'string', default: '' },
    },
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
    await load(subjects, Number(values.series), startMs, endMs);
    await measure(subjects, startMs, endMs, Number(values.rounds));
    const [ours] = subjects;
    if (ours) await measureRefresh(ours, questions, endMs);
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

async function rivals(stack: AsyncDisposableStack, folder: string): Promise<Subject[]> {
  const found: Subject[] = [];
  writeFileSync(join(folder, 'prometheus.yml'), 'storage: { tsdb: { out_of_order_time_window: 1d } }\n');
  for (const [name, program, flags, ready] of [
    [
      'Prometheus',
      'prometheus',
      (port: number) => [
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'tsdb')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--web.enable-remote-write-receiver',
      ],
      '/-/ready',
    ],
    [
      'VictoriaMetrics',
      'victoria-metrics',
      (port: number) => [
        ...[
          `-storageDataPath=${join(folder, 'vm')}`,
          `-httpListenAddr=127.0.0.1:${port}`,
          '-retentionPeriod=10y',
        ],
        // Warm and cold alike are about reading samples, not about remembering answers.
        '-search.disableCache',
      ],
      '/health',
    ],
  ] as const) {
    const path = findProgram(program);
    if (path === undefined) {
      console.log(`${name} is not installed (test/setup): measured without it`);
      continue;
    }
    const port = await freePort();
    const base = `http://127.0.0.1:${port}`;
    const started = stack.use(startProgram(path, flags(port)));
    await waitFor(name, 30_000, async () => {
      const response = await fetch(base + ready).catch(() => undefined);
      return response?.ok ? true : undefined;
    });
    found.push({ name, pid: started.pid, base });
  }
  return found;
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

async function load(
  subjects: readonly Subject[],
  series: number,
  startMs: number,
  endMs: number,
): Promise<void> {
  const stepsPerRequest = 40;
  const seriesPerRequest = 250;
  const spent = subjects.map(() => 0);
  let samples = 0;
  // Some steps of some series a request, so that the requests of all of them fit into memory.
  for (let fromMs = startMs; fromMs < endMs; fromMs += stepsPerRequest * stepMs) {
    const bodies: Uint8Array[] = [];
    for (let first = 0; first < series; first += seriesPerRequest) {
      const some = Array.from({ length: Math.min(seriesPerRequest, series - first) }, (_, offset) => {
        const index = first + offset;
        const points: [number, number][] = [];
        for (
          let timeMs = fromMs;
          timeMs < Math.min(endMs, fromMs + stepsPerRequest * stepMs);
          timeMs += stepMs
        )
          points.push([timeMs, valueAt(index, (timeMs - startMs) / stepMs)]);
        samples += points.length;
        return { labels: labelsOf(index, series), samples: points };
      });
      bodies.push(writeRequestBody(some));
    }
    for (const [index, { base }] of subjects.entries())
      spent[index] = (spent[index] ?? 0) + (await runRemoteWriteLoad(`${base}/api/v1/write`, bodies, 2));
  }
  console.log(`${samples / 1e6} million samples of ${series} series`);
  for (const [index, { name }] of subjects.entries())
    console.log(`  ${name}: written in ${spent[index]?.toFixed(1)} s`);
  // Until what is written lies in files: two seals, and what Prometheus and VictoriaMetrics do by themselves.
  await new Promise((resolve) => setTimeout(resolve, 20_000));
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
  const paths = [
    ...questions.map(([key, what, query]) => {
      const text = encodeURIComponent(query);
      return { key, what, path: `/api/v1/query_range?query=${text}&${range}&step=60&cache=off` };
    }),
    { key: 'f', what: 'values of a label', path: `/api/v1/label/sensor/values?${range}` },
    {
      key: 'f',
      what: 'series of a host',
      path: `/api/v1/series?match[]=${encodeURIComponent('m{host="3"}')}&${range}`,
    },
  ];
  const head = subjects.map(({ name }) => name.padStart(46)).join('');
  console.log(
    `\n${''.padEnd(24)}${head}\n${''.padEnd(24)}${subjects.map(() => 'cold ms  CPU s, warm ms  CPU s, peak MiB'.padStart(46)).join('')}`,
  );
  for (const { key, what, path } of paths) {
    const cells: string[] = [];
    for (const { base, pid } of subjects) {
      const times: number[] = [];
      const spent: number[] = [];
      for (let round = 0; round <= rounds; round++) {
        const before = cpuSeconds(pid);
        const start = performance.now();
        const response = await fetch(base + path);
        const text = await response.text();
        if (!response.ok || !text.includes('"success"')) throw new Error(`${path}: ${text.slice(0, 300)}`);
        times.push(performance.now() - start);
        spent.push(cpuSeconds(pid) - before);
      }
      const [first = 0, ...others] = times;
      const [firstSpent = 0, ...othersSpent] = spent;
      const cpu = othersSpent.reduce((sum, one) => sum + one, 0) / othersSpent.length;
      const peak = peakMemoryBytes(pid) / 1024 / 1024;
      const cell = `${first.toFixed(0)} ${firstSpent.toFixed(2)}, ${median(others).toFixed(1)} ${cpu.toFixed(3)}, ${peak.toFixed(0)}`;
      cells.push(cell.padStart(46));
    }
    console.log(`(${key}) ${what}`.padEnd(24) + cells.join(''));
  }
}
