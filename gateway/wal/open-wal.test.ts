import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import type { MetricMetadata, MetricsBatch } from '../../lake/model/batch.ts';
import { parseManifest } from '../../lake/model/manifest.ts';
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

const segment = (path: string, changes: Partial<SegmentRecord> = {}): SegmentRecord => {
  const shared = { signal: 'metrics', class: 'metrics', day: '2026-01-01', rows: 3, bytes: 100 } as const;
  const times = { minTimestampUs: 10, maxTimestampUs: 20, clock: 'trusted' } as const;
  const key = `demo/inbox/gw/segments/metrics/${path}`;
  return {
    ...{ ...shared, ...times, path, tier: 0, epoch: 7, fromSeq: 0, toSeq: 1, minName: 'b', maxName: 'd' },
    ...{ minReceivedUs: 11, maxReceivedUs: 21, sealedUs: 30, committed: false },
    manifest: { ...shared, ...times, key, sha256: 'a'.repeat(64), bounds: {}, columns: 'field-ids' },
    ...changes,
  };
};

const identity = { tenant: 'demo', site: 'plant', gateway: 'gw' };
const plan = (...paths: string[]) => ({ identity, composedUs: 5, progress: {}, paths });

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
  await wal.commitSeal({ fromSeq: 0, toSeq: await wal.flush(), segments: [] });
  await wal.append(big);
  expect(storedValues(wal.path)).toEqual([...big.value]);
  await wal[Symbol.asyncDispose]();
});

test('seq and epoch survive a restart; seq is never used again', async () => {
  const first = await open();
  await first.append(batchOf([1]));
  await first.append(batchOf([2]));
  await first.commitSeal({ fromSeq: 0, toSeq: 2, segments: [] });
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

test('the seal moves a range from the tail to segments, once', async () => {
  await using wal = await open();
  for (const n of [1, 2, 3]) await wal.append(batchOf([n]));
  const seal = { fromSeq: 0, toSeq: 2, segments: [segment('a')] };
  await wal.commitSeal(seal);
  await wal.commitSeal(seal); // again after a crash: no change
  using reader = openWalReader(wal.path);
  expect(reader.sealedSeq()).toBe(2);
  expect(storedValues(wal.path)).toEqual([3]);
  expect(reader.segments('metrics')).toEqual([segment('a')]);
  for (const [fromSeq, toSeq] of [
    [1, 3],
    [3, 4],
  ] as const)
    await expect(wal.commitSeal({ fromSeq, toSeq, segments: [] })).rejects.toMatchObject({
      code: 'conflict',
    });
});

test('a shipment gets its number when it is composed, and its segments are committed by the receipt', async () => {
  await using wal = await open({ newEpoch: 7 });
  using reader = openWalReader(wal.path);
  const segments = ['a', 'b', 'c'].map((path) => segment(path));
  await wal.append(batchOf([1], [{ name: 'up', type: 'gauge', help: 'Up', unit: '' }]));
  await wal.commitSeal({ fromSeq: 0, toSeq: 1, segments });
  await wal.markUploaded(['a', 'b', 'c']);
  expect(await wal.compose(plan('c'))).toBe(1);
  expect(await wal.compose(plan('a', 'b'))).toBe(2);
  await expect(wal.compose(plan('a'))).rejects.toMatchObject({ code: 'conflict', subject: 'a' });
  expect(reader.shipments('composed').map(({ number }) => number)).toEqual([1, 2]);
  const manifest = parseManifest(reader.shipments()[1]?.manifest ?? '', '2');
  expect(manifest).toMatchObject({ ...identity, epoch: 7, number: 2, composedUs: 5 });
  expect(manifest.segments).toEqual([segment('a').manifest, segment('b').manifest]);
  await wal.markShipped(1, 77);
  expect(reader.shipments()).toMatchObject([
    { number: 1, state: 'shipped', shippedUs: 77 },
    { number: 2, state: 'composed', shippedUs: null },
  ]);
  await wal.markShipped(2, 78);
  const committed = () =>
    reader
      .segments('metrics')
      .filter((each) => each.committed)
      .map(({ path }) => path);
  await wal.applyReceipt({ epoch: 6, number: 9, refused: [] }); // of an epoch that has ended
  expect(committed()).toEqual([]);
  await wal.applyReceipt({ epoch: 7, number: 1, refused: [] });
  expect(committed()).toEqual(['c']);
  await wal.applyReceipt({ epoch: 7, number: 2, refused: [{ number: 2, reason: 'wrong site' }] });
  expect(committed()).toEqual(['c']); // what was refused stays
  expect(reader.shipments()).toEqual([]);
  expect(await wal.compose(plan())).toBe(3);
});

test('in a new epoch numbers begin again, and what has no receipt waits again', async () => {
  await using wal = await open({ newEpoch: 7 });
  using reader = openWalReader(wal.path);
  await wal.append(batchOf([1]));
  await wal.commitSeal({ fromSeq: 0, toSeq: 1, segments: ['a', 'b', 'c'].map((path) => segment(path)) });
  await wal.compose(plan('a'));
  await wal.compose(plan('b'));
  await wal.applyReceipt({ epoch: 7, number: 1, refused: [] });
  await wal.beginEpoch(9);
  expect([wal.epoch, reader.shipments()]).toEqual([9, []]);
  expect(await wal.compose(plan('b', 'c'))).toBe(1);
  await expect(wal.compose(plan('a'))).rejects.toMatchObject({ code: 'conflict' });
  // Somebody else has shipped under this identity.
  await wal.applyReceipt({ epoch: 9, number: 2, refused: [] });
  expect(wal.epoch).toBe(10);
  await wal.applyReceipt({ epoch: 12, number: 1, refused: [] });
  expect([wal.epoch, await wal.compose(plan('b'))]).toEqual([13, 1]);
});

test('what a command takes away and what is said about it are one transaction', async () => {
  await using wal = await open();
  using reader = openWalReader(wal.path);
  await wal.append(batchOf([1]));
  await wal.commitSeal({ fromSeq: 0, toSeq: 1, segments: [segment('a'), segment('b')] }, [batchOf([2])]);
  expect(storedValues(wal.path)).toEqual([2]);
  await wal.removeSegments(['a'], [batchOf([3])]);
  expect(storedValues(wal.path)).toEqual([2, 3]);
  await wal.compose(plan('b'));
  const lost = wal.replaceSegments(['b'], [segment('m')], [batchOf([4])]);
  await expect(lost).rejects.toMatchObject({ code: 'conflict', subject: 'b' });
  expect(storedValues(wal.path)).toEqual([2, 3]);
  expect(reader.segments('metrics').map(({ path }) => path)).toEqual(['b']);
  expect(await wal.flush()).toBe(3);
});

test('a shipment that was never put can go without a segment', async () => {
  await using wal = await open();
  using reader = openWalReader(wal.path);
  await wal.append(batchOf([1]));
  await wal.commitSeal({ fromSeq: 0, toSeq: 1, segments: [segment('a'), segment('b')] });
  const number = await wal.compose(plan('a', 'b'));
  await wal.amendShipment(number, ['a'], [batchOf([2])]);
  const [shipment] = reader.shipments('composed');
  expect(parseManifest(shipment?.manifest ?? '', '1').segments).toEqual([segment('b').manifest]);
  expect(reader.segments('metrics').map(({ path }) => path)).toEqual(['b']);
  expect(storedValues(wal.path)).toEqual([2]);
});

test('segments are pruned by time and name, replaced and removed', async () => {
  await using wal = await open();
  using reader = openWalReader(wal.path);
  await wal.append(batchOf([1]));
  const segments = [segment('a'), segment('b', { minTimestampUs: 30, maxTimestampUs: 40, minName: 'x' })];
  await wal.commitSeal({ fromSeq: 0, toSeq: 1, segments });
  const found = (prune: object): string[] => reader.segmentFiles('metrics', prune).map(({ path }) => path);
  expect(found({})).toEqual(['a', 'b']);
  expect(found({ fromUs: 20 })).toEqual(['a', 'b']);
  expect(found({ fromUs: 21 })).toEqual(['b']);
  expect(found({ toUs: 29 })).toEqual(['a']);
  expect(found({ name: 'c' })).toEqual(['a']);
  expect(found({ name: 'e' })).toEqual([]);
  expect(reader.segments('logs')).toEqual([]);
  const merged = segment('m', { tier: 1, manifest: null, committed: true });
  await wal.replaceSegments(['a', 'b'], [merged]);
  expect(reader.segments('metrics')).toEqual([merged]);
  expect(reader.segmentCount('metrics')).toBe(1);
  await wal.removeSegments(['m']);
  expect(reader.segmentCount('metrics')).toBe(0);
});

test('a description is shipped again only when it changed, or when a new epoch begins', async () => {
  await using wal = await open();
  using reader = openWalReader(wal.path);
  const up: MetricMetadata = { name: 'up', type: 'gauge', help: 'Up', unit: '' };
  await wal.append(batchOf([], [up]));
  expect(await wal.flush()).toBe(0); // a description alone is no batch
  const described = async (): Promise<string[]> => {
    const number = await wal.compose(plan());
    const { manifest = '' } = reader.shipments().find((each) => each.number === number) ?? {};
    return parseManifest(manifest, 'x').metadata.map(({ help }) => help);
  };
  expect(await described()).toEqual(['Up']);
  await wal.append(batchOf([], [up]));
  expect(await described()).toEqual([]);
  await wal.append(batchOf([], [{ ...up, help: 'Is it up?' }]));
  expect(await described()).toEqual(['Is it up?']);
  await wal.beginEpoch(wal.epoch + 1);
  expect(await described()).toEqual(['Is it up?']);
  expect(reader.metadata()).toEqual([{ ...up, help: 'Is it up?' }]);
});

test('batches know what was known of the clock, and a boot is corrected as a whole', async () => {
  let monoUs = 100;
  const boot = { bootId: 'one', clock: 'untrusted' } as const;
  await using wal = await open({ boot, monotonicUs: () => monoUs });
  using reader = openWalReader(wal.path);
  await wal.append(batchOf([1]));
  await wal.setClock('trusted', 5_000);
  monoUs = 200;
  await wal.append(batchOf([2]));
  const boots = reader.boots();
  expect([...reader.tail('all', 0, 9)].map((batch) => [batch.monoUs, boots.get(batch.boot)])).toEqual([
    [100, { clock: 'corrected', offsetUs: 5_000 }],
    [200, { clock: 'trusted', offsetUs: 0 }],
  ]);
});

test('streams that match a selector are alarms, also those that were there before it was given', async () => {
  const series = [
    { id: 1n, labels: '{"__name__":"up"}' },
    { id: 2n, labels: '{"__name__":"alarm_high","line":"1"}' },
  ];
  const path = join(folder, 'wal.db');
  const alarms = (): bigint[] => {
    using reader = openWalReader(path);
    const ids = reader.alarmIds();
    return [1n, 2n, 3n].filter((id) => ids.has(Number(id), 0));
  };
  {
    await using wal = await open({ alarmSelectors: ['{__name__=~"alarm_.*"}'] });
    await wal.append({ ...batchOf([1, 2]), series });
    expect(alarms()).toEqual([2n]);
  }
  await using _ = await open({ alarmSelectors: ['up', '{line="1",__name__=""}'] });
  expect(alarms()).toEqual([1n]);
});

test('a damaged batch is reported, not returned', async () => {
  await using wal = await open();
  await wal.append(batchOf([1]));
  const db = new Database(wal.path);
  const before = db.prepare('SELECT * FROM batch').get() as Record<string, number>;
  for (const column of ['rows', 'received_us', 'mono_us', 'boot']) {
    db.prepare(`UPDATE batch SET ${column} = ${column} + 1`).run();
    expect(() => storedValues(wal.path)).toThrow(/batch 1 .* damaged/);
    db.prepare(`UPDATE batch SET ${column} = ?`).run(before[column]);
  }
  expect(storedValues(wal.path)).toEqual([1]);
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
