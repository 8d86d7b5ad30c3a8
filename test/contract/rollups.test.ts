import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { changeMetadata } from '../../cloud/catalog/commit.ts';
import { openTables } from '../../cloud/catalog/table.ts';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { maintainDefaults, startMaintain } from '../../cloud/maintain/maintain.ts';
import { mergeJob } from '../../cloud/maintain/merge-job.ts';
import { replaceFiles } from '../../cloud/maintain/replace-files.ts';
import { readRetention, writeRetention } from '../../cloud/maintain/retention.ts';
import { type RollUpOptions, rollUpOnce } from '../../cloud/maintain/roll-up.ts';
import { requestDelete } from '../../cloud/maintain/row-deletes.ts';
import { coverageProperty } from '../../cloud/rollups/coverage.ts';
import { openRollups } from '../../cloud/rollups/open-rollups.ts';
import { type CloudTables, openCloudTables } from '../../cloud/tables/cloud-tables.ts';
import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { rollupTables } from '../../lake/model/table-name.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { defaultLookbackMs, defaultQueryLimits } from '../../lake/promql/limits.ts';
import { parseQuery, type QueryResult, rangeQuery } from '../../lake/promql/query.ts';
import { closeTo } from '../../lake/promql/rollups/close-to.fixture.ts';
import { rolledQueries } from '../../lake/promql/rollups/queries.fixture.ts';
import { rollUpFiles } from '../../lake/rollups/roll-up-files.ts';
import { seriesScan } from '../../lake/scan/series-scan.ts';
import { type Engine, openEngine } from '../../lake/sql/duckdb/engine.ts';
import { seededRandom, tenant } from './lake-fixtures.ts';
import { type MetricRow, metricsBatch } from './rows.ts';
import { ship } from './ship.ts';

// Rollups of a real lake: whatever happens to it, a query gives the same with them and without them.

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const baseMs = Date.UTC(2026, 0, 10);

let folder: string;
let engine: Engine;
let nowMs: number;
let shipped: Map<string, number>;
let random: () => number;
const clock: Clock = {
  ...systemClock,
  nowMs: () => nowMs,
  monotonicMs: () => systemClock.monotonicMs() + nowMs,
};
const locationOf = (key: string): string => `${pathToFileURL(join(folder, 'lake')).href}/${key}`;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-rollups-'));
  engine = await openEngine({ directories: [folder], memoryBytesMax: 256e6, threads: 1 });
  nowMs = baseMs + dayMs + 7 * hourMs + 90_000;
  shipped = new Map();
  random = seededRandom(7);
});
afterEach(async () => {
  await engine[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const openStore = (): ObjectStore => directoryStore({ root: join(folder, 'lake') });
const bitsOf = (value: number): bigint => new BigInt64Array(Float64Array.of(value).buffer)[0] ?? 0n;
const stale = 0x7ff0000000000002n;

/** Counters that start anew, now and then with a marker of the end, NaN or an infinity. */
function rowsBetween(fromMs: number, toMs: number, everyMs: number, series: readonly bigint[]): MetricRow[] {
  return series.flatMap((id) => {
    const rows: MetricRow[] = [];
    let value = Math.floor(random() * 100);
    for (let atMs = fromMs; atMs <= toMs; atMs += everyMs) {
      const draw = random();
      value = draw < 0.02 ? draw * 100 : value + Math.floor(random() * 50) / 10;
      const odd = [bitsOf(Number.NaN), bitsOf(Number.POSITIVE_INFINITY), stale];
      const bits = draw > 0.99 ? (odd[Math.floor(random() * 3)] ?? stale) : bitsOf(value);
      // Some exactly where buckets meet, some between two milliseconds.
      rows.push([id, BigInt(atMs) * 1000n + (draw < 0.5 ? 0n : 400n), bits]);
    }
    return rows;
  });
}

async function commitRows(rows: readonly MetricRow[], gateway = 'gw-1'): Promise<void> {
  const number = (shipped.get(gateway) ?? 0) + 1;
  shipped.set(gateway, number);
  await using writer = openParquetjsWriter();
  const store = openStore();
  await ship({ ...{ writer, store, folder, gateway }, number, batches: [metricsBatch(rows)] });
  await using ingest = startIngest({
    ...{ store, locationOf, tenants: () => [tenant], clock, logger: createLogger('error') },
  });
  await ingest.pollNow();
  store.close();
}

/** As the maintainers do it, on this thread. */
async function rollUp(store: ObjectStore): Promise<void> {
  const tables = openTables({ store, tenant, locationOf, clock });
  for (const name of rollupTables)
    for (let isMore = true; isMore; ) {
      const options: RollUpOptions = {
        ...{ table: tables[name], metrics: tables.metrics, epoch: 99, limits: maintainDefaults },
        ...{ merge: mergeJob, rollUp: rollUpFiles, replaceFiles },
        openFolder: async (folderName) => {
          const path = join(folder, folderName);
          mkdirSync(join(path, 'spill'), { recursive: true });
          return { path, [Symbol.asyncDispose]: async () => rmSync(path, { recursive: true }) };
        },
      };
      isMore = (await rollUpOnce(options, name, await readRetention(store, tenant))).isMore;
    }
}

async function keepUp(): Promise<void> {
  const store = openStore();
  await rollUp(store);
  await using work = startMaintain({
    ...{ store, locationOf, tenants: () => [tenant], clock, logger: createLogger('error') },
    ...{ workDirectory: join(folder, 'work'), intervalMs: hourMs },
  });
  await work.keepHouseNow();
  await rollUp(store);
}

async function openLake(): Promise<CloudTables> {
  return openCloudTables({ store: openStore(), tenant, locationOf, clock, snapshotMaxAgeMs: 0 });
}

const ask = (tables: CloudTables, text: string, [startMs, endMs, stepMs]: Times): Promise<QueryResult> =>
  rangeQuery(
    parseQuery(text),
    { startMs, endMs, stepMs },
    {
      ...{ source: seriesScan({ tables, engine }), clock, lookbackMs: defaultLookbackMs },
      ...{ limits: defaultQueryLimits, signal: new AbortController().signal },
    },
  );
type Times = readonly [startMs: number, endMs: number, stepMs: number];

const queries = rolledQueries.map((text) =>
  text.replaceAll('b_total', 'up').replace('@ 3620345', `@ ${baseMs / 1000 + 20_345}`),
);
const startMs = baseMs + 19 * hourMs;
const lastHours: Times = [startMs + 2 * hourMs, baseMs + dayMs + 6 * hourMs, hourMs];

/** Asks with rollups and without, and tells how many answers came from rollups. */
async function compare(texts: readonly string[] = queries, times = lastHours): Promise<number> {
  const tables = await openLake();
  const rolled = { ...tables, rollups: openRollups(tables) };
  let used = 0;

  for (const text of texts) {
    const one = await ask(rolled, text, times);
    const other = await ask(tables, text, times);
    expect(other.rollups).toEqual([]);
    closeTo(one.data, other.data, 1e-9, text);
    used += one.rollups.length;
  }
  return used;
}

const series = [1n, 4n, 5n, 8n];

test('queries give the same with rollups, late rows, deletes and samples that are gone', async () => {
  await commitRows(rowsBetween(startMs, nowMs, 30_000, series));
  expect(await compare(queries.slice(0, 4))).toBe(0);
  await keepUp();
  expect(await compare()).toBeGreaterThan(queries.length / 3);
  // By minutes, where the samples are dense enough.
  await commitRows(rowsBetween(startMs + hourMs, startMs + 3 * hourMs, 4_000, [9n, 13n]));
  const minutes: Times = [startMs + 2 * hourMs, startMs + 3 * hourMs, 60_000];

  // Rows that came late are read as samples, until they are in the rollups.
  await commitRows(rowsBetween(startMs + 4 * hourMs, startMs + 6 * hourMs, 33_000, [5n, 12n]), 'gw-2');
  expect(await compare()).toBeGreaterThan(queries.length / 3);
  nowMs += 2 * hourMs;
  await keepUp();
  nowMs += 2 * hourMs;
  await keepUp();
  expect(await compare()).toBeGreaterThan(queries.length / 3);
  await compare(['sum(rate(a_total[30m]))', 'max_over_time(a_total[10m])'], minutes);

  // A part of an hour, and all of a series.
  const [fromUs, toUs] = [(startMs + 2.3 * hourMs) * 1000, (startMs + 3.6 * hourMs) * 1000];
  const store = openStore();
  await requestDelete(
    store,
    tenant,
    { table: 'metrics', selector: '{topic="plant/sensor-5"}', fromUs, toUs },
    nowMs,
  );
  await requestDelete(store, tenant, { table: 'metrics', selector: '{topic="plant/sensor-8"}' }, nowMs);
  await keepUp();
  nowMs += hourMs;
  await keepUp();
  expect(await compare()).toBeGreaterThan(queries.length / 3);

  // The first day's samples go; its rollups stay, and lose what is deleted now.
  const tables = await openLake();
  const rolled = { ...tables, rollups: openRollups(tables) };
  const text = 'sum by (topic) (count_over_time(a_total[1h]))';
  const before = await ask(rolled, text, lastHours);
  await writeRetention(store, tenant, [{ table: 'metrics', selector: '', keepDays: 0.3 }]);
  await keepUp();
  nowMs += hourMs;
  await keepUp();
  expect((await ask(tables, text, lastHours)).data).not.toEqual(before.data);
  expect((await ask(rolled, text, lastHours)).data).toEqual(before.data);
  await requestDelete(store, tenant, { table: 'metrics', selector: '{topic="plant/sensor-9"}' }, nowMs);
  await requestDelete(
    store,
    tenant,
    { table: 'metrics', selector: '{topic="plant/sensor-1"}', fromUs, toUs },
    nowMs,
  );
  for (let turn = 0; turn < 2; turn++) await keepUp();
  const after = await ask(rolled, text, lastHours);
  const countOf = ({ data }: QueryResult, topic: string): number =>
    data.type === 'matrix'
      ? (data.series.find(({ labels }) => labels.some(([, value]) => value === topic))?.values.length ?? 0)
      : -1;
  expect(countOf(after, 'plant/sensor-9')).toBe(0);
  // Of the buckets that lie partly in the time nobody can tell what would be left.
  expect(countOf(after, 'plant/sensor-1')).toBe(countOf(before, 'plant/sensor-1') - 2);
  expect(countOf(after, 'plant/sensor-5')).toBe(countOf(before, 'plant/sensor-5'));
}, 240_000);

test('a rollup that claims to be newer than it is would be noticed', async () => {
  await commitRows(rowsBetween(startMs, nowMs, 60_000, series));
  await keepUp();
  await commitRows(rowsBetween(startMs + 3 * hourMs, startMs + 4 * hourMs, 33_000, [5n]), 'gw-2');
  const tables = await openLake();
  const newest = (await tables.icebergTable('metrics').load()).metadata;
  await changeMetadata(tables.icebergTable('metrics_rollup_1h'), (metadata) => ({
    ...metadata,
    snapshots: metadata.snapshots.map((snapshot) => {
      const coverage = JSON.parse(snapshot.summary[coverageProperty] ?? '{}') as object;
      const lie = { ...coverage, sequenceNumber: newest?.lastSequenceNumber };
      return { ...snapshot, summary: { ...snapshot.summary, [coverageProperty]: JSON.stringify(lie) } };
    }),
  }));
  await expect(compare(['count_over_time(a_total[1h])'])).rejects.toThrow();
});

test('killed at any step, the next maintainer makes the same', async () => {
  await commitRows(rowsBetween(baseMs + 20 * hourMs, nowMs, 300_000, series));
  await keepUp();
  await commitRows(rowsBetween(baseMs + 22 * hourMs, baseMs + 23 * hourMs, 33_000, [5n, 12n]), 'gw-2');
  nowMs += 2 * hourMs;
  cpSync(join(folder, 'lake'), join(folder, 'saved'), { recursive: true });
  const times: Times = [baseMs + 21 * hourMs, baseMs + dayMs + 8 * hourMs, hourMs];
  const some = ['sum(count_over_time(a_total[1h]))', 'increase(a_total[2h])'];
  const savedMs = nowMs;
  for (let step = 0, killed = true; killed; step++) {
    rmSync(join(folder, 'lake'), { recursive: true });
    cpSync(join(folder, 'saved'), join(folder, 'lake'), { recursive: true });
    nowMs = savedMs;
    const store = openStore();
    const dying = dyingAfter(store, step);
    // What it is doing when it dies, before and after the write.
    await rollUp(dying.store).catch(() => undefined);
    killed = dying.isDead();
    await compare(some, times);
    nowMs += hourMs;
    await rollUp(store);
    expect(await compare(some, times), `after step ${step}`).toBe(some.length);
    store.close();
  }
}, 240_000);

/** A store whose process dies with the write after so many: it may or may not be there. */
function dyingAfter(store: ObjectStore, writes: number) {
  let left = writes;
  const dying =
    <A extends unknown[], R>(write: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (left < 0) throw new Error('killed');
      if (left-- === 0) {
        if (writes % 2 === 0) await write(...args);
        throw new Error('killed');
      }
      return write(...args);
    };
  return {
    isDead: () => left < 0,
    store: {
      ...store,
      ...{ put: dying(store.put), putFile: dying(store.putFile), putIfAbsent: dying(store.putIfAbsent) },
      ...{ putIfMatch: dying(store.putIfMatch), delete: dying(store.delete) },
    },
  };
}
