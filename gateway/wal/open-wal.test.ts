import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import type { MetricMetadata, MetricsBatch } from '../../lake/model/batch.ts';
import type { ShipmentManifest1 } from '../../lake/model/manifest.ts';
import { decodeBatch } from './batch-codec.ts';
import { openWal, type WalOptions } from './open-wal.ts';
import { openWalReader } from './reader.ts';
import type { SegmentRecord, Wal } from './wal.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'firn-wal-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (options: Partial<WalOptions> = {}): Promise<Wal> =>
  openWal({ path: join(folder, 'wal.db'), clock: systemClock, ...options });

/** One row for each value; the series id is the value. */
function batchOf(values: readonly number[], metadata: readonly MetricMetadata[] = []): MetricsBatch {
  return {
    signal: 'metrics',
    rows: values.length,
    seriesId: BigInt64Array.from(values, BigInt),
    timestampUs: BigInt64Array.from(values, BigInt),
    value: Float64Array.from(values),
    series: values.map((value) => ({ id: BigInt(value), labels: `{"n":"${value}"}` })),
    metadata,
  };
}

function storedValues(path: string): number[] {
  using reader = openWalReader(path);
  return [...reader.tail('all', 0, reader.lastSeq())].flatMap(({ signal, payload }) => [
    ...(decodeBatch(signal, payload) as MetricsBatch).value,
  ]);
}

function manifestOf(number: number, fromSeq: number, toSeq: number): ShipmentManifest1 {
  const ids = { tenant: 'demo', site: 'plant', gateway: 'gw' };
  return { format: 1, ...ids, epoch: 7, number, fromSeq, toSeq, sealedUs: 5, segments: [], metadata: [] };
}

const segment = (path: string, changes: Partial<SegmentRecord> = {}): SegmentRecord => ({
  path,
  signal: 'metrics',
  day: '2026-01-01',
  shipment: 1,
  tier: 0,
  rows: 3,
  bytes: 100,
  minTimestampUs: 10,
  maxTimestampUs: 20,
  minName: 'b',
  maxName: 'd',
  ...changes,
});

test.each([0, 2])('what append promised is on disk when it resolves (interval %i ms)', async (interval) => {
  await using wal = await open({ commitIntervalMs: interval });
  const seqs: number[] = [];
  wal.onCommit((seq) => seqs.push(seq));
  await wal.append(batchOf([1, 2]));
  expect(storedValues(wal.path)).toEqual([1, 2]);
  await Promise.all([wal.append(batchOf([3])), wal.append(batchOf([4]))]);
  expect(storedValues(wal.path)).toEqual([1, 2, 3, 4]);
  expect(seqs.at(-1)).toBe(3);
  using reader = openWalReader(wal.path);
  expect(reader.labelsOf([1n, 4n, 99n])).toEqual(
    new Map([
      [1n, '{"n":"1"}'],
      [4n, '{"n":"4"}'],
    ]),
  );
});

test('many appends share a commit', async () => {
  await using wal = await open({ commitIntervalMs: 20 });
  let commits = 0;
  wal.onCommit(() => commits++);
  await Promise.all(Array.from({ length: 500 }, (_, n) => wal.append(batchOf([n]))));
  expect(storedValues(wal.path)).toHaveLength(500);
  expect(commits).toBeLessThan(20);
});

test('a group is committed early when it is large, and when something waits for it', async () => {
  await using wal = await open({ commitIntervalMs: 60_000, commitRowsMax: 3 });
  await Promise.all([wal.append(batchOf([1])), wal.append(batchOf([2, 3]))]);
  const late = wal.append(batchOf([4]));
  expect(await wal.flush()).toBe(3);
  await late;
});

test('an append beyond walQueueBytesMax is refused with limit, and none of it is stored', async () => {
  await using wal = await open({ commitIntervalMs: 50, walQueueBytesMax: 400 });
  const outcomes = await Promise.allSettled([1, 2, 3, 4, 5, 6].map((n) => wal.append(batchOf([n]))));
  const refused = outcomes.filter(({ status }) => status === 'rejected');
  expect(refused.length).toBeGreaterThan(0);
  for (const { reason } of refused as PromiseRejectedResult[])
    expect(reason).toMatchObject({ code: 'limit', subject: 'walQueueBytesMax' });
  const accepted = [1, 2, 3, 4, 5, 6].filter((_, index) => outcomes[index]?.status === 'fulfilled');
  expect(storedValues(wal.path)).toEqual(accepted);
  await wal.append(batchOf([7])); // the queue is empty again
});

test('a full disk rejects the appends of that commit with unavailable; the log goes on', async () => {
  const wal = await open({ databaseBytesMax: 200_000 });
  const big = batchOf(Array.from({ length: 2_000 }, (_, n) => n));
  await wal.append(batchOf([1]));
  let full: unknown;
  let kept = 0;
  while (full === undefined && kept < 20)
    await wal.append(big).then(
      () => kept++,
      (error: unknown) => {
        full = error;
      },
    );
  expect(full).toMatchObject({ code: 'unavailable', hint: expect.stringContaining('free space') });
  expect(storedValues(wal.path)).toHaveLength(1 + kept * big.rows);
  await wal.commitSeal({
    manifest: manifestOf(1, 0, await wal.flush()),
    segments: [],
    metadataVersions: [],
  });
  await wal.append(big);
  expect(storedValues(wal.path)).toEqual([...big.value]);
  await wal[Symbol.asyncDispose]();
});

test('seq and epoch survive a restart; seq is never used again', async () => {
  const first = await open();
  await first.append(batchOf([1]));
  await first.append(batchOf([2]));
  await first.commitSeal({ manifest: manifestOf(1, 0, 2), segments: [], metadataVersions: [] });
  await first[Symbol.asyncDispose]();
  await using second = await open({ clock: { ...systemClock, nowMs: () => 1e12 } });
  expect(second.epoch).toBe(first.epoch);
  expect(Math.abs(second.epoch - Date.now() / 1000)).toBeLessThan(60);
  expect(await second.flush()).toBe(2);
  await second.append(batchOf([3]));
  expect(await second.flush()).toBe(3);
  using reader = openWalReader(second.path);
  expect([...reader.tail('metrics', 0, 99)].map(({ seq }) => seq)).toEqual([3]);
  expect([...reader.tail('logs', 0, 99)]).toEqual([]);
});

test('the seal moves a range from the tail to shipment and segments, once', async () => {
  await using wal = await open();
  for (const n of [1, 2, 3]) await wal.append(batchOf([n]));
  const seal = { manifest: manifestOf(1, 0, 2), segments: [segment('a')], metadataVersions: [] };
  await wal.commitSeal(seal);
  await wal.commitSeal(seal); // again after a crash: no change
  using reader = openWalReader(wal.path);
  expect(reader.sealedSeq()).toBe(2);
  expect(storedValues(wal.path)).toEqual([3]);
  expect(reader.segments('metrics')).toEqual([segment('a')]);
  expect(reader.shipments('sealed')).toMatchObject([{ number: 1, toSeq: 2, shippedUs: null }]);
  await wal.markShipped(1, 77);
  expect(reader.shipments('sealed')).toEqual([]);
  expect(reader.shipments()).toMatchObject([{ number: 1, state: 'shipped', shippedUs: 77 }]);

  const hole = { manifest: manifestOf(3, 2, 3), segments: [], metadataVersions: [] };
  await expect(wal.commitSeal(hole)).rejects.toMatchObject({ code: 'conflict' });
  const overlap = { manifest: manifestOf(2, 1, 3), segments: [], metadataVersions: [] };
  await expect(wal.commitSeal(overlap)).rejects.toMatchObject({ code: 'conflict' });
});

test('segments are pruned by time and name, replaced and removed', async () => {
  await using wal = await open();
  using reader = openWalReader(wal.path);
  const segments = [segment('a'), segment('b', { minTimestampUs: 30, maxTimestampUs: 40, minName: 'x' })];
  await wal.commitSeal({ manifest: manifestOf(1, 0, 1), segments, metadataVersions: [] });
  const found = (prune: object): string[] => reader.segments('metrics', prune).map(({ path }) => path);
  expect(found({})).toEqual(['a', 'b']);
  expect(found({ fromUs: 20 })).toEqual(['a', 'b']);
  expect(found({ fromUs: 21 })).toEqual(['b']);
  expect(found({ toUs: 29 })).toEqual(['a']);
  expect(found({ name: 'c' })).toEqual(['a']);
  expect(found({ name: 'e' })).toEqual([]);
  expect(reader.segments('logs')).toEqual([]);
  const merged = segment('m', { shipment: null, tier: 1 });
  await wal.replaceSegments(['a', 'b'], merged);
  expect(reader.segments('metrics')).toEqual([merged]);
  expect(reader.segmentCount('metrics')).toBe(1);
  await wal.removeSegments(['m']);
  expect(reader.segmentCount('metrics')).toBe(0);
});

test('a description is shipped again only when it changed', async () => {
  await using wal = await open();
  using reader = openWalReader(wal.path);
  const up: MetricMetadata = { name: 'up', type: 'gauge', help: 'Up', unit: '' };
  await wal.append(batchOf([], [up]));
  expect(await wal.flush()).toBe(0); // a description alone is no batch
  expect(reader.unshippedMetadata()).toEqual([{ ...up, version: 1 }]);
  const seal = (number: number, version: number): Promise<void> =>
    wal.commitSeal({
      manifest: manifestOf(number, number - 1, number),
      segments: [],
      metadataVersions: [['up', version]],
    });
  await seal(1, 1);
  await wal.append(batchOf([], [up]));
  expect(reader.unshippedMetadata()).toEqual([]);
  await wal.append(batchOf([], [{ ...up, help: 'Is it up?' }]));
  expect(reader.unshippedMetadata()).toMatchObject([{ version: 2 }]);
  await seal(2, 1); // a manifest that was made before the change
  expect(reader.unshippedMetadata()).toMatchObject([{ version: 2 }]);
  expect(reader.metadata()).toMatchObject([{ name: 'up', help: 'Is it up?' }]);
});

test('a damaged batch is reported, not returned', async () => {
  await using wal = await open();
  await wal.append(batchOf([1]));
  const db = new Database(wal.path);
  db.prepare('UPDATE batch SET payload = zeroblob(length(payload))').run();
  db.close();
  expect(() => storedValues(wal.path)).toThrow(/batch 1 .* damaged/);
});

test.each([
  ['a folder that does not exist', 'no/such/wal.db', () => undefined, 'unavailable'],
  [
    'a log of a newer format',
    'wal.db',
    (path: string) => {
      const db = new Database(path);
      db.exec(`CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`);
      db.exec(`INSERT INTO meta VALUES ('format', '99')`);
      db.close();
    },
    'unsupported',
  ],
] as const)('%s is refused at once', async (_, name, prepare, code) => {
  const path = join(folder, name);
  prepare(path);
  await expect(openWal({ path, clock: systemClock })).rejects.toMatchObject({ code });
});

test('closing commits what waits; appends are rejected after it', async () => {
  const wal = await open({ commitIntervalMs: 60_000 });
  const last = wal.append(batchOf([1]));
  await wal[Symbol.asyncDispose]();
  await last;
  expect(storedValues(wal.path)).toEqual([1]);
  await expect(wal.append(batchOf([2]))).rejects.toMatchObject({ code: 'unavailable' });
  await wal[Symbol.asyncDispose]();
});

const child = `
  import { systemClock } from './lake/base/clock.ts';
  import { openWal } from './gateway/wal/open-wal.ts';
  const wal = await openWal({ path: process.argv[1], clock: systemClock });
  let n = Number(process.argv[2]);
  const one = async () => {
    for (;;) {
      const value = n++;
      const column = BigInt64Array.of(BigInt(value));
      await wal.append({ signal: 'metrics', rows: 1, seriesId: column, timestampUs: column,
        value: Float64Array.of(value), series: [], metadata: [] });
      process.stdout.write(value + '\\n');
    }
  };
  await Promise.all([one(), one(), one(), one()]);`;

test('kill -9 while appending loses nothing that was promised and stores nothing twice', async () => {
  const path = join(folder, 'wal.db');
  const acknowledged: number[] = [];
  for (let kill = 0; kill < 3; kill++) {
    const args = ['-e', child, path, String(kill * 1_000_000)];
    const options = { cwd: join(import.meta.dirname, '..', '..') };
    const running: ChildProcess = spawn(process.execPath, args, {
      ...options,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (running.stdout === null) throw new Error('no stdout');
    let seen = 0;
    for await (const line of createInterface(running.stdout)) {
      acknowledged.push(Number(line));
      if (++seen === 200 + 50 * kill) running.kill('SIGKILL');
    }
  }
  const stored = storedValues(path);
  expect(acknowledged.length).toBeGreaterThan(700);
  expect(new Set(stored).size).toBe(stored.length);
  expect(acknowledged.filter((value) => !new Set(stored).has(value))).toEqual([]);
});
