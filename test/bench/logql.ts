import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, linkSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { Agent, get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hono } from 'hono';
import { maintainDefaults } from '../../cloud/maintain/maintain.ts';
import { buildInfo } from '../../lake/api/build-info.ts';
import { type HttpServer, startHttpServer } from '../../lake/api/http-server.ts';
import { lokiRoutes } from '../../lake/api/loki/routes.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { defaultLogqlLimits } from '../../lake/logql/limits.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { listPages, readColumnsFile, readPage, withFile } from '../../lake/parquet/columns-file.ts';
import { filesSql } from '../../lake/parquet/files-sql.ts';
import { logScan } from '../../lake/scan/log-scan.ts';
import { createLogPool } from '../../lake/scan/log-threads/log-pool.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { openEngine } from '../../lake/sql/duckdb/engine.ts';
import type { Tables } from '../../lake/tables.ts';
import { readFlags } from './flags.ts';
import { type Corpus, corpusOf, startMs } from './logql-corpus.ts';
import { rareNeedle } from './logql-lines.ts';

// Searching logs, beside grep over the same lines as text, hot in the page cache: grep's time is the limit of a scan.

export async function main(argv: readonly string[]): Promise<void> {
  const values = readFlags(argv, {
    megabytes: { type: 'string', default: '30', about: 'of raw lines' },
    seed: { type: 'string', default: '7', about: 'of the lines' },
    runs: { type: 'string', default: '5', about: 'of each query; the median counts' },
    level: {
      type: 'string',
      default: String(maintainDefaults.pastCompressionLevel),
      about: "zstd's, at compaction: that of days that are over",
    },
    pages: { type: 'string', default: '256', about: 'megabytes of memory for unpacked pages' },
    only: { type: 'string', default: '', about: 'queries whose name has this in it' },
    copies: {
      type: 'string',
      default: '1',
      about: 'of the same files: growth, without the hours that more lines take to make',
    },
    keep: {
      type: 'string',
      default: '',
      about: 'folder for lines and files, which stay there for the next run',
    },
  });
  const folder = values.keep === '' ? mkdtempSync(join(tmpdir(), 'firn-bench-')) : values.keep;
  mkdirSync(folder, { recursive: true });
  try {
    const { megabytes, seed, level } = values;
    console.log(`Lines: ${megabytes} MB, seed ${seed}, zstd level ${level}`);
    const made = await corpusOf(folder, Number(megabytes) * 1e6, Number(seed), Number(level));
    const corpus = copied(made, Number(values.copies));
    const { rawBytes, storedBytes, lines } = corpus;
    console.log(
      `${lines} lines, ${(rawBytes / 1e6).toFixed(0)} MB raw, ${(storedBytes / 1e6).toFixed(1)} MB stored: ${(storedBytes / rawBytes).toFixed(3)} bytes per raw byte`,
    );
    if (corpus === made) for await (const text of columnSizes(corpus, Number(values.runs))) console.log(text);
    await using stack = new AsyncDisposableStack();
    const cold = await serve(folder, corpus.paths, coldPageBytes, stack);
    const warm = await serve(folder, corpus.paths, Number(values.pages) * 1e6, stack);
    await compare({ cold, warm }, corpus, Number(values.runs), values.only);
    console.log(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`);
    if ('small'.includes(values.only)) await small(folder, Number(values.seed), stack);
  } finally {
    if (values.keep === '') rmSync(folder, { recursive: true, force: true });
  }
}

/** With the files once more for each copy, under names of their own, as a reader takes them for others; grep has none. */
function copied(corpus: Corpus, copies: number): Corpus {
  if (copies === 1) return corpus;
  const paths = corpus.paths.flatMap((path) =>
    Array.from({ length: copies }, (_, copy) => {
      const name = `${path}.${copy}`;
      if (!existsSync(name)) linkSync(path, name);
      return name;
    }),
  );
  const [rawBytes, storedBytes] = [corpus.rawBytes * copies, corpus.storedBytes * copies];
  return { ...corpus, raw: [], paths, rawBytes, storedBytes, lines: corpus.lines * copies };
}

/** What a gateway has: pages go before they are asked for again. */
const coldPageBytes = 24e6;

/** Bytes of each column, and what it takes to unpack all lines: no search of packed lines takes less. */
async function* columnSizes({ paths, rawBytes, raw }: Corpus, runs: number): AsyncGenerator<string> {
  const sizes = new Map<string, number>();
  for (const path of paths)
    for (const { chunks } of readColumnsFile(path).groups)
      for (const [name, chunk] of chunks) sizes.set(name, (sizes.get(name) ?? 0) + chunk.bytes);
  const largest = [...sizes].sort(([, a], [, b]) => b - a).slice(0, 4);
  yield `of them ${largest.map(([name, bytes]) => `${name} ${(bytes / rawBytes).toFixed(4)}`).join(', ')}`;
  const unpacked = await median(runs, async () => unpackLines(paths));
  const searched = await median(runs, async () => grep(['-F', '-c', rareNeedle], raw));
  yield `unpacking all lines (zstd): ${unpacked.cpu.toFixed(0)} ms CPU, ${(unpacked.cpu / searched.cpu).toFixed(2)} times what grep -F takes for a rare text`;
}

function unpackLines(paths: readonly string[]): { cpu: number; result: string } {
  const before = process.cpuUsage();
  for (const path of paths)
    for (const { chunks } of readColumnsFile(path).groups) {
      const chunk = chunks.get('line');
      if (chunk === undefined) throw new Error(`${path} has no lines`);
      withFile(path, (fd) => {
        for (const page of listPages(fd, path, chunk)) readPage(fd, path, chunk.codec, page);
      });
    }
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 1000, result: '' };
}

/** Before them the functions of a new thread are not compiled yet. */
const warmUpRequests = 1000;

/** A corpus of 500 lines: what a request costs that reads next to nothing. */
async function small(folder: string, seed: number, stack: AsyncDisposableStack): Promise<void> {
  const own = join(folder, 'small');
  mkdirSync(own, { recursive: true });
  const corpus = await corpusOf(own, 62_000, seed, 9);
  const server = await serve(own, corpus.paths, 1e7, stack);
  console.log(`\n${corpus.lines} lines: median of 200 requests after ${warmUpRequests}, ms`);
  for (const task of [
    { name: 'selector', query: all, limit: 1000 },
    { name: 'rate', query: `sum by (app) (rate(${all}[1m]))`, step: 1 },
  ]) {
    for (let request = 0; request < warmUpRequests; request++) await asked(server, task, corpus);
    const { wall, cpu, result } = await median(200, () => asked(server, task, corpus));
    console.log(`${task.name.padEnd(12)} ${wall.toFixed(2)} wall, ${cpu.toFixed(2)} cpu, ${result}`);
  }
}

async function serve(
  folder: string,
  paths: readonly string[],
  cacheBytesMax: number,
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
  const pool = stack.use(createLogPool({ threads: 1, cacheBytesMax }));
  const logs = logScan({ tables, engine, pool });
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
  { name: 'count, no filter', query: `sum(count_over_time(${all}[30d]))` },
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

interface Servers {
  /** Unpacks what it reads each time. */
  readonly cold: HttpServer;
  readonly warm: HttpServer;
}

async function compare({ cold, warm }: Servers, corpus: Corpus, runs: number, only: string): Promise<void> {
  console.log(
    `\nmedian of ${runs}, ms`.padEnd(36),
    'packed   kept unpacked  grep      CPU to grep, packed and kept',
  );
  console.log(''.padEnd(35), 'wall   cpu     wall   cpu     wall   cpu');
  for (const task of tasks) {
    if (!task.name.includes(only)) continue;
    const sides: (Cost & { readonly result: string })[] = [];
    // A server closes a connection that was idle for long, as while grep runs.
    agent.destroy();
    for (const server of [cold, warm]) sides.push(await median(runs, () => asked(server, task, corpus)));
    const beside =
      task.grep &&
      corpus.raw.length > 0 &&
      (await median(runs, async () => grep(task.grep ?? [], corpus.raw)));
    if (beside) sides.push(beside);
    const figures = sides.map(({ wall, cpu }) => `${wall.toFixed(1).padEnd(7)}${cpu.toFixed(1).padEnd(8)}`);
    const ratios = beside ? sides.slice(0, 2).map(({ cpu }) => (cpu / beside.cpu).toFixed(2)) : [];
    const results = [...new Set(sides.map(({ result }) => result.replace(' lines', '')))].join(' / ');
    console.log(`${task.name.padEnd(35)} ${figures.join('')}${ratios.join(' ')}  ${results}`);
  }
}

/** Over a connection that is kept; Node's fetch costs more than what it asks for. */
async function textOf(url: string): Promise<string> {
  const [response] = (await once(get(url, { agent }), 'response')) as [IncomingMessage];
  const text = (await response.setEncoding('utf8').toArray()).join('');
  if (response.statusCode !== 200) throw new Error(text);
  return text;
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

async function asked(
  { port }: HttpServer,
  task: Task,
  corpus: Corpus,
): Promise<{ cpu: number; result: string }> {
  const before = process.cpuUsage();
  const text = await textOf(`http://127.0.0.1:${port}/loki/api/v1/${pathOf(task, corpus)}`);
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 1000, result: summary(text) };
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

/** Counts in all files. */
function grep(args: readonly string[], raw: readonly string[]): { cpu: number; result: string } {
  const script = `TIMEFORMAT='%U %S'; time LC_ALL=C grep -h "$@"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'grep', ...args, ...raw], { encoding: 'utf8' });
  const [user = 0, system = 0] = stderr.trim().split(/\s+/).map(Number);
  const count = stdout.split('\n').reduce((sum, line) => sum + Number(line), 0);
  return { cpu: (user + system) * 1000, result: String(count) };
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
