import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { signals } from '../../lake/model/batch.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { hashFile } from '../../lake/parquet/durable-file.ts';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';
import { logsBatch, metricsBatch } from '../../test/contract/rows.ts';
import { decodeBatch } from '../wal/batch-codec.ts';
import { openWal } from '../wal/open-wal.ts';
import { openWalReader } from '../wal/reader.ts';
import { startRecovery } from '../wal/recovery/run-recovery.ts';
import type { SegmentRecord, Wal } from '../wal/wal.ts';
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

/** What happens at a start before the sealer runs. */
async function recover(): Promise<void> {
  const logger = createLogger('silent');
  await using recovery = await startRecovery({
    ...identity,
    wal,
    dataDir: folder,
    clock: systemClock,
    logger,
  });
  await recovery.finished;
}

const request: SealRequest = {
  ...{ epoch: 5, sealRowsMax: 1000, sealBytesMax: 1e6, onlyWhenFull: false, nowUs: 7 },
  holdUntrustedSinceMonoUs: Number.MAX_SAFE_INTEGER,
};
const openRange = async () => openRangeSealer(wal.path, folder, identity, await openDuckdbWriter());

const append = (...values: number[]): Promise<void> =>
  wal.append(
    metricsBatch(values.map((value) => [BigInt(value % 3), noonUs + BigInt(value), doubleBits(value)])),
  );
const doubleBits = (value: number): bigint => new BigInt64Array(Float64Array.of(value).buffer)[0] ?? 0n;

/** Everything that was sealed, by path. */
function sealedSegments(): SegmentRecord[] {
  using reader = openWalReader(wal.path);
  return signals.flatMap((signal) => reader.segments(signal)).sort((a, b) => (a.path < b.path ? -1 : 1));
}
const ranges = (): number[][] => {
  const all = sealedSegments().map(({ fromSeq, toSeq }) => [fromSeq, toSeq]);
  return [...new Map(all.map((range) => [String(range), range])).values()];
};

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
    expect(sealer.status).toMatchObject({ seals: 1, rows: 5, skippedRows: 0, lastError: undefined });
    expect(await sealedValues()).toEqual([1, 2, 3, 4]);
    using reader = openWalReader(wal.path);
    expect([reader.sealedSeq(), [...reader.tail('all', 0, 99)]]).toEqual([3, []]);
    const segments = sealedSegments();
    expect(segments.map(({ signal, day, rows }) => [signal, day, rows])).toEqual([
      ['logs', '2024-10-04', 1],
      ['metrics', '2024-10-04', 4],
    ]);
    for (const { path, manifest, ...segment } of segments) {
      expect(segment).toMatchObject({ epoch: wal.epoch, fromSeq: 0, toSeq: 3, tier: 0, committed: false });
      expect(segment).toMatchObject({ class: segment.signal, clock: 'trusted' });
      expect(segment.minReceivedUs).toBeGreaterThan(Date.now() * 1000 - 60_000_000);
      expect(segment.maxReceivedUs).toBeGreaterThanOrEqual(segment.minReceivedUs);
      const { bytes, sha256 } = await hashFile(join(folder, path));
      expect(manifest).toMatchObject({ bytes, sha256, rows: segment.rows });
      expect(manifest?.key).toBe(`demo/inbox/gw/${path}`);
    }
    expect(segments[1]?.manifest?.bounds.name).toEqual({ nulls: 0, min: 'a_total', max: '\u{1f600}' });
  },
);

test('a long tail becomes several seals without holes, none over the limit', async () => {
  for (let value = 0; value < 100; value += 10)
    await append(...Array.from({ length: 10 }, (_, i) => value + i));
  await using sealer = await start({ ...quiet, sealRowsMax: 25 });
  await sealer.sealNow();
  expect(ranges()).toEqual([0, 2, 4, 6, 8].map((fromSeq) => [fromSeq, fromSeq + 2]));
  expect(await sealedValues()).toEqual(Array.from({ length: 100 }, (_, index) => index));
});

test('a batch larger than the limit is sealed alone', async () => {
  await append(...Array.from({ length: 50 }, (_, index) => index));
  await append(50);
  await using sealer = await start({ ...quiet, sealBytesMax: 10 });
  await sealer.sealNow();
  expect(ranges().map(([, toSeq]) => toSeq)).toEqual([1, 2]);
});

test('a crash before the rename: the next seal writes the same name over it', async () => {
  await append(1, 2);
  mkdirSync(join(folder, 'segments', 'metrics'), { recursive: true });
  await using range = await openRange();
  const { epoch } = wal;
  const name = (await range.seal({ ...request, epoch })).seal?.segments[0]?.path ?? '';
  rmSync(join(folder, name));
  writeFileSync(join(folder, `${name}.tmp`), 'half a segm');
  await recover();
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
  await recover();
  expect(existsSync(join(folder, 'segments', 'metrics', 'never-committed.parquet'))).toBe(false);
  expect(await range.seal(request)).toMatchObject({ seal: undefined });
  expect(await sealedValues()).toEqual([1]);
  expect(ranges()).toEqual([[0, 1]]);
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
    seals: 1,
    lastError: undefined,
  });
  using reader = openWalReader(wal.path);
  const gaps = [...reader.tail('gaps', 0, reader.lastSeq())].map(({ payload }) =>
    decodeBatch('gaps', payload),
  );
  expect(gaps).toMatchObject([{ ofSignal: ['metrics', 'metrics'], reason: ['wal-damaged', 'wal-damaged'] }]);
  expect(gaps).toMatchObject([{ rowsMissing: [null, 1n] }]);
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

test('alarms become files of their own, row by row', async () => {
  await wal[Symbol.asyncDispose]();
  wal = await openWal({ path: join(folder, 'wal.db'), clock: systemClock, alarmSelectors: ['{n="1"}'] });
  const series = [0n, 1n].map((id) => ({ id, labels: `{"__name__":"up","n":"${id}"}` }));
  const batch = metricsBatch([
    [0n, noonUs, doubleBits(1)],
    [1n, noonUs, doubleBits(2)],
    [0n, noonUs + 1n, doubleBits(3)],
  ]);
  await wal.append({ ...batch, series });
  await wal.append({ ...metricsBatch([[0n, noonUs, doubleBits(4)]]), series: [] });
  await using sealer = await start(quiet);
  await sealer.sealNow();
  expect(sealedSegments().map(({ path, class: of, rows }) => [path.split('-').at(-1), of, rows])).toEqual([
    ['alarms.parquet', 'alarms', 1],
    ['04.parquet', 'metrics', 3],
  ]);
  expect(await sealedValues()).toEqual([1, 2, 3, 4]);
});

test('batches wait for the true time, and are corrected when it is known; a seal is of one clock', async () => {
  await wal[Symbol.asyncDispose]();
  const boot = { bootId: 'b', clock: 'untrusted' } as const;
  const wrong = { ...systemClock, nowMs: () => 1_000_000 };
  wal = await openWal({ path: join(folder, 'wal.db'), clock: wrong, boot });
  await wal.append(metricsBatch([[1n, 1_000_000_000n, doubleBits(1)]]));
  await using sealer = await start({
    ...quiet,
    clock: wrong,
    holdSinceMonoUs: () => Number.NEGATIVE_INFINITY,
  });
  await sealer.sealNow();
  expect(sealedSegments()).toEqual([]);
  await wal.setClock('trusted', Number(noonUs) - 1_000_000_000);
  await wal.append(metricsBatch([[1n, noonUs + 5n, doubleBits(2)]]));
  await sealer.sealNow();
  expect(sealedSegments().map(({ clock, minTimestampUs }) => [clock, BigInt(minTimestampUs)])).toEqual([
    ['corrected', noonUs],
    ['trusted', noonUs + 5n],
  ]);
});

test('rows whose time never becomes known are sealed as they are', async () => {
  await wal[Symbol.asyncDispose]();
  const boot = { bootId: 'b', clock: 'untrusted' } as const;
  wal = await openWal({ path: join(folder, 'wal.db'), clock: systemClock, boot });
  await append(1);
  await using sealer = await start(quiet);
  await sealer.sealNow();
  expect(sealedSegments()).toMatchObject([{ clock: 'untrusted' }]);
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
  await expect.poll(() => sealer.status.seals, { timeout: 20_000 }).toBe(1);
  expect(await sealedValues()).toEqual([1]);
  await expect.poll(() => sealer.status.lastError ?? 'none').toBe('none');
});
