import { mkdtempSync, rmSync, statfsSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { batchCrc } from '../../gateway/wal/batch-crc.ts';
import { openWal } from '../../gateway/wal/open-wal.ts';
import { startRecovery } from '../../gateway/wal/recovery/run-recovery.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { metricsBatch } from '../contract/rows.ts';

// A log of 1 GiB that was never sealed: a gateway that starts on it accepts data while it is brought back, whether it is whole or
// damaged, and needs no more memory than for a small one.

const identity = { tenant: tenantId('demo'), site: siteId('plant'), gateway: gatewayId('gw') };
const batches = 256;
const payload = new Uint8Array(4 * 1024 * 1024);
const memoryBytesMax = 100 * 1024 * 1024;

const space = statfsSync(tmpdir());
const enoughSpace = space.bavail * space.bsize > 3 * 1024 ** 3;

let folder: string;
let path: string;
beforeAll(async () => {
  if (!enoughSpace) return;
  folder = mkdtempSync(join(tmpdir(), 'firn-large-'));
  path = join(folder, 'wal.db');
  await (await openWal({ path, clock: systemClock }))[Symbol.asyncDispose]();
  const db = new Database(path);
  db.pragma('synchronous = OFF');
  const insert = db.prepare(
    `INSERT INTO batch (seq, signal, rows, received_us, mono_us, boot, crc, payload)
     VALUES (@seq, @signal, @rows, @receivedUs, @monoUs, @boot, @crc, @payload)`,
  );
  for (let seq = 1; seq <= batches; seq++) {
    const batch = { seq, signal: 'metrics', rows: 100, receivedUs: seq * 1e6, monoUs: seq, boot: 1, payload };
    insert.run({ ...batch, crc: batchCrc(batch) });
  }
  db.close();
}, 180_000);
afterAll(() => {
  if (enoughSpace) rmSync(folder, { recursive: true, force: true });
});

/** Opens the log as a gateway does, has one batch acknowledged, and stops. */
async function start(): Promise<{ kind: string; acceptedMs: number; memoryBytes: number }> {
  const memory = process.memoryUsage.rss();
  const began = performance.now();
  await using wal = await openWal({ path, clock: systemClock });
  const logger = createLogger('silent');
  await using recovery = await startRecovery({
    ...identity,
    wal,
    dataDir: folder,
    clock: systemClock,
    logger,
  });
  await wal.append(metricsBatch([[1n, 1n, 1n]]));
  const acceptedMs = performance.now() - began;
  // What goes on in the background gets its time, too.
  for (const until = performance.now() + 3000; performance.now() < until && recovery.status.jobsLeft > 0; )
    await systemClock.sleep(50);
  return { kind: wal.start.kind, acceptedMs, memoryBytes: process.memoryUsage.rss() - memory };
}

test.skipIf(!enoughSpace)('a whole log of 1 GiB', async () => {
  expect(statSync(path).size).toBeGreaterThan(1024 ** 3);
  const { kind, acceptedMs, memoryBytes } = await start();
  expect(kind).toBe('clean');
  console.log(`accepted after ${acceptedMs.toFixed(0)} ms`);
  expect(memoryBytes).toBeLessThan(memoryBytesMax);
});

test.skipIf(!enoughSpace)('a damaged one: what it held comes back while data is accepted', async () => {
  const file = await open(path, 'r+');
  await file.write(new Uint8Array(100), 0, 100, 0);
  await file.close();
  const { kind, acceptedMs, memoryBytes } = await start();
  expect(kind).toBe('hard');
  console.log(`accepted after ${acceptedMs.toFixed(0)} ms`);
  expect(memoryBytes).toBeLessThan(memoryBytesMax);
  // Stopped in the middle of it, the next start goes on.
  const again = await start();
  expect(again.kind).toBe('clean');
  console.log(`and after ${again.acceptedMs.toFixed(0)} ms`);
});
