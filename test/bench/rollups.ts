import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { startMaintain } from '../../cloud/maintain/maintain.ts';
import { openRollups } from '../../cloud/rollups/open-rollups.ts';
import { type CloudTables, openCloudTables } from '../../cloud/tables/cloud-tables.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { rollupTables } from '../../lake/model/table-name.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { defaultLookbackMs, defaultQueryLimits } from '../../lake/promql/limits.ts';
import type { QueryTimes } from '../../lake/promql/plan.ts';
import { parseQuery, type QueryResult, rangeQuery } from '../../lake/promql/query.ts';
import { seriesScan } from '../../lake/scan/series-scan.ts';
import { type Engine, openEngine } from '../../lake/sql/duckdb/engine.ts';
import { tenant } from '../contract/lake-fixtures.ts';
import { type MetricRow, metricsBatch } from '../contract/rows.ts';
import { ship } from '../contract/ship.ts';
import { readFlags } from './flags.ts';

// What rollups cost to make, in CPU and bytes, and what they save: the same queries over the same days with and without.

export const dayMs = 86_400_000;
const scrapeMs = 15_000;

export async function main(argv: readonly string[]): Promise<void> {
  const options = {
    days: { type: 'string', default: '30', about: 'of samples' },
    series: { type: 'string', default: '40', about: 'in each day' },
  } as const;
  const values = readFlags(argv, options);
  const [days, count] = [Number(values.days), Number(values.series)];
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-rollups-'));
  const endMs = Math.floor(Date.now() / dayMs) * dayMs;
  const startMs = endMs - days * dayMs;
  try {
    await withRollups(folder, startMs, endMs, count, (tables) => askAll(folder, tables, startMs, endMs));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Makes a lake of some series, with rollups, and says what they cost. */
export async function withRollups(
  folder: string,
  startMs: number,
  endMs: number,
  count: number,
  use: (tables: CloudTables) => Promise<void>,
): Promise<void> {
  const store = directoryStore({ root: join(folder, 'lake') });
  const locationOf = (key: string): string => `${pathToFileURL(join(folder, 'lake')).href}/${key}`;
  const lake = {
    store,
    locationOf,
    tenants: () => [tenant],
    clock: systemClock,
    logger: createLogger('error'),
  };
  const samples = await shipDays(folder, store, startMs, endMs, count);
  await using ingest = startIngest(lake);
  await ingest.pollNow();
  {
    await using work = startMaintain({ ...lake, workDirectory: join(folder, 'merge') });
    await work.runNow();
  }
  // With the merging of their own files.
  for (const name of rollupTables) {
    const cpu = process.cpuUsage();
    await using work = startMaintain({ ...lake, workDirectory: join(folder, name), rollups: [name] });
    await work.runNow();
    const { user, system } = process.cpuUsage(cpu);
    const perMillion = (user + system) / samples;
    print(`${name}: ${work.status.bucketsMade} buckets, ${perMillion.toFixed(2)} CPU-s per million samples`);
  }
  const tables = await openCloudTables({ store, tenant, locationOf });
  for (const name of ['metrics', ...rollupTables] as const) {
    const bytes = (await tables.plan(name, {})).files.reduce((sum, file) => sum + file.bytes, 0);
    print(`${name}: ${(bytes / samples).toFixed(2)} bytes a sample`);
  }
  await use(tables);
  store.close();
}

/** The id of a series; all of them are named `a_total`. */
export const idOf = (number: number): bigint => BigInt(number * 4 + 1);

/** A day of a series that begins at `startMs`. */
export function samplesOf(
  number: number,
  startMs: number,
  dayStart: number,
): [atMs: number, value: number][] {
  const samples: [number, number][] = [];
  for (let atMs = dayStart; atMs < dayStart + dayMs; atMs += scrapeMs)
    samples.push([atMs, Math.round(((atMs - startMs) / 1000) * number + 50 * Math.sin(atMs / 1e6)) / 10]);
  return samples;
}

async function shipDays(
  folder: string,
  store: ReturnType<typeof directoryStore>,
  startMs: number,
  endMs: number,
  count: number,
): Promise<number> {
  await using writer = await openDuckdbWriter({ writerMemoryBytesMax: 512 * 1024 * 1024 });
  let samples = 0;
  for (let dayStart = startMs, number = 1; dayStart < endMs; dayStart += dayMs, number++) {
    const rows: MetricRow[] = [];
    for (let number = 1; number <= count; number++)
      for (const [atMs, value] of samplesOf(number, startMs, dayStart)) {
        const [bits = 0n] = new BigInt64Array(Float64Array.of(value).buffer);
        rows.push([idOf(number), BigInt(atMs) * 1000n, bits]);
      }
    samples += rows.length;
    await ship({ writer, store, folder, gateway: 'gw-1', number, batches: [metricsBatch(rows)] });
  }
  return samples;
}

export const queries = [
  'sum(rate(a_total[1h]))',
  'avg_over_time(a_total[1h])',
  'max_over_time(a_total[1d])',
  'a_total',
];

export const askRange = (
  tables: CloudTables,
  engine: Engine,
  text: string,
  times: QueryTimes,
): Promise<QueryResult> =>
  rangeQuery(parseQuery(text), times, {
    ...{ source: seriesScan({ tables, engine }), clock: systemClock, lookbackMs: defaultLookbackMs },
    ...{ limits: defaultQueryLimits, signal: new AbortController().signal },
  });

async function askAll(folder: string, tables: CloudTables, startMs: number, endMs: number): Promise<void> {
  await using engine = await openEngine({ directories: [folder], memoryBytesMax: 1024 ** 3, threads: 1 });
  const times = { startMs: startMs + dayMs, endMs, stepMs: 3_600_000 };
  for (const text of queries) {
    const seconds: number[] = [];
    for (const source of [{ ...tables, rollups: openRollups(tables) }, tables]) {
      const before = process.cpuUsage();
      const { samplesRead, rollups } = await askRange(source, engine, text, times);
      const { user, system } = process.cpuUsage(before);
      seconds.push((user + system) / 1e6);
      print(
        `${text}: ${((user + system) / 1e6).toFixed(3)} CPU-s, ${samplesRead} read, ${rollups.join() || 'samples'}`,
      );
    }
    print(`${text}: ${((seconds[1] ?? 0) / (seconds[0] ?? 1)).toFixed(1)} times`);
  }
}
