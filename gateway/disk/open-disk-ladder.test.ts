import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { type GapsBatch, signals } from '../../lake/model/batch.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { logsBatch, type MetricRow, metricsBatch } from '../../test/contract/rows.ts';
import { startSealer } from '../seal/sealer.ts';
import { createSegmentClaims } from '../seal/segment-claims.ts';
import { decodeBatch } from '../wal/batch-codec.ts';
import { openWal } from '../wal/open-wal.ts';
import { openWalReader } from '../wal/reader.ts';
import type { SegmentRecord, Wal } from '../wal/wal.ts';
import { type OpenDiskLadderOptions, openDiskLadder } from './open-disk-ladder.ts';
import { rolledUpTier } from './segment-files.ts';

// The ladder over a real log, real segments and a real disk.

const identity = { tenant: tenantId('demo'), site: siteId('plant'), gateway: gatewayId('gw') };
const noonUs = 1_728_043_200_000_000n;
const second = 1_000_000n;
/** An hour later, so that what was just sealed is old enough. */
const later: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + 3_600_000 };

let folder: string;
let wal: Wal;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-disk-'));
  wal = await openWal({ path: join(folder, 'wal.db'), clock: systemClock, commitIntervalMs: 0 });
});
afterEach(async () => {
  await wal[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const discard = async (paths: readonly string[]): Promise<void> => {
  for (const path of paths) rmSync(join(folder, path));
};
const open = (options: Partial<OpenDiskLadderOptions>) =>
  openDiskLadder({
    ...{ ...identity, wal, dataDir: folder, claims: createSegmentClaims(), discard },
    ...{
      clock: later,
      logger: createLogger('silent'),
      checkIntervalMs: 1e9,
      budgetBytes: 0,
      reserveBytes: 1,
    },
    ...options,
  });

/** Two seals of metrics (20 series, 10 minutes, a sample a second each) and one of logs. */
async function fill(): Promise<void> {
  await using sealer = await startSealer({
    ...{ ...identity, wal, dataDir: folder, writer: 'duckdb', clock: systemClock },
    ...{ logger: createLogger('silent'), sealIntervalMs: 1e6 },
  });
  for (let part = 0n; part < 2n; part++) {
    const rows = Array.from({ length: 20 * 300 }, (_, index): MetricRow => {
      const at = noonUs + (part * 300n + BigInt(Math.floor(index / 20))) * second;
      return [BigInt(index % 20), at, BigInt(index) * 0x9e3779b97f4a7n];
    });
    await wal.append(metricsBatch(rows));
    await sealer.sealNow();
  }
  for (let index = 0; index < 3; index++) {
    await wal.append(logsBatch([[1n, noonUs * 1000n, `line ${index} ${'x'.repeat(2000)}`, null, 'info']]));
    await sealer.sealNow();
  }
}

function segments(): SegmentRecord[] {
  using reader = openWalReader(wal.path);
  return signals.flatMap((signal) => reader.segments(signal));
}

function gaps(): GapsBatch[] {
  using reader = openWalReader(wal.path);
  return [...reader.tail('gaps', 0, reader.lastSeq())].map(
    ({ payload }) => decodeBatch('gaps', payload) as GapsBatch,
  );
}

const filesOnDisk = (): string[] =>
  signals.flatMap((signal) => {
    const path = join(folder, 'segments', signal);
    return existsSync(path) ? readdirSync(path).map((name) => `segments/${signal}/${name}`) : [];
  });

test('old samples are rolled up, and then are few, with a row that says so', async () => {
  await fill();
  const before = segments();
  // What it holds decides the budget: it is to be 85 % full.
  const probe = await open({});
  const own = probe.status.pressure?.ownBytes ?? 0;
  expect(probe.status.pressure?.ratio).toBeLessThan(0.7);
  await probe[Symbol.asyncDispose]();
  await using ladder = await open({ budgetBytes: Math.floor(own / 0.85) });
  const after = segments();
  const rolled = after.filter(({ tier }) => tier === rolledUpTier);
  expect(rolled.map(({ signal, rows, day }) => [signal, rows, day])).toEqual([
    ['metrics', 200, '2024-10-04'],
    ['metrics_1m', 200, '2024-10-04'],
  ]);
  const metrics = before.filter(({ signal }) => signal === 'metrics');
  for (const { fromSeq, toSeq, manifest, path } of rolled) {
    expect([fromSeq, toSeq]).toEqual([metrics[0]?.fromSeq, metrics.at(-1)?.toSeq]);
    expect(manifest?.key.endsWith(path.split('/').at(-1) ?? '?')).toBe(true);
  }
  expect(after.filter(({ signal }) => signal === 'logs')).toHaveLength(3);
  expect(filesOnDisk().sort()).toEqual(after.map(({ path }) => path).sort());
  expect(gaps()).toMatchObject([
    {
      kind: ['rollup'],
      ofSignal: ['metrics'],
      reason: ['disk-budget'],
      rowsMissing: [11_800n],
      fromUs: BigInt64Array.of(noonUs),
      toUs: BigInt64Array.of(noonUs + 599n * second),
    },
  ]);
  expect(ladder.status.rolledUpRows).toBe(11_800);
  // Rolled up again, a minute would be counted twice.
  await ladder.relieveNow();
  expect(segments().map(({ path }) => path)).toEqual(after.map(({ path }) => path));
});

test('past that, logs go before metrics, and nothing goes without a row that says so', async () => {
  await fill();
  await using ladder = await open({ budgetBytes: 1, rollUpAt: 0.8 });
  expect(segments()).toEqual([]);
  expect(filesOnDisk()).toEqual([]);
  const found = gaps();
  const rowsOf = found.flatMap(({ kind, ofSignal }) => kind.map((each, row) => [each, ofSignal[row]]));
  expect(rowsOf.slice(0, 2)).toEqual([
    ['rollup', 'metrics'],
    ['gap', 'logs'],
  ]);
  expect(rowsOf.slice(2).sort()).toEqual([
    ['gap', 'metrics'],
    ['gap', 'metrics_1m'],
  ]);
  const rows = found
    .flatMap(({ rowsMissing }) => rowsMissing ?? [])
    .reduce((sum: bigint, n) => sum + (n ?? 0n), 0n);
  // All samples and lines, and the minutes that the samples had become.
  expect(rows).toBe(12_000n + 3n + 200n);
  await expect(ladder.append(metricsBatch([[1n, noonUs, 0n]]))).rejects.toMatchObject({
    code: 'unavailable',
    subject: 'disk.budgetBytes',
  });
});

test('the cloud has it: local copies go first and nothing else', async () => {
  await fill();
  const paths = segments().map(({ path }) => path);
  const [first = ''] = paths;
  await wal.markUploaded([first]);
  const { tenant, site, gateway } = identity;
  const number = await wal.compose({
    ...{ identity: { tenant, site, gateway }, composedUs: 1, progress: {}, paths: [first] },
  });
  await wal.markShipped(number, 1, undefined);
  await wal.applyReceipt({ epoch: wal.epoch, number, refused: [] });
  const probe = await open({});
  const own = probe.status.pressure?.ownBytes ?? 0;
  await probe[Symbol.asyncDispose]();
  await using ladder = await open({ budgetBytes: Math.floor(own / 0.75) });
  expect(segments().map(({ path }) => path)).toEqual(paths.filter((path) => path !== first));
  expect(gaps()).toEqual([]);
  expect(ladder.status.removedCopies).toBe(1);
});

test('files that someone else works on are left alone', async () => {
  await fill();
  const claims = createSegmentClaims();
  const paths = segments().map(({ path }) => path);
  claims.take(paths);
  await using ladder = await open({ budgetBytes: 1, claims });
  expect(segments().map(({ path }) => path)).toEqual(paths);
  claims.release(paths);
  await ladder.relieveNow();
  expect(segments()).toEqual([]);
});
