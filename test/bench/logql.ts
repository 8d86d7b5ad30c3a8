import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Hono } from 'hono';
import { buildInfo } from '../../lake/api/build-info.ts';
import { type HttpServer, startHttpServer } from '../../lake/api/http-server.ts';
import { lokiRoutes } from '../../lake/api/loki/routes.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { defaultLogqlLimits } from '../../lake/logql/limits.ts';
import type { LogsBatch } from '../../lake/model/batch.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { canonicalLabels, labelsJson } from '../../lake/model/labels.ts';
import { filesSql } from '../../lake/parquet/files-sql.ts';
import { mergeStreaming } from '../../lake/parquet/merge-streaming.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { createLogsBuilder } from '../../lake/receive/logs-builder.ts';
import { bareMetadata } from '../../lake/receive/loki-push/metadata.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { logScan } from '../../lake/scan/log-scan.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { openEngine } from '../../lake/sql/duckdb/engine.ts';
import type { Tables } from '../../lake/tables.ts';
import { generateLines, rareNeedle } from './logql-lines.ts';

// Searching logs, beside grep over the same lines as text, hot in the page cache: grep's time is the limit of a scan.

const startMs = Date.UTC(2026, 0, 15);
const stepMs = 4;
const rareEvery = 250_000;
const linesPerSegment = 250_000;

export async function main(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      megabytes: { type: 'string', default: '100' },
      seed: { type: 'string', default: '7' },
      runs: { type: 'string', default: '5' },
      only: { type: 'string', default: '' },
      keep: { type: 'string', default: '' },
    },
  });
  const folder = values.keep === '' ? mkdtempSync(join(tmpdir(), 'firn-bench-')) : values.keep;
  mkdirSync(folder, { recursive: true });
  try {
    console.log(`Lines: ${values.megabytes} MB, seed ${values.seed}`);
    const corpus = await corpusOf(folder, Number(values.megabytes) * 1e6, Number(values.seed));
    const { rawBytes, storedBytes, lines } = corpus;
    console.log(
      `${lines} lines, ${(rawBytes / 1e6).toFixed(0)} MB raw, ${(storedBytes / 1e6).toFixed(1)} MB stored: ${(storedBytes / rawBytes).toFixed(3)} bytes per raw byte`,
    );
    await using stack = new AsyncDisposableStack();
    const server = await serve(folder, corpus.paths, stack);
    await compare(server, corpus, Number(values.runs), values.only);
  } finally {
    if (values.keep === '') rmSync(folder, { recursive: true, force: true });
  }
}

interface Corpus {
  readonly raw: string;
  readonly paths: readonly string[];
  readonly rawBytes: number;
  readonly storedBytes: number;
  readonly lines: number;
  readonly endMs: number;
}

/** What an earlier run with --keep has left, or a new one. */
async function corpusOf(folder: string, bytesMax: number, seed: number): Promise<Corpus> {
  const file = join(folder, `corpus-${bytesMax}-${seed}.json`);
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Corpus;
  const corpus = await write(folder, bytesMax, seed);
  writeFileSync(file, JSON.stringify(corpus));
  return corpus;
}

/** Raw text for grep, and files as the lake has them after compaction: one of a day. */
async function write(folder: string, bytesMax: number, seed: number): Promise<Corpus> {
  const raw = join(folder, 'raw.log');
  const file = openSync(raw, 'w');
  const cache = createSeriesCache({ identity: [] });
  const labels = new Map<bigint, string>();
  await using writer = openParquetjsWriter();
  const segments: { path: string; rows: number; day: string }[] = [];
  let builder = createLogsBuilder();
  let text: string[] = [];
  let [rawBytes, lines] = [0, 0];
  const flush = async (): Promise<void> => {
    writeSync(file, text.join(''));
    text = [];
    const batch: LogsBatch = builder.finish();
    for (const { id, labels: json } of batch.series) labels.set(id, json);
    const pathOf = (day: string): string => join(folder, `part-${segments.length}-${day}.parquet`);
    const written = await writer.write({
      ...{ signal: 'logs', site: 'plant', batches: [batch], labelsOf: () => labels, pathOf },
    });
    for (const { path, rows, day } of written) segments.push({ path, rows, day });
    builder = createLogsBuilder();
  };
  for (const { labels: pairs, line } of generateLines(seed, startMs, stepMs, rareEvery)) {
    const own = canonicalLabels([...pairs, ['service_name', pairs[0]?.[1] ?? '']]);
    const key = Buffer.from(labelsJson(own));
    const stream = cache.find(key, 0, key.length) ?? cache.add(key, 0, key.length, own);
    const ns = BigInt(startMs + lines * stepMs) * 1_000_000n;
    const bytes = Buffer.from(line);
    const { attributes } = bareMetadata(bytes, 0, bytes.length, undefined);
    builder.append(stream, { timestampNs: ns, line, attributes: attributes.toString() });
    text.push(`${line}\n`);
    rawBytes += Buffer.byteLength(line) + 1;
    if (++lines % linesPerSegment === 0) await flush();
    if (rawBytes >= bytesMax) break;
  }
  await flush();
  closeSync(file);
  const paths = await compact(folder, segments);
  const storedBytes = paths.reduce((sum, path) => sum + statSync(path).size, 0);
  return { raw, paths, rawBytes, storedBytes, lines, endMs: startMs + lines * stepMs };
}

async function compact(
  folder: string,
  segments: readonly { readonly path: string; readonly rows: number; readonly day: string }[],
): Promise<readonly string[]> {
  const merged: string[] = [];
  for (const [day, parts] of Map.groupBy(segments, (segment) => segment.day)) {
    // About 256 MB of file, as maintenance makes them.
    for (let first = 0; first < parts.length; first += 40) {
      const some = parts.slice(first, first + 40);
      const path = join(folder, `${day}-${first}.parquet`);
      await mergeStreaming({
        ...{ signal: 'logs', paths: some.map((part) => part.path), path, memoryBytesMax: 4e9 },
        rows: some.reduce((sum, part) => sum + part.rows, 0),
      });
      for (const part of some) rmSync(part.path);
      merged.push(path);
    }
  }
  return merged;
}

async function serve(
  folder: string,
  paths: readonly string[],
  stack: AsyncDisposableStack,
): Promise<HttpServer> {
  const engine = stack.use(await openEngine({ directories: [folder], memoryBytesMax: 1e9, threads: 2 }));
  const tables: Tables = {
    tenant: tenantId('bench'),
    open: async () => ({
      from: filesSql(tableSchemas.logs, paths),
      parts: { files: paths.map((path) => ({ path, bytes: statSync(path).size })), rest: undefined },
      ...{ filesConsidered: paths.length, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined },
    }),
    metricMetadata: async () => [],
  };
  const logs = logScan({ tables, engine });
  const app = new Hono();
  const logger = createLogger('warn');
  app.route(
    '/',
    lokiRoutes({
      context: () => ({ logs }),
      limits: defaultLogqlLimits,
      clock: systemClock,
      logger,
      buildInfo,
    }),
  );
  return stack.use(await startHttpServer(app, { host: '127.0.0.1', port: 0 }));
}

interface Task {
  readonly name: string;
  readonly query: string;
  readonly limit?: number;
  readonly step?: number;
  /** The same question for grep. */
  readonly grep?: readonly string[];
}

const all = '{app=~".+"}';
const tasks: readonly Task[] = [
  { name: '|= rare needle', query: `${all} |= "${rareNeedle}"`, limit: 5000, grep: ['-F', '-c', rareNeedle] },
  {
    name: 'count |= rare needle',
    query: `sum(count_over_time(${all} |= "${rareNeedle}" [30d]))`,
    grep: ['-F', '-c', rareNeedle],
  },
  {
    name: 'count |= common',
    query: `sum(count_over_time(${all} |= "order" [30d]))`,
    grep: ['-F', '-c', 'order'],
  },
  { name: '|= common, newest 100', query: `${all} |= "order"`, limit: 100 },
  {
    name: 'count |~',
    query: `sum(count_over_time(${all} |~ "drive [0-9]+ over|HTTP/1.1\\" 50[0-9]" [30d]))`,
    grep: ['-E', '-c', 'drive [0-9]+ over|HTTP/1.1" 50[0-9]'],
  },
  { name: 'json | status >= 500, newest 1000', query: '{app="orders"} | json | status >= 500', limit: 1000 },
  {
    name: 'count json | status >= 500',
    query: 'sum(count_over_time({app=~"orders|printing|gateway"} | json | status >= 500 [30d]))',
    grep: ['-E', '-c', '"status":5'],
  },
  {
    name: 'sum by (detected_level) [1m]',
    query: `sum by (detected_level) (count_over_time(${all}[1m]))`,
    step: 60,
  },
  { name: 'newest 100 of a stream', query: '{app="web", host="edge-1"}', limit: 100 },
];

/** Wall and CPU time of a run, milliseconds: on a machine that others use, CPU is the figure to compare. */
interface Cost {
  readonly wall: number;
  readonly cpu: number;
}

async function compare({ port }: HttpServer, corpus: Corpus, runs: number, only: string): Promise<void> {
  console.log(
    `\nmedian of ${runs}, ms`.padEnd(38),
    'wall     cpu      grep wall, cpu     wall/grep cpu/grep',
  );
  for (const task of tasks) {
    if (!task.name.includes(only)) continue;
    const url = `http://127.0.0.1:${port}/loki/api/v1/${pathOf(task, corpus)}`;
    const asked = await median(runs, async () => {
      const before = process.cpuUsage();
      // grep takes longer than an idle connection is kept.
      const response = await fetch(url, { headers: { connection: 'close' } });
      const text = await response.text();
      if (!response.ok) throw new Error(text);
      const { user, system } = process.cpuUsage(before);
      return { cpu: (user + system) / 1000, result: summary(text) };
    });
    const beside = task.grep && (await median(runs, async () => grep(task.grep ?? [], corpus.raw)));
    const columns = [
      asked.wall,
      asked.cpu,
      ...(beside ? [beside.wall, beside.cpu, asked.wall / beside.wall, asked.cpu / beside.cpu] : []),
    ];
    const figures = columns.map((value) => value.toFixed(1).padEnd(9)).join('');
    console.log(
      `${task.name.padEnd(36)} ${figures} ${asked.result}${beside ? `, grep: ${beside.result}` : ''}`,
    );
  }
}

function pathOf({ query, limit = 100, step = 30 * 86_400 }: Task, { endMs }: Corpus): string {
  const times = { start: `${startMs}000000`, end: `${endMs}000000`, time: `${endMs}000000` };
  const parameters = new URLSearchParams({ query, ...times, limit: String(limit), step: String(step) });
  return `${query.startsWith('sum(') ? 'query' : 'query_range'}?${parameters}`;
}

/** The median of several runs; the first is not counted. */
async function median(
  runs: number,
  run: () => Promise<{ cpu: number; result: string }>,
): Promise<Cost & { readonly result: string }> {
  const costs: Cost[] = [];
  let result = '';
  for (let index = 0; index <= runs; index++) {
    const before = performance.now();
    const done = await run();
    result = done.result;
    if (index > 0) costs.push({ wall: performance.now() - before, cpu: done.cpu });
  }
  const middle = (of: keyof Cost): number =>
    costs.map((cost) => cost[of]).sort((a, b) => a - b)[Math.floor(runs / 2)] ?? 0;
  return { wall: middle('wall'), cpu: middle('cpu'), result };
}

function grep(args: readonly string[], raw: string): { cpu: number; result: string } {
  const script = `TIMEFORMAT='%U %S'; time LC_ALL=C grep "$@"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'grep', ...args, raw], { encoding: 'utf8' });
  const [user = 0, system = 0] = stderr.trim().split(/\s+/).map(Number);
  return { cpu: (user + system) * 1000, result: stdout.trim() };
}

function summary(text: string): string {
  const { resultType, result } = (
    JSON.parse(text) as {
      data: { resultType: string; result: { values?: unknown[]; value?: [number, string] }[] };
    }
  ).data;
  if (resultType === 'vector') return result[0]?.value?.[1] ?? '0';
  return `${result.reduce((sum, { values }) => sum + (values?.length ?? 0), 0)} ${resultType === 'streams' ? 'lines' : 'points'}`;
}
