import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Merger, mergerDefaults, startMerger } from '../../gateway/seal/merger.ts';
import { type Sealer, sealerDefaults, startSealer } from '../../gateway/seal/sealer.ts';
import { createSegmentClaims } from '../../gateway/seal/segment-claims.ts';
import { createFilePins } from '../../gateway/tables/file-pins.ts';
import {
  type GatewayTables,
  type GatewayTablesOptions,
  gatewayTablesDefaults,
  openGatewayTables,
} from '../../gateway/tables/tables.ts';
import { openWal } from '../../gateway/wal/open-wal.ts';
import { openWalReader } from '../../gateway/wal/reader.ts';
import type { Wal } from '../../gateway/wal/wal.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { signals } from '../../lake/model/batch.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { hashFile } from '../../lake/parquet/durable-file.ts';
import { duckdbTypes } from '../../lake/schema/duckdb-types.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { type Engine, openEngine, sqlText } from '../../lake/sql/duckdb/engine.ts';
import type { Prune, TableView } from '../../lake/tables.ts';
import { makeOld } from './old-files.ts';
import {
  exemplarsBatch,
  gapsBatch,
  logsBatch,
  type MetricRow,
  metricsBatch,
  oneRow,
  rollupsBatch,
  seriesOf,
} from './rows.ts';

// The tables port of the gateway, against the sealer and the merger that work below it.

const noonUs = 1_728_043_200_000_000n;
const dayUs = 86_400_000_000n;

interface House {
  readonly folder: string;
  readonly wal: Wal;
  readonly engine: Engine;
  readonly connection: DuckDBConnection;
  readonly tables: GatewayTables;
  readonly sealer: Sealer;
  readonly merger: Merger;
  readonly lines: string[];
  markAllCommitted(): Promise<void>;
}

let house: House;
let close: AsyncDisposableStack;
beforeEach(async () => {
  house = await build();
});
afterEach(() => close.disposeAsync());

async function build(options: Partial<GatewayTablesOptions> = {}, retentionHours = 1e9): Promise<House> {
  close = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'firn-tables-'));
  close.defer(() => rmSync(folder, { recursive: true, force: true }));
  const lines: string[] = [];
  const shared = {
    dataDir: folder,
    tenant: tenantId('demo'),
    site: siteId('plant'),
    logger: createLogger('info', (line) => lines.push(line)),
    clock: systemClock,
  };
  const wal = close.use(
    await openWal({ path: join(folder, 'wal.db'), clock: systemClock, commitIntervalMs: 0 }),
  );
  const sealer = close.use(
    await startSealer({
      ...shared,
      wal,
      gateway: gatewayId('gw'),
      writer: 'parquetjs',
      sealIntervalMs: 1e6,
      sealRowsMax: 50,
    }),
  );
  const engine = close.use(await openEngine({ directories: [folder], memoryBytesMax: 256e6, threads: 2 }));
  const pins = createFilePins(folder, shared.logger);
  const tables = close.use(openGatewayTables({ ...shared, walPath: wal.path, engine, pins, ...options }));
  const merger = close.use(
    startMerger({
      ...shared,
      wal,
      gateway: gatewayId('gw'),
      claims: createSegmentClaims(),
      discard: pins.discard,
      mergeInMemory: sealer.merge,
      mergeFilesMin: 3,
      mergeIntervalMs: 1e6,
      localRetentionHours: retentionHours,
    }),
  );
  const connection = await engine.connect();
  close.defer(() => connection.closeSync());
  const markAllCommitted = async (): Promise<void> => {
    using reader = openWalReader(wal.path);
    const waiting = signals
      .flatMap((signal) => reader.segments(signal))
      .filter(({ committed }) => !committed);
    const identity = { tenant: 'demo', site: 'plant', gateway: 'gw' };
    const paths = waiting.map(({ path }) => path);
    const number = await wal.compose({ identity, composedUs: 1, progress: {}, paths });
    await wal.applyReceipt({ epoch: wal.epoch, number, refused: [] });
  };
  return { folder, wal, engine, connection, tables, sealer, merger, lines, markAllCommitted };
}

const files = (signal = 'metrics'): string[] => {
  const path = join(house.folder, 'segments', signal);
  return existsSync(path) ? readdirSync(path) : [];
};
const doubleBits = (value: number): bigint => new BigInt64Array(Float64Array.of(value).buffer)[0] ?? 0n;
const appendMetrics = (...values: number[]): Promise<void> =>
  house.wal.append(
    metricsBatch(values.map((value) => [BigInt(value % 5), noonUs + BigInt(value), doubleBits(value)])),
  );
const appendLog = (value: number): Promise<void> =>
  house.wal.append(logsBatch([[BigInt(value % 3), noonUs * 1000n, String(value), null, null]]));

/** The values in a view, sorted: a row that is there twice shows. Its parts have the same rows. */
async function valuesIn(view: TableView, column: 'value' | 'line' = 'value'): Promise<number[]> {
  const read = async (from: string): Promise<number[]> => {
    const result = await house.connection.runAndReadAll(`SELECT ${column} FROM ${from}`);
    return result.getColumns().flat().map(Number);
  };
  const { files = [], rest } = view.parts ?? {};
  const parts = [...files.map(({ path }) => `read_parquet(${sqlText(path)})`), rest ?? []].flat();
  const [whole, ...others] = await Promise.all([view.from, ...parts].map(read));
  const sorted = (values: readonly number[] = []): number[] => values.toSorted((a, b) => a - b);
  expect(sorted(others.flat())).toEqual(sorted(whole));
  return sorted(whole);
}

async function valuesNow(prune: Prune = {}): Promise<number[]> {
  await using view = await house.tables.open('metrics', prune);
  return valuesIn(view);
}

test.each(signals)('%s: the columns of the schema, from nothing, tail, files, and both', async (table) => {
  const columnTypes = async (): Promise<unknown[]> => {
    await using view = await house.tables.open(table, {});
    const described = await house.connection.runAndReadAll(`DESCRIBE SELECT * FROM ${view.from}`);
    return described.getRows().map(([name, type]) => [name, type]);
  };
  const fullName = (type: string): string => type.replace('TZ', ' WITH TIME ZONE');
  const expected = tableSchemas[table].columns.map(({ name, type }) => [name, fullName(duckdbTypes[type])]);
  const append = () => house.wal.append(oneRow(noonUs)[table]);
  expect(await columnTypes()).toEqual(expected);
  await append();
  expect(await columnTypes()).toEqual(expected);
  await house.sealer.sealNow();
  expect(await columnTypes()).toEqual(expected);
  await append();
  expect(await columnTypes()).toEqual(expected);
});

/** Every row of every table, as text; values also as their bits. */
async function allRows(): Promise<string[]> {
  const texts: string[] = [];
  for (const table of signals) {
    await using view = await house.tables.open(table, {});
    const time = table === 'metrics' ? 'epoch_us(timestamp), value::BIT::VARCHAR' : 'epoch_us(timestamp)';
    const sql = `SELECT *, ${time} FROM ${view.from} ORDER BY ALL`;
    const result = await house.connection.runAndReadAll(sql);
    texts.push(...result.getRowsJson().map((row) => JSON.stringify(row)));
  }
  return texts;
}

test('a row is the same in the tail, in its segment and after a merge', async () => {
  await house.wal.append(
    metricsBatch(
      // Often enough that DuckDB would make a dictionary of them.
      Array.from({ length: 10 }, (): MetricRow[] => [
        [1n, noonUs, 0x7ff0000000000002n],
        [1n, noonUs, 0x7ff8000000000001n],
        [2n, -1n, -(2n ** 63n)],
        [2n, -1n, 0n],
      ]).flat(),
    ),
  );
  await house.wal.append(logsBatch([[1n, -1n, 'a\0b', null, 'warn']]));
  await house.wal.append(logsBatch([[2n, noonUs * 1000n + 1n, '', '{}', null, 'device-past', 0n]]));
  await house.wal.append(metricsBatch([[1n, noonUs + 1n, 0n, 'device-future', 2n ** 60n]]));
  await house.wal.append(
    metricsBatch([
      [1n, noonUs + 2n, 0x7ff8000000000000n, null, null, '{"schema":0}', noonUs - 9n],
      [1n, noonUs + 3n, 0x7ff0000000000002n, null, null, '{"schema":1}', null],
    ]),
    exemplarsBatch([[1n, noonUs, 0n, 'ab']]),
  );
  await house.wal.append(rollupsBatch([[1n, noonUs, 0x7ff0000000000002n, 3n]]));
  await house.wal.append(gapsBatch([[noonUs, noonUs + dayUs, 'disk-full', null, 'sda']]));
  await house.wal.append(gapsBatch([[noonUs - 1n, noonUs, 'disk-full', 5n, null]]));
  const inTail = await allRows();
  expect(inTail.length).toBe(49);
  expect(inTail[0]).toContain(JSON.stringify(seriesOf(1n)).slice(1, -1));
  await house.sealer.sealNow();
  expect(await allRows()).toEqual(inTail);
  for (let seal = 0; seal < 2; seal++) {
    for (const us of [noonUs, -1n]) await house.wal.append(metricsBatch([[3n, us, 0n]]));
    await appendLog(1);
    await house.sealer.sealNow();
  }
  const before = await allRows();
  await house.markAllCommitted();
  await house.merger.runNow();
  expect(house.merger.status.merges).toBeGreaterThan(0);
  expect(await allRows()).toEqual(before);
});

test('local files that an earlier version wrote are read and merged with new ones', async () => {
  for (const number of [1n, 2n, 3n]) {
    const doubt = number === 1n ? ([null, null] as const) : (['device-past', 0n] as const);
    await house.wal.append(metricsBatch([[1n, noonUs + number, 0n, ...doubt]]));
    await house.wal.append(logsBatch([[1n, noonUs * 1000n + number, '', null, null, ...doubt]]));
    await house.sealer.sealNow();
    if (number > 1n) continue;
    for (const signal of ['metrics', 'logs'] as const)
      for (const name of files(signal)) await makeOld(join(house.folder, 'segments', signal, name), signal);
  }
  const before = await allRows();
  expect(before.length).toBe(6);
  expect(before.filter((row) => row.includes('device-past')).length).toBe(4);
  await house.markAllCommitted();
  await house.merger.runNow();
  expect(house.merger.status.merges).toBe(2);
  expect(await allRows()).toEqual(before);
});

test('a view stays as it was, whatever is appended, sealed and merged after it', async () => {
  await appendMetrics(1, 2);
  await using first = await house.tables.open('metrics', {});
  await house.sealer.sealNow();
  await appendMetrics(3);
  await using second = await house.tables.open('metrics', {});
  for (const value of [4, 5]) {
    await house.sealer.sealNow();
    await appendMetrics(value);
  }
  await house.sealer.sealNow();
  await using third = await house.tables.open('metrics', {});
  await house.markAllCommitted();
  await house.merger.runNow();
  expect(house.merger.status.merges).toBe(1);
  expect([await valuesIn(first), await valuesIn(second), await valuesIn(third), await valuesNow()]).toEqual([
    [1, 2],
    [1, 2, 3],
    [1, 2, 3, 4, 5],
    [1, 2, 3, 4, 5],
  ]);
});

test('while a long tail is sealed bit by bit, a view has the sealed part from files and the rest from the tail', async () => {
  const batches = [0, 1, 2, 3].map((batch) => Array.from({ length: 40 }, (_, index) => 40 * batch + index));
  for (const values of batches) await appendMetrics(...values);
  expect(await valuesNow()).toEqual(batches.flat());
  const between: Promise<[filesConsidered: number, number[]]>[] = [];
  house.sealer.onSealed(() => {
    between.push(
      (async () => {
        await using view = await house.tables.open('metrics', {});
        return [view.filesConsidered, await valuesIn(view)];
      })(),
    );
  });
  await house.sealer.sealNow();
  const seen = await Promise.all(between);
  expect(seen.map(([, values]) => values)).toEqual(batches.map(() => batches.flat()));
  expect(seen[0]?.[0]).toBeLessThan(4);
});

test('merged files are deleted when the last view that reads them is closed', async () => {
  for (const value of [1, 2, 3]) {
    await appendMetrics(value);
    await house.sealer.sealNow();
  }
  const one = await house.tables.open('metrics', {});
  const other = await house.tables.open('metrics', {});
  await house.markAllCommitted();
  await house.merger.runNow();
  expect(files().length).toBe(4);
  await one[Symbol.asyncDispose]();
  await one[Symbol.asyncDispose]();
  expect(files().length).toBe(4);
  await other[Symbol.asyncDispose]();
  await expect.poll(() => files()).toEqual([expect.stringMatching(/-t1\.parquet$/)]);
  expect(await valuesNow()).toEqual([1, 2, 3]);
});

test('files that can not match are left out', async () => {
  for (const day of [0n, 1n, 2n]) {
    await house.wal.append(metricsBatch([[day, noonUs + day * dayUs, doubleBits(Number(day))]]));
    await house.sealer.sealNow();
  }
  const pruned = async (prune: Prune): Promise<unknown> => {
    await using view = await house.tables.open('metrics', prune);
    return [view.filesConsidered, view.filesPruned, await valuesIn(view)];
  };
  expect(await pruned({})).toEqual([3, 0, [0, 1, 2]]);
  expect(await pruned({ fromUs: Number(noonUs + dayUs) })).toEqual([3, 1, [1, 2]]);
  expect(await pruned({ fromUs: Number(noonUs + 1n), toUs: Number(noonUs + dayUs) })).toEqual([3, 2, [1]]);
  expect(await pruned({ name: '\u{1f600}' })).toEqual([3, 2, [2]]);
  expect(await pruned({ name: 'none' })).toEqual([3, 3, []]);
});

test('local files that the cloud has are removed so long after their seal; others are kept', async () => {
  await close.disposeAsync();
  house = await build({}, 1e-9);
  await appendMetrics(1);
  await house.sealer.sealNow();
  await house.markAllCommitted();
  await appendMetrics(2);
  await house.sealer.sealNow();
  await house.merger.runNow();
  expect(await valuesNow()).toEqual([2]);
  expect([files().length, house.merger.status.removedFiles]).toEqual([1, 1]);
  await close.disposeAsync();
  house = await build({}, 24);
  await appendMetrics(1); // of 2024, but sealed just now
  await house.sealer.sealNow();
  await house.markAllCommitted();
  await house.merger.runNow();
  expect(await valuesNow()).toEqual([1]);
});

test('files that wait are merged with their neighbours, and ship as one', async () => {
  for (const value of [1, 2, 3, 4]) {
    await appendMetrics(value);
    await house.sealer.sealNow();
  }
  using reader = openWalReader(house.wal.path);
  const [, second] = reader.segments('metrics');
  await house.wal.markUploaded([second?.path ?? '']);
  await house.merger.runNow(2);
  expect(await valuesNow()).toEqual([1, 2, 3, 4]);
  const segments = reader.segments('metrics').sort((a, b) => a.fromSeq - b.fromSeq);
  // The second is on its way: nothing is drawn over it.
  expect(segments.map(({ fromSeq, toSeq, tier }) => [fromSeq, toSeq, tier])).toEqual([
    [0, 1, 0],
    [1, 2, 0],
    [2, 4, 1],
  ]);
  const merged = segments[2];
  expect(merged?.manifest?.key).toMatch(/-b1\.parquet$/);
  expect(merged?.manifest).toMatchObject({
    rows: 2,
    sha256: (await hashFile(join(house.folder, merged?.path ?? ''))).sha256,
  });
});

test.each([
  [{ tailRowsMax: 3 }, 'tailRowsMax'],
  [{ tailBytesMax: 100 }, 'tailBytesMax'],
])('with %o, a tail that is longer fails with limit until it is sealed', async (limits, subject) => {
  await close.disposeAsync();
  house = await build(limits);
  await appendMetrics(1, 2);
  expect(await valuesNow()).toEqual([1, 2]);
  await appendMetrics(3, 4);
  await expect(valuesNow()).rejects.toMatchObject({ code: 'limit', subject });
  await house.sealer.sealNow();
  await appendMetrics(5);
  expect(await valuesNow()).toEqual([1, 2, 3, 4, 5]);
});

test('a damaged batch is missing from the tail as it will be from its segment, and is logged once', async () => {
  for (const value of [1, 2, 3]) await appendMetrics(value);
  const db = new Database(house.wal.path);
  db.exec(`UPDATE batch SET crc = crc + 1 WHERE seq = 2`);
  db.close();
  expect(await valuesNow()).toEqual([1, 3]);
  expect(await valuesNow()).toEqual([1, 3]);
  expect(house.lines.filter((line) => line.includes('damaged')).length).toBe(1);
  await house.sealer.sealNow();
  expect(await valuesNow()).toEqual([1, 3]);
});

test('the engine forgets the tail that is sealed', async () => {
  const tablesInEngine = async (): Promise<number> => {
    const sql = `SELECT table_name FROM duckdb_tables() WHERE schema_name = 'firn_tail'`;
    return (await house.connection.runAndReadAll(sql)).getRows().length;
  };
  for (let value = 0; value < 20; value++) {
    await appendMetrics(value);
    expect((await valuesNow()).length).toBe(value + 1);
    await house.sealer.sealNow();
    await valuesNow();
    expect(await tablesInEngine()).toBe(0);
  }
});

test('the default limits fit together: a tail is several seals, and a merged file holds more than one', () => {
  expect(gatewayTablesDefaults.tailRowsMax).toBeGreaterThanOrEqual(4 * sealerDefaults.sealRowsMax);
  expect(gatewayTablesDefaults.tailBytesMax).toBeGreaterThanOrEqual(4 * sealerDefaults.sealBytesMax);
  expect(mergerDefaults.mergeRowsMax).toBeGreaterThanOrEqual(2 * sealerDefaults.sealRowsMax);
  expect(mergerDefaults.mergeBytesMax).toBeGreaterThanOrEqual(2 * sealerDefaults.sealBytesMax);
});

test('descriptions of metrics come from the WAL, sealed or not', async () => {
  const about = { name: 'up', type: 'gauge', help: 'is it up', unit: '' };
  await house.wal.append({ ...metricsBatch([[1n, 1n, 1n]]), metadata: [about] });
  expect(await house.tables.metricMetadata()).toEqual([about]);
  await house.sealer.sealNow();
  expect(await house.tables.metricMetadata()).toEqual([about]);
});

// The heart of it: whatever happens in whatever order, also at the same moment, a view holds each row that was
// acknowledged before it was opened exactly once, and still does when it is read later.
type Step =
  | 'append'
  | 'append many'
  | 'log'
  | 'seal'
  | 'seal meanwhile'
  | 'ship and merge'
  | 'open'
  | 'open two'
  | 'close';
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.constantFrom<Step>(
    ...(['append', 'append', 'append many', 'log', 'seal', 'seal meanwhile', 'ship and merge'] as const),
    ...(['open', 'open', 'open two', 'close'] as const),
  ),
  { minLength: 5, maxLength: 25 },
);

test('every view holds each acknowledged row exactly once', async () => {
  let views = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (script) => {
      await close.disposeAsync();
      house = await build();
      const acked: number[] = [];
      const logged: number[] = [];
      const open: { view: TableView; column: 'value' | 'line'; expected: number[] }[] = [];
      let next = 0;
      let meanwhile: Promise<unknown>[] = [];
      const openOne = async (table: 'metrics' | 'logs'): Promise<void> => {
        const expected = table === 'metrics' ? [...acked] : [...logged];
        const view = await house.tables.open(table, {});
        const column = table === 'metrics' ? 'value' : 'line';
        open.push({ view, column, expected });
        expect(await valuesIn(view, column)).toEqual(expected);
        views++;
      };
      const run: Record<Step, () => Promise<unknown>> = {
        append: async () => {
          await appendMetrics(next);
          acked.push(next++);
        },
        'append many': async () => {
          const values = Array.from({ length: 100 }, () => next++);
          await appendMetrics(...values);
          acked.push(...values);
        },
        log: async () => {
          await appendLog(next);
          logged.push(next++);
        },
        seal: () => house.sealer.sealNow(),
        'seal meanwhile': async () => meanwhile.push(house.sealer.sealNow()),
        'ship and merge': async () => {
          await house.markAllCommitted();
          meanwhile.push(house.merger.runNow());
        },
        open: () => openOne('metrics'),
        'open two': () => Promise.all([openOne('metrics'), openOne('logs'), openOne('metrics')]),
        close: async () => open.shift()?.view[Symbol.asyncDispose](),
      };
      for (const step of script) await run[step]();
      await openOne('metrics');
      for (const { view, column, expected } of open) expect(await valuesIn(view, column)).toEqual(expected);
      await Promise.all(meanwhile);
      meanwhile = [];
      for (const { view, column, expected } of open) expect(await valuesIn(view, column)).toEqual(expected);
      for (const { view } of open) await view[Symbol.asyncDispose]();
      await openOne('metrics');
      await openOne('logs');
    }),
    { numRuns: 15, endOnFailure: true },
  );
  expect(views).toBeGreaterThan(40);
}, 120_000);
