import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { parseManifest, type ShipmentManifest } from '../../lake/model/manifest.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { hashFile } from '../../lake/parquet/durable-file.ts';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';
import { logsBatch, metricsBatch } from '../../test/contract/rows.ts';
import { openWal } from '../wal/open-wal.ts';
import { openWalReader } from '../wal/reader.ts';
import type { Wal } from '../wal/wal.ts';
import { removeLeftovers } from './leftovers.ts';
import { openRangeSealer, type SealRequest } from './seal-range.ts';
import { type Sealer, type SealerOptions, startSealer } from './sealer.ts';

const identity = { tenant: tenantId('demo'), site: siteId('plant'), gateway: gatewayId('gw') };
const noonUs = 1_728_043_200_000_000n;

let folder: string;
let wal: Wal;
let lines: string[];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-seal-'));
  wal = await openWal({ path: join(folder, 'wal.db'), clock: systemClock, commitIntervalMs: 0 });
  lines = [];
});
afterEach(async () => {
  await wal[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const quiet: Partial<SealerOptions> = { sealIntervalMs: 1_000_000 };
const start = (options: Partial<SealerOptions> = {}): Promise<Sealer> =>
  startSealer({
    ...identity,
    wal,
    dataDir: folder,
    writer: 'duckdb',
    clock: systemClock,
    logger: createLogger('info', (line) => lines.push(line)),
    retryMinMs: 20,
    retryMaxMs: 40,
    ...options,
  });

const request: SealRequest = { sealRowsMax: 1000, sealBytesMax: 1e6, onlyWhenFull: false, nowUs: 7 };
const openRange = async () =>
  openRangeSealer(wal.path, folder, { ...identity, epoch: wal.epoch }, await openDuckdbWriter());

const append = (...values: number[]): Promise<void> =>
  wal.append(
    metricsBatch(values.map((value) => [BigInt(value % 3), noonUs + BigInt(value), doubleBits(value)])),
  );
const doubleBits = (value: number): bigint => new BigInt64Array(Float64Array.of(value).buffer)[0] ?? 0n;

function ranges(): number[][] {
  using reader = openWalReader(wal.path);
  return reader.shipments().map(({ number, fromSeq, toSeq }) => [number, fromSeq, toSeq]);
}

function manifests(): ShipmentManifest[] {
  using reader = openWalReader(wal.path);
  return reader.shipments().map(({ manifest, number }) => parseManifest(manifest, String(number)));
}

const filesOf = (signal: string): string[] => {
  const path = join(folder, 'segments', signal);
  return existsSync(path) ? readdirSync(path).sort() : [];
};

/** Values in all segments that the WAL knows. */
async function sealedValues(): Promise<number[]> {
  using reader = openWalReader(wal.path);
  const paths = reader.segments('metrics').map(({ path }) => sqlText(join(folder, path)));
  if (paths.length === 0) return [];
  const instance = await openDuckdb({});
  const connection = await instance.connect();
  const sql = `SELECT value FROM read_parquet([${paths.join(', ')}]) ORDER BY value`;
  const rows = (await connection.runAndReadAll(sql)).getRows();
  connection.closeSync();
  instance.closeSync();
  return rows.map(([value]) => value as number);
}

function damage(sql: string): void {
  const db = new Database(wal.path);
  db.exec(sql);
  db.close();
}

test.each(['duckdb', 'parquetjs'] as const)(
  '%s: what was appended is in segments, and no longer in the tail',
  async (writer) => {
    await using sealer = await start({ ...quiet, writer });
    const heard: number[] = [];
    sealer.onSealed(({ toSeq }) => heard.push(toSeq));
    await append(1, 2, 3);
    await append(4);
    await wal.append(logsBatch([[1n, noonUs * 1000n + 999n, 'hello', null, 'info']]));
    await sealer.sealNow();
    await sealer.sealNow();
    expect(heard).toEqual([3]);
    expect(sealer.status).toMatchObject({ shipments: 1, rows: 5, skippedRows: 0, lastError: undefined });
    expect(await sealedValues()).toEqual([1, 2, 3, 4]);
    using reader = openWalReader(wal.path);
    expect([reader.sealedSeq(), [...reader.tail('all', 0, 99)]]).toEqual([3, []]);
    const [manifest] = manifests();
    expect(manifest).toMatchObject({ ...identity, number: 1, epoch: wal.epoch });
    expect(manifest?.segments.map(({ signal, day, rows }) => [signal, day, rows])).toEqual([
      ['metrics', '2024-10-04', 4],
      ['logs', '2024-10-04', 1],
    ]);
    for (const segment of manifest?.segments ?? []) {
      const path = join(folder, 'segments', segment.signal, segment.key.split('/').at(-1) ?? '');
      expect(await hashFile(path)).toEqual({ bytes: segment.bytes, sha256: segment.sha256 });
      expect(segment.key).toBe(`demo/inbox/gw/segments/${segment.signal}/${path.split('/').at(-1)}`);
    }
    expect(manifest?.segments[0]?.bounds.name).toEqual({ nulls: 0, min: 'a_total', max: '\u{1f600}' });
  },
);

test('a long tail becomes several shipments without holes, none over the limit', async () => {
  for (let value = 0; value < 100; value += 10)
    await append(...Array.from({ length: 10 }, (_, i) => value + i));
  await using sealer = await start({ ...quiet, sealRowsMax: 25 });
  await sealer.sealNow();
  expect(ranges()).toEqual([0, 2, 4, 6, 8].map((fromSeq, index) => [index + 1, fromSeq, fromSeq + 2]));
  expect(await sealedValues()).toEqual(Array.from({ length: 100 }, (_, index) => index));
});

test('a batch larger than the limit is sealed alone', async () => {
  await append(...Array.from({ length: 50 }, (_, index) => index));
  await append(50);
  await using sealer = await start({ ...quiet, sealBytesMax: 10 });
  await sealer.sealNow();
  expect(ranges().map(([, , toSeq]) => toSeq)).toEqual([1, 2]);
});

test('a crash before the rename: the next seal writes the same name over it', async () => {
  await append(1, 2);
  mkdirSync(join(folder, 'segments', 'metrics'), { recursive: true });
  await using range = await openRange();
  const name = (await range.seal(request)).seal?.segments[0]?.path ?? '';
  rmSync(join(folder, name));
  writeFileSync(join(folder, `${name}.tmp`), 'half a segm');
  await using sealer = await start(quiet);
  expect(filesOf('metrics')).toEqual([]);
  await sealer.sealNow();
  expect(filesOf('metrics').map((file) => `segments/metrics/${file}`)).toEqual([name]);
  expect(await sealedValues()).toEqual([1, 2]);
});

test('a crash after the rename and before the commit: the same range is the same file, byte for byte', async () => {
  await append(2, 1, 3);
  const first = await (async () => {
    await using range = await openRange();
    return await range.seal(request);
  })();
  await using range = await openRange();
  const second = await range.seal(request);
  expect(second).toEqual(first);
  expect(filesOf('metrics').length).toBe(1);
  if (second.seal === undefined) throw new Error('not sealed');
  await wal.commitSeal(second.seal);
  expect(await sealedValues()).toEqual([1, 2, 3]);
});

test('a crash after the commit: committing again changes nothing, and its files stay', async () => {
  await append(1);
  await using range = await openRange();
  const { seal } = await range.seal(request);
  if (seal === undefined) throw new Error('not sealed');
  await wal.commitSeal(seal);
  await wal.commitSeal(seal);
  writeFileSync(join(folder, 'segments', 'metrics', 'never-committed.parquet'), 'x');
  expect(await removeLeftovers(wal.path, folder)).toBe(1);
  expect(await range.seal(request)).toMatchObject({ seal: undefined });
  expect(await sealedValues()).toEqual([1]);
  expect(manifests().length).toBe(1);
});

test('damaged batches are skipped and counted; nothing around them is lost', async () => {
  for (const value of [1, 2, 3, 4, 5]) await append(value);
  await wal.append(metricsBatch([[1n, 2n ** 53n, 0n]])); // a time that no table can hold
  await append(7);
  damage(`UPDATE batch SET payload = x'0102' WHERE seq IN (2, 3)`);
  damage(`UPDATE batch SET crc = 0 WHERE seq = 1`);
  await using sealer = await start(quiet);
  await sealer.sealNow();
  expect(await sealedValues()).toEqual([4, 5, 7]);
  expect(sealer.status).toMatchObject({
    skippedBatches: 4,
    skippedRows: 1,
    shipments: 1,
    lastError: undefined,
  });
  expect(lines.filter((line) => line.includes('are lost')).length).toBe(1);
});

test('rows whose labels are gone are skipped, the others are sealed', async () => {
  await append(1);
  await append(2);
  damage('DELETE FROM series WHERE id = 1');
  await using sealer = await start(quiet);
  await sealer.sealNow();
  expect(await sealedValues()).toEqual([2]);
  expect(sealer.status).toMatchObject({ skippedBatches: 1, skippedRows: 1 });
});

test('descriptions of metrics go into one manifest, and again when they change', async () => {
  const about = { name: 'up', type: 'gauge', help: 'is it up', unit: '' };
  await using sealer = await start(quiet);
  const rows = [[1n, noonUs, 0n]] as const;
  await wal.append({ ...metricsBatch(rows), metadata: [about] });
  await sealer.sealNow();
  await wal.append({ ...metricsBatch(rows), metadata: [about] });
  await sealer.sealNow();
  await wal.append({ ...metricsBatch(rows), metadata: [{ ...about, help: 'was it up' }] });
  await sealer.sealNow();
  expect(manifests().map(({ metadata }) => metadata.map(({ help }) => help))).toEqual([
    ['is it up'],
    [],
    ['was it up'],
  ]);
});

test('in the background it seals by age, and earlier by size', async () => {
  const sealedAfterMs = async (options: Partial<SealerOptions>, rows: number): Promise<number> => {
    await using sealer = await start(options);
    const sealed = new Promise<void>((resolve) => sealer.onSealed(() => resolve()));
    const since = performance.now();
    for (let row = 0; row < rows; row++) await append(row);
    await sealed;
    return performance.now() - since;
  };
  expect(await sealedAfterMs({ sealIntervalMs: 400 }, 1)).toBeGreaterThan(350);
  const full = { sealIntervalMs: 20_000, sealRowsMax: 5, sealCheckMs: 20 };
  expect(await sealedAfterMs(full, 8)).toBeLessThan(10_000);
});

test('when it can not write it logs once, backs off, and goes on when it can', async () => {
  await using sealer = await start({ sealIntervalMs: 1 });
  writeFileSync(join(folder, 'segments'), 'in the way');
  await append(1);
  await expect(sealer.sealNow()).rejects.toThrow(/segments/);
  await expect.poll(() => sealer.status.lastError).toMatch(/segments/);
  await systemClock.sleep(200);
  expect(lines.filter((line) => line.includes('could not seal')).length).toBe(1);
  rmSync(join(folder, 'segments'));
  await expect.poll(() => sealer.status.shipments).toBe(1);
  expect(await sealedValues()).toEqual([1]);
  expect(sealer.status.lastError).toBeUndefined();
});
