import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { startMaintain } from '../../cloud/maintain/maintain.ts';
import { requestDelete } from '../../cloud/maintain/row-deletes.ts';
import { openCloudTables } from '../../cloud/tables/cloud-tables.ts';
import { restrictedTables } from '../../cloud/tables/restricted-tables.ts';
import { startMerger } from '../../gateway/seal/merger.ts';
import { startSealer } from '../../gateway/seal/sealer.ts';
import { createSegmentClaims } from '../../gateway/seal/segment-claims.ts';
import { createFilePins } from '../../gateway/tables/file-pins.ts';
import { openGatewayTables } from '../../gateway/tables/tables.ts';
import { openWal } from '../../gateway/wal/open-wal.ts';
import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { cachedRangeQuery } from '../../lake/promql/cache/cached-query.ts';
import { createResultCache, type ResultCache } from '../../lake/promql/cache/result-cache.ts';
import { defaultLookbackMs, defaultQueryLimits } from '../../lake/promql/limits.ts';
import { parseQuery, rangeQuery } from '../../lake/promql/query.ts';
import { seriesScan } from '../../lake/scan/series-scan.ts';
import { type Engine, openEngine } from '../../lake/sql/duckdb/engine.ts';
import { type Tables, tablesAsOf } from '../../lake/tables.ts';
import { seededRandom, tenant } from './lake-fixtures.ts';
import { type MetricRow, metricsBatch } from './rows.ts';
import { ship } from './ship.ts';

// Answers that are remembered, over the tables of a gateway and of a cloud, in which rows come in order and late, are
// sealed, merged, compacted and deleted: they are those of a query that remembers nothing.

const stepMs = 15_000;
const startMs = 1_767_960_000_000;
const minuteMs = 60_000;
const logger = createLogger('silent');

const doubleBits = (value: number): bigint => new BigInt64Array(Float64Array.of(value).buffer)[0] ?? 0n;
const rowsBetween = (fromMs: number, toMs: number, id: bigint, everyMs = stepMs): MetricRow[] =>
  Array.from({ length: Math.ceil((toMs - fromMs) / everyMs) }, (_, index) => {
    const ms = fromMs + index * everyMs;
    return [id, BigInt(ms) * 1000n, doubleBits((index * 7) % 50)];
  });

const texts = [
  'sum by (topic) ({__name__!=""})',
  'sum(rate({__name__!=""}[10m]))',
  'count({__name__!=""} offset 20m)',
];

interface Lake {
  readonly tables: () => Promise<Tables>;
  readonly engine: Engine;
  readonly clock: Clock;
}

async function ask(
  { engine, clock }: Lake,
  tables: Tables,
  text: string,
  endMs: number,
  cache?: ResultCache,
) {
  const query = parseQuery(text);
  const times = { startMs: endMs - 90 * minuteMs, endMs, stepMs };
  const options = {
    ...{ source: seriesScan({ tables, engine }), clock, lookbackMs: defaultLookbackMs },
    ...{ limits: defaultQueryLimits, signal: new AbortController().signal },
  };
  if (cache) return cachedRangeQuery(query, times, options, cache);
  return { ...(await rangeQuery(query, times, options)), cachedSteps: undefined };
}

/** Asks all queries with the cache and without; returns how many of their 361 steps were remembered, of the first. */
async function compare(lake: Lake, cache: ResultCache, endMs: number): Promise<number> {
  const tables = await lake.tables();
  const reused: number[] = [];
  for (const text of texts) {
    const remembered = await ask(lake, tables, text, endMs, cache);
    const { data, warnings, infos } = await ask(lake, tables, text, endMs);
    expect(remembered, text).toMatchObject({ data, warnings, infos });
    reused.push(remembered.cachedSteps ?? -1);
  }
  return reused[0] ?? -1;
}

async function openFolder(stack: AsyncDisposableStack): Promise<{ folder: string; engine: Engine }> {
  const folder = mkdtempSync(join(tmpdir(), 'firn-results-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const engine = await openEngine({ directories: [folder], memoryBytesMax: 256e6, threads: 1 });
  stack.use(engine);
  return { folder, engine };
}

async function openGateway(stack: AsyncDisposableStack) {
  const { folder, engine } = await openFolder(stack);
  const ids = { tenant: tenantId('demo'), site: siteId('plant'), gateway: gatewayId('gw') };
  const shared = { ...ids, dataDir: folder, logger, clock: systemClock };
  const path = join(folder, 'wal.db');
  const wal = stack.use(await openWal({ path, clock: systemClock, commitIntervalMs: 0 }));
  const sealer = stack.use(await startSealer({ ...shared, wal, writer: 'parquetjs', sealIntervalMs: 1e6 }));
  const pins = createFilePins(folder, logger);
  const tables = stack.use(openGatewayTables({ ...shared, walPath: wal.path, engine, pins }));
  const merger = stack.use(
    startMerger({
      ...{ ...shared, wal, claims: createSegmentClaims(), discard: pins.discard },
      ...{ mergeInMemory: sealer.merge, mergeFilesMin: 3, mergeIntervalMs: 1e6 },
    }),
  );
  return { lake: { tables: async () => tables, engine, clock: systemClock }, wal, sealer, merger };
}

test('on a gateway', async () => {
  await using stack = new AsyncDisposableStack();
  const { lake, wal, sealer, merger } = await openGateway(stack);
  const cache = createResultCache(1e6);
  const append = (rows: readonly MetricRow[]) => wal.append(metricsBatch(rows));
  let nowMs = startMs;
  const live = async (minutes: number): Promise<void> => {
    for (const id of [1n, 5n]) await append(rowsBetween(nowMs, nowMs + minutes * minuteMs, id));
    nowMs += minutes * minuteMs;
  };
  await live(120);
  // Nothing is in files yet.
  expect(await compare(lake, cache, nowMs)).toBe(0);
  expect(await compare(lake, cache, nowMs)).toBe(0);
  await sealer.sealNow();
  expect(await compare(lake, cache, nowMs)).toBe(0);
  expect(await compare(lake, cache, nowMs)).toBe(361);
  await live(1);
  // What waits in the log is not read for a time that it has no row of.
  const waiting = async (toMs: number): Promise<boolean> => {
    await using view = await (await lake.tables()).open('metrics', { toUs: toMs * 1000 });
    return view.parts?.rest !== undefined;
  };
  expect([await waiting(nowMs), await waiting(nowMs - 2 * minuteMs)]).toEqual([true, false]);
  expect(await compare(lake, cache, nowMs)).toBeGreaterThan(280);
  await sealer.sealNow();
  expect(await compare(lake, cache, nowMs)).toBeGreaterThan(280);
  // A late row takes the blocks that it touches with it, first in the log and then in a file.
  const lateMs = nowMs - 45 * minuteMs;
  await append(rowsBetween(lateMs, lateMs + 1, 8n));
  const touched = await compare(lake, cache, nowMs);
  expect(touched).toBeGreaterThan(150);
  expect(touched).toBeLessThan(280);
  await sealer.sealNow();
  expect(await compare(lake, cache, nowMs)).toBe(touched);
  expect(await compare(lake, cache, nowMs)).toBe(361);
  const random = seededRandom(3);
  for (let round = 0; round < 8; round++) {
    await live(1 + Math.floor(random() * 4));
    if (random() < 0.4) {
      const fromMs = nowMs - Math.floor(random() * 100) * minuteMs;
      await append(rowsBetween(fromMs, fromMs + random() * 10 * minuteMs, 9n, 20_000));
    }
    await compare(lake, cache, nowMs);
    if (random() < 0.7) await sealer.sealNow();
    if (random() < 0.3) await merger.runNow();
    await compare(lake, cache, nowMs - Math.floor(random() * 8) * stepMs);
  }
  expect(merger.status.merges).toBeGreaterThan(0);
}, 120_000);

test('in the cloud, where a compaction changes nothing, and each key has its own', async () => {
  await using stack = new AsyncDisposableStack();
  const { folder, engine } = await openFolder(stack);
  let nowMs = startMs + 120 * minuteMs;
  const clock: Clock = {
    ...systemClock,
    nowMs: () => nowMs,
    monotonicMs: () => systemClock.monotonicMs() + nowMs,
  };
  const store = directoryStore({ root: join(folder, 'lake') });
  stack.defer(() => store.close());
  const locationOf = (key: string): string => `${pathToFileURL(join(folder, 'lake')).href}/${key}`;
  let number = 0;
  const commit = async (rows: readonly MetricRow[]): Promise<void> => {
    await using writer = openParquetjsWriter();
    await ship({
      ...{ writer, store, folder, gateway: 'gw' },
      number: ++number,
      batches: [metricsBatch(rows)],
    });
    await using ingest = startIngest({ store, locationOf, tenants: () => [tenant], clock, logger });
    await ingest.pollNow();
  };
  const keepHouse = async (): Promise<void> => {
    await using work = startMaintain({
      ...{ store, locationOf, tenants: () => [tenant], clock, logger },
      ...{ workDirectory: join(folder, 'work'), intervalMs: 1e9, limits: { filesMin: 3 } },
    });
    await work.runNow();
    await work.keepHouseNow();
  };
  const tables = await openCloudTables({ store, tenant, locationOf, clock, snapshotMaxAgeMs: 0 });
  const lake: Lake = { tables: async () => tables, engine, clock };
  const filesNow = async () => (await tables.plan('metrics', {})).files.length;
  const cache = createResultCache(1e6);
  expect(await compare(lake, cache, nowMs)).toBe(0);
  await commit([1n, 5n].flatMap((id) => rowsBetween(startMs, nowMs, id)));
  expect(await compare(lake, cache, nowMs)).toBe(0);
  expect(await compare(lake, cache, nowMs)).toBe(361);
  for (let minute = 0; minute < 6; minute++) {
    await commit([1n, 5n].flatMap((id) => rowsBetween(nowMs, nowMs + minuteMs, id)));
    nowMs += minuteMs;
    expect(await compare(lake, cache, nowMs)).toBeGreaterThan(280);
  }
  await compare(lake, cache, nowMs);
  const before = await filesNow();
  nowMs += 60 * minuteMs;
  await keepHouse();
  expect(await filesNow()).toBeLessThan(before);
  expect(await compare(lake, cache, nowMs - 60 * minuteMs)).toBe(361);
  const lateMs = nowMs - 105 * minuteMs;
  await commit(rowsBetween(lateMs, lateMs + 1, 8n));
  const touched = await compare(lake, cache, nowMs - 60 * minuteMs);
  expect(touched).toBeGreaterThan(150);
  expect(touched).toBeLessThan(361);
  const deleted = { table: 'metrics', selector: '{topic="plant/sensor-5"}' } as const;
  const [fromUs, toUs] = [(lateMs - minuteMs) * 1000, lateMs * 1000];
  await requestDelete(store, tenant, { ...deleted, fromUs, toUs }, nowMs);
  for (let turn = 0; turn < 2; turn++) {
    await keepHouse();
    nowMs += 60 * minuteMs;
    await compare(lake, cache, nowMs - (120 + turn * 60) * minuteMs);
  }
  const counted = await ask(lake, tables, 'sum(count_over_time({topic="plant/sensor-5"}[3h]))', nowMs, cache);
  expect(counted.data).not.toEqual({ type: 'matrix', series: [] });

  // Keys that see some rows, and earlier states.
  const some = (topic: string): Tables => restrictedTables(tables, { labels: { topic } });
  const endMs = nowMs - 180 * minuteMs;
  const seen = async (of: Tables) => (await ask(lake, of, texts[0] ?? '', endMs, cache)).data;
  const seenBy = async (of: Tables) => (await ask(lake, of, texts[0] ?? '', endMs)).data;
  const views = [tables, some('plant/sensor-1'), some('plant/sensor-5'), some('plant/sensor-1')];
  for (const view of [...views, ...views]) expect(await seen(view)).toEqual(await seenBy(view));
  const past = tablesAsOf(tables, { kind: 'time', us: nowMs * 1000 });
  expect((await ask(lake, past, texts[0] ?? '', endMs, cache)).cachedSteps).toBeUndefined();
}, 120_000);
