import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type MergeJob, mergeJob } from '../../cloud/maintain/merge-job.ts';
import type { MetricsBatch } from '../../lake/model/batch.ts';
import { seriesId } from '../../lake/model/series-id.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { seededRandom } from '../contract/lake-fixtures.ts';
import { freePort, startProgram, waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';
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
  const { values: flags } = parseArgs({
    args: [...argv],
    options: { series: { type: 'string', default: '500' }, merge: { type: 'string' } },
  });
  if (flags.merge !== undefined) {
    await mergeAlone(JSON.parse(flags.merge) as MergeJob);
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
  const { seconds, bytes, peakBytes } = mergeInChild(job);
  const rate = (size: number): string => `${(size / MEBIBYTE / seconds).toFixed(1)} MiB/s`;
  console.log(
    `  ${job.paths.length} files of ${(before / MEBIBYTE).toFixed(1)} MiB become one of ${(bytes / MEBIBYTE).toFixed(1)} MiB in ${seconds.toFixed(1)} s: ` +
      `${rate(before)} in, ${rate(bytes)} out, ${(samples / seconds / 1e6).toFixed(2)} M rows/s; peak memory ${(peakBytes / MEBIBYTE).toFixed(0)} MiB`,
  );
  const perSample = (size: number): string => (size / samples).toFixed(3);
  console.log(`  bytes per sample: Firn ${perSample(bytes)} (before compaction ${perSample(before)})`);
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
  const { seconds, peakBytes } = mergeInChild(job);
  const rows = series * steps;
  console.log(
    `growth: ${rows} rows in ${seconds.toFixed(1)} s, ${(rows / seconds / 1e6).toFixed(2)} M rows/s, peak memory ${(peakBytes / MEBIBYTE).toFixed(0)} MiB`,
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
  return { signal: 'metrics', paths, rows: series * steps, folder, memoryBytesMax, rules: [] };
}

interface MergeFigures {
  readonly seconds: number;
  readonly bytes: number;
  readonly peakBytes: number;
}

/** In a process of its own, whose peak memory is the merge's. */
function mergeInChild(job: MergeJob): MergeFigures {
  const main = join(import.meta.dirname, 'main.ts');
  const output = execFileSync(process.execPath, [main, 'lake-compaction', '--merge', JSON.stringify(job)], {
    encoding: 'utf8',
  });
  return JSON.parse(output) as MergeFigures;
}

async function mergeAlone(job: MergeJob): Promise<void> {
  const start = performance.now();
  const { file } = await mergeJob(job);
  const seconds = (performance.now() - start) / 1000;
  const figures: MergeFigures = {
    seconds,
    bytes: file?.bytes ?? 0,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  };
  console.log(JSON.stringify(figures));
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
