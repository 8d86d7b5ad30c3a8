import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { commit } from '../../cloud/catalog/commit.ts';
import type { DataFile } from '../../cloud/catalog/manifest-file.ts';
import { type IcebergTable, openTable, type TableLimits } from '../../cloud/catalog/table.ts';
import { planScan } from '../../cloud/tables/plan-scan.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import type { Prune } from '../../lake/tables.ts';
import { countedStore } from '../contract/lake-fixtures.ts';
import { readCommand } from './flags.ts';

// `npm run bench -- lake [commit|planning|compaction]`: what a commit costs as a table grows, and how long it takes to find the
// files of a query. On a folder; the data files themselves do not exist, since neither opens them.

const schema = tableSchemas.metrics;
const tenant = tenantId('bench');
const dayMs = 86_400_000;
const lastDay = 20_454;
const nameOf = (index: number): string => `metric_${String(index % 50).padStart(2, '0')}_total`;
const commitsMeasured = 100;
const filesPerCommit = 250;

const parts: Readonly<Record<string, () => Promise<void>>> = {
  commit: benchCommits,
  planning: benchPlanning,
  compaction: async () => (await import('./lake-compaction.ts')).main([]),
};

export async function main(argv: readonly string[]): Promise<void> {
  for (const name of readCommand(argv, {}, Object.keys(parts)).parts) await parts[name]?.();
}

/** A table in a folder of its own. */
function openBench(limits: Partial<TableLimits> = {}) {
  const root = mkdtempSync(join(tmpdir(), 'firn-bench-lake-'));
  const { store, take } = countedStore(directoryStore({ root }));
  const open = (): IcebergTable =>
    openTable({
      store,
      tenant,
      signal: 'metrics',
      locationOf: (key) => `${pathToFileURL(root)}/${key}`,
      clock: systemClock,
      limits,
    });
  return { root, store, take, open, [Symbol.dispose]: () => rmSync(root, { recursive: true }) };
}

/** A file as gateways ship it: an hour of one day, a few metrics. */
function fileOf(index: number, days: number): DataFile {
  const day = lastDay - (index % days);
  const hour = Math.floor(index / days) % 24;
  const fromUs = BigInt(day * dayMs + hour * 3_600_000) * 1000n;
  const long = (value: bigint): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  };
  return {
    path: `file:///bench/inbox/gateway-${index % 97}/segments/metrics/000000000001-${String(index).padStart(16, '0')}.parquet`,
    format: 'PARQUET',
    day,
    rows: 1_000,
    bytes: 10_000,
    valueCounts: new Map(schema.columns.map(({ fieldId }) => [fieldId, 1_000])),
    nullCounts: new Map(schema.columns.filter(({ required }) => required).map(({ fieldId }) => [fieldId, 0])),
    lowerBounds: new Map([
      [1, Buffer.from(nameOf(index).slice(0, 16))],
      [2, long(BigInt(index))],
      [3, long(fromUs)],
    ]),
    upperBounds: new Map([
      [1, Buffer.from(nameOf(index))],
      [2, long(BigInt(index) << 40n)],
      [3, long(fromUs + 3_599_999_999n)],
    ]),
    sortOrderId: 1,
  };
}

async function fill(table: IcebergTable, from: number, to: number, days: number): Promise<void> {
  for (let start = from; start < to; start += filesPerCommit) {
    const added = Array.from({ length: Math.min(filesPerCommit, to - start) }, (_, index) =>
      fileOf(start + index, days),
    );
    await commit(table, () => ({ added, summary: {} }));
  }
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
const ms = (value: number): string => value.toFixed(1).padStart(8);

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

async function sizesOf(
  table: IcebergTable,
  store: ObjectStore,
): Promise<{ metadataKb: number; listKb: number }> {
  const { metadata, location = '' } = await table.load();
  const list = metadata?.snapshots.at(-1)?.manifestList ?? '';
  const kb = async (uri: string): Promise<number> =>
    (await store.head(table.locations.keyOf(uri))).sizeBytes / 1024;
  return { metadataKb: await kb(location), listKb: await kb(list) };
}

async function benchCommits(): Promise<void> {
  process.stdout.write(
    `commits of one file, ${commitsMeasured} each, on a folder (the table is in memory, as in the ingest)\n`,
  );
  process.stdout.write('   files  snapshots   p50 ms   p99 ms   max ms  requests  metadata KB  list KB\n');
  for (const [files, snapshots] of [
    [100, 25],
    [1_000, 25],
    [10_000, 25],
    [100_000, 25],
    [10_000, 1_000],
  ] as const) {
    using bench = openBench({ snapshotsMax: snapshots });
    const table = bench.open();
    await fill(table, 0, files, 30);
    // As many snapshots as the metadata keeps.
    for (let have = files / filesPerCommit; have < snapshots; have++) await fill(table, 0, 1, 30);
    bench.take();
    const times: number[] = [];
    for (let index = 0; index < commitsMeasured; index++)
      times.push(
        await timed(() => commit(table, () => ({ added: [fileOf(files + index, 30)], summary: {} }))),
      );
    const requests = bench.take().length / commitsMeasured;
    const sorted = times.sort((a, b) => a - b);
    const { metadataKb, listKb } = await sizesOf(table, bench.store);
    const figures = [quantile(sorted, 0.5), quantile(sorted, 0.99), sorted.at(-1) ?? Number.NaN]
      .map(ms)
      .join(' ');
    process.stdout.write(
      `${String(files).padStart(8)} ${String(snapshots).padStart(10)} ${figures} ${requests.toFixed(1).padStart(9)} ${metadataKb.toFixed(0).padStart(12)} ${listKb.toFixed(0).padStart(8)}\n`,
    );
  }
}

async function benchPlanning(): Promise<void> {
  process.stdout.write('planning: which files of a table hold rows of a query\n');
  process.stdout.write(
    '   files  query                       cold ms  warm p50  warm p99  manifests   files\n',
  );
  const hourUs = (lastDay * dayMs + 12 * 3_600_000) * 1000;
  const queries: Readonly<Record<string, Prune>> = {
    'one hour, one metric': { fromUs: hourUs, toUs: hourUs + 3_599_000_000, name: nameOf(lastDay) },
    'one day': { fromUs: lastDay * dayMs * 1000, toUs: (lastDay + 1) * dayMs * 1000 - 1 },
    'one metric, all times': { name: nameOf(3) },
    everything: {},
  };
  for (const files of [10_000, 100_000]) {
    using bench = openBench();
    await fill(bench.open(), 0, files, 365);
    for (const [name, prune] of Object.entries(queries)) {
      const table = bench.open();
      const cold = await timed(() => planScan(table, prune, 60_000));
      const times: number[] = [];
      for (let index = 0; index < 30; index++) times.push(await timed(() => planScan(table, prune, 60_000)));
      const sorted = times.sort((a, b) => a - b);
      const plan = await planScan(table, prune, 60_000);
      process.stdout.write(
        `${String(files).padStart(8)}  ${name.padEnd(24)} ${ms(cold)}  ${ms(quantile(sorted, 0.5))}  ${ms(quantile(sorted, 0.99))} ${`${plan.manifestsRead}/${plan.manifestsConsidered}`.padStart(10)} ${String(plan.files.length).padStart(7)}\n`,
      );
    }
  }
}
