import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { maintainDefaults } from '../../cloud/maintain/maintain.ts';
import { type MergeJob, mergeJob } from '../../cloud/maintain/merge-job.ts';
import type { MetricsBatch } from '../../lake/model/batch.ts';
import { seriesId } from '../../lake/model/series-id.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';
import { seededRandom } from '../contract/lake-fixtures.ts';
import { freePort, startProgram, waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';
import { readFlags } from './flags.ts';
import { labelPairs, remoteWriteBodies, runRemoteWriteLoad } from './remote-write-load.ts';

// Compaction: how quickly small files of a day become one, in how much memory, and how large the result is beside what
// VictoriaMetrics and Prometheus make of the same samples. A day of samples every 15 s from each series.

const stepMs = 15_000;
const steps = 5_760;
const files = 96;
const MEBIBYTE = 1024 * 1024;
const memoryBytesMax = 512 * MEBIBYTE;
const startMs = Math.floor(Date.now() / 86_400_000 - 1) * 86_400_000;

type ValueOf = (series: number, step: number) => number;

export async function main(argv: readonly string[]): Promise<void> {
  const flags = readFlags(argv, {
    series: { type: 'string', default: '500', about: 'with a sample every 15 s for a day' },
    work: { type: 'string', about: 'for the child process that does it' },
    job: { type: 'string', about: 'what that child is to do, as JSON' },
  });
  const work = works[flags.work ?? ''];
  if (work) {
    await inChild(work, JSON.parse(flags.job ?? '') as MergeJob);
    return;
  }
  const series = Number(flags.series);
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-compaction-'));
  try {
    for (const [what, sampleAt] of Object.entries(kinds(series)))
      await measure(folder, what, series, sampleAt);
    for (const share of [4, 2, 1]) await growth(folder, Math.round(series / share));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Values of each series, the same for all programs. */
function kinds(series: number): Readonly<Record<string, ValueOf>> {
  const random = seededRandom(7);
  const walk = new Float64Array(series * steps);
  const noise = new Float64Array(series * steps);
  for (let of = 0; of < series; of++)
    for (let step = 0, value = 150 + Math.floor(random() * 100); step < steps; step++) {
      // A sensor that mostly stays where it is, or moves by a tenth or two.
      value += [0, 0, 0, 0, 1, -1, 1, -1, 2, -2][Math.floor(random() * 10)] ?? 0;
      walk[of * steps + step] = value / 10;
      noise[of * steps + step] = 20 + random() + random() + random();
    }
  const of =
    (values: Float64Array): ValueOf =>
    (index, step) =>
      values[index * steps + step] ?? 0;
  return { 'one-decimal sensors': of(walk), 'noisy floats': of(noise) };
}

async function measure(folder: string, what: string, series: number, sampleAt: ValueOf): Promise<void> {
  const samples = series * steps;
  console.log(`\n${what}: ${series} series, ${samples} samples`);
  const job = await smallFiles(join(folder, what), series, sampleAt);
  const before = job.paths.reduce((sum, path) => sum + statSync(path).size, 0);
  console.log(
    `  ${job.paths.length} files of ${(before / MEBIBYTE).toFixed(1)} MiB, at most 512 MiB of memory`,
  );
  const perSample = (size: number): string => (size / samples).toFixed(3);
  const { pastCompressionLevel } = maintainDefaults;
  for (const [name, work, level] of [
    ['Firn, a day that is not over', 'firn', maintainDefaults.compressionLevel],
    ['Firn, a day that is over', 'firn', pastCompressionLevel],
    ['DuckDB COPY, the same level', 'duckdb', pastCompressionLevel],
  ] as const) {
    const figures = startChild(work, { ...job, compressionLevel: level });
    console.log(`  ${name.padEnd(28)} ${describe(figures, before, samples)}`);
  }
  console.log(`  bytes per sample before compaction ${perSample(before)}`);
  const bodies = remoteWriteBodies({
    series,
    samplesPerSeries: steps,
    seriesPerRequest: 500,
    startMs,
    stepMs,
    sampleAt,
  });
  for (const peer of [victoriaMetrics, prometheus]) {
    const found = await peer(join(folder, what), bodies);
    if (found) console.log(`  bytes per sample: ${found.name} ${perSample(found.bytes)}`);
  }
}

/** The same with few and with many series: what grows with the rows, and what doesn't. */
async function growth(folder: string, series: number): Promise<void> {
  const job = await smallFiles(join(folder, `growth-${series}`), series, (of, step) => (of + step) % 100);
  const { cpuSeconds, peakBytes } = startChild('firn', job);
  const rows = series * steps;
  console.log(
    `growth: ${rows} rows in ${cpuSeconds.toFixed(1)} CPU-s, ${(rows / cpuSeconds / 1e6).toFixed(2)} M rows per CPU-s, peak memory ${(peakBytes / MEBIBYTE).toFixed(0)} MiB`,
  );
}

function describe({ cpuSeconds, seconds, bytes, peakBytes, columns }: Figures, before: number, rows: number) {
  const rate = (size: number): string => `${(size / MEBIBYTE / seconds).toFixed(1)} MiB/s`;
  const largest = columns.slice(0, 3).map(([name, size]) => `${name} ${(size / rows).toFixed(3)}`);
  return (
    `${(bytes / rows).toFixed(3)} bytes a sample (${largest.join(', ')}); ${rate(before)} in, ${rate(bytes)} out; ` +
    `${(cpuSeconds / (rows / 1e6)).toFixed(2)} CPU-s per million rows; peak memory ${(peakBytes / MEBIBYTE).toFixed(0)} MiB`
  );
}

/** A day as gateways ship it, in files of a quarter of an hour. */
async function smallFiles(folder: string, series: number, sampleAt: ValueOf): Promise<MergeJob> {
  mkdirSync(join(folder, 'spill'), { recursive: true });
  await using writer = openParquetjsWriter();
  const labels = Array.from({ length: series }, (_, index) =>
    JSON.stringify(Object.fromEntries(labelPairs(index))),
  );
  const entries = labels.map((text) => ({ id: seriesId(text), labels: text }));
  const labelsOf = new Map(entries.map(({ id, labels: text }) => [id, text]));
  const perFile = steps / files;
  const paths: string[] = [];
  for (let file = 0; file < files; file++) {
    const rows = series * perFile;
    const row = (index: number) => ({
      of: index % series,
      step: file * perFile + Math.floor(index / series),
    });
    const batch: MetricsBatch = {
      ...{ signal: 'metrics', rows, series: entries, metadata: [] },
      seriesId: BigInt64Array.from({ length: rows }, (_, index) => entries[row(index).of]?.id ?? 0n),
      timestampUs: BigInt64Array.from(
        { length: rows },
        (_, index) => BigInt(startMs + row(index).step * stepMs) * 1000n,
      ),
      value: Float64Array.from({ length: rows }, (_, index) => sampleAt(row(index).of, row(index).step)),
    };
    const path = join(folder, `${file}.parquet`);
    await writer.write({
      signal: 'metrics',
      site: 'plant',
      batches: [batch],
      labelsOf: () => labelsOf,
      pathOf: () => path,
    });
    paths.push(path);
  }
  const { compressionLevel } = maintainDefaults;
  return {
    ...{ signal: 'metrics', paths, rows: series * steps, folder, rules: [] },
    ...{ memoryBytesMax, compressionLevel },
  };
}

interface Figures {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly bytes: number;
  readonly peakBytes: number;
  /** Bytes of each, the largest first. */
  readonly columns: readonly (readonly [name: string, bytes: number])[];
}

/** Each makes one sorted file of the job's; gives its path. */
const works: Readonly<Record<string, (job: MergeJob) => Promise<string>>> = {
  firn: async (job) => (await mergeJob(job)).file?.path ?? '',
  duckdb: copyWithDuckdb,
};

/** What DuckDB makes of the same rows, left to itself. */
async function copyWithDuckdb({ paths, folder, compressionLevel }: MergeJob): Promise<string> {
  const path = join(folder, 'copied.parquet');
  const settings = { threads: '1', memory_limit: '512MiB', temp_directory: join(folder, 'spill') };
  const instance = await openDuckdb(settings);
  const connection = await instance.connect();
  await connection.run(
    `COPY (SELECT * FROM read_parquet([${paths.map(sqlText).join(', ')}]) ORDER BY name, series_id, timestamp)
     TO ${sqlText(path)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL ${compressionLevel})`,
  );
  connection.closeSync();
  instance.closeSync();
  return path;
}

/** In a process of its own, whose peak memory and CPU time are the work's. */
function startChild(work: 'firn' | 'duckdb', job: MergeJob): Figures {
  const main = join(import.meta.dirname, 'main.ts');
  const args = [main, 'lake-compaction', '--work', work, '--job', JSON.stringify(job)];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as Figures;
}

async function inChild(work: (job: MergeJob) => Promise<string>, job: MergeJob): Promise<void> {
  const start = performance.now();
  const before = process.cpuUsage();
  const path = await work(job);
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - start) / 1000;
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  const columns = await columnBytes(path);
  const figures = {
    seconds,
    cpuSeconds: (user + system) / 1e6,
    bytes: statSync(path).size,
    peakBytes,
    columns,
  };
  console.log(JSON.stringify(figures satisfies Figures));
}

async function columnBytes(path: string): Promise<Figures['columns']> {
  const instance = await openDuckdb({});
  const connection = await instance.connect();
  const found = await connection.runAndReadAll(
    `SELECT path_in_schema, sum(total_compressed_size)::DOUBLE FROM parquet_metadata(${sqlText(path)}) GROUP BY 1 ORDER BY 2 DESC`,
  );
  connection.closeSync();
  instance.closeSync();
  return found.getRows().map(([name, bytes]) => [String(name), Number(bytes)] as const);
}

interface Peer {
  readonly name: string;
  readonly bytes: number;
}

async function victoriaMetrics(folder: string, bodies: readonly Uint8Array[]): Promise<Peer | undefined> {
  const path = findProgram('victoria-metrics');
  if (!path) return missing('VictoriaMetrics');
  const [port, data] = [await freePort(), join(folder, 'vm')];
  const url = `http://127.0.0.1:${port}`;
  const flags = [`-storageDataPath=${data}`, `-httpListenAddr=127.0.0.1:${port}`, '-retentionPeriod=10y'];
  await using _program = startProgram(path, flags);
  await waitFor('VictoriaMetrics', 60_000, async () =>
    (await fetch(`${url}/health`)).ok ? true : undefined,
  );
  await runRemoteWriteLoad(`${url}/api/v1/write`, bodies, 1);
  for (const step of ['force_flush', 'force_merge']) await fetch(`${url}/internal/${step}`);
  const bytes = await settledSize(join(data, 'data'));
  return { name: 'VictoriaMetrics', bytes };
}

async function prometheus(folder: string, bodies: readonly Uint8Array[]): Promise<Peer | undefined> {
  const path = findProgram('prometheus');
  if (!path) return missing('Prometheus');
  const [port, data] = [await freePort(), join(folder, 'tsdb')];
  const url = `http://127.0.0.1:${port}`;
  const config = join(folder, 'prometheus.yml');
  writeFileSync(config, 'storage: { tsdb: { out_of_order_time_window: 2d } }\n');
  await using _program = startProgram(path, [
    ...[`--config.file=${config}`, `--storage.tsdb.path=${data}`, `--web.listen-address=127.0.0.1:${port}`],
    ...['--web.enable-remote-write-receiver', '--web.enable-admin-api'],
  ]);
  await waitFor('Prometheus', 60_000, async () => ((await fetch(`${url}/-/ready`)).ok ? true : undefined));
  await runRemoteWriteLoad(`${url}/api/v1/write`, bodies, 1);
  // A snapshot writes the head as blocks.
  const answer = await fetch(`${url}/api/v1/admin/tsdb/snapshot`, { method: 'POST' });
  const { data: snapshot } = (await answer.json()) as { data: { name: string } };
  return { name: 'Prometheus', bytes: sizeOf(join(data, 'snapshots', snapshot.name)) };
}

function missing(name: string): undefined {
  console.log(`  ${name} is not installed (test/setup): measured without it`);
  return undefined;
}

/** When background merging has ended. */
async function settledSize(path: string): Promise<number> {
  for (let before = -1, quiet = 0; quiet < 3; ) {
    await delay(2_000);
    const size = sizeOf(path);
    quiet = size === before ? quiet + 1 : 0;
    before = size;
  }
  return sizeOf(path);
}

function sizeOf(path: string): number {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
