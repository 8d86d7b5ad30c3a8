import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { commitShipments } from '../../cloud/ingest/commit-shipments.ts';
import { tenant } from '../contract/lake-fixtures.ts';
import { type MemoryStore, memoryStore } from '../contract/memory-store.ts';
import { startCloud } from './cloud.ts';
import { faultyStore } from './faulty-store.ts';
import { startGateway } from './gateway.ts';
import { type Stored, storedRows } from './lake.ts';
import { batchOf, type SentRow, wrongIn } from './sent-rows.ts';
import { createWorld, type Life } from './world.ts';

const folder = mkdtempSync(join('/dev/shm', 'firn-week-'));
afterAll(() => rmSync(folder, { recursive: true }));

const hintKey = `${tenant}/lake/metrics/metadata/version-hint.text`;
const minuteMs = 60_000;
const weekMinutes = 7 * 24 * 60;
const minutesPerBatch = 120;

/** Looks at the lake, but only when there is a new version of the table. */
function whenCommitted(memory: MemoryStore, look: (stored: Stored) => boolean): () => Promise<boolean> {
  let seen = '';
  return async () => {
    const version = Buffer.from(memory.objects.get(hintKey) ?? []).toString();
    if (version === seen) return false;
    seen = version;
    return look(await storedRows(memory));
  };
}

test('after a week without the store the newest row is there within seconds, and in the end every row once', async () => {
  const world = createWorld(1);
  const memory = memoryStore();
  const weather = { outage: true, faultShare: 0 };
  const storeOf = (life: Life) => faultyStore({ world, life, memory, weather, count: () => undefined });
  const life = { name: 'gw-1', dead: false };
  const gateway = await startGateway({
    ...{ world, life, parts: {}, store: storeOf(life), dataDir: join(folder, 'gw-1') },
    ...{ crash: undefined, offsetMs: () => 0, databaseBytesMax: 0, shippers: 1 },
    // It may try as seldom as it likes while nothing answers; trying every few seconds says no more.
    tuning: { unreachedRetryMaxMs: 60 * minuteMs, receiptIntervalMs: minuteMs },
  });
  const sent: SentRow[] = [];
  const send = async (): Promise<void> => {
    const timestampUs = world.nowMs() * 1000;
    const row = { id: sent.length + 1, signal: 'metrics' as const, timestampUs, acknowledged: true };
    await gateway.append(batchOf('metrics', [row], false));
    sent.push(row);
  };
  /** Everything that happens until then. */
  const until = async (done: () => boolean | Promise<boolean>): Promise<void> => {
    for (let step = 0; !(await done()); step++) {
      expect(step).toBeLessThan(200_000);
      await world.settle();
      const one = world.pick(world.pending);
      if (one) await world.release(one);
      else if (!world.nextTimer(minuteMs)) world.advance(1000);
    }
  };
  for (let minute = 0; minute < weekMinutes; minute += minutesPerBatch) {
    await send();
    const nextMs = world.nowMs() + minutesPerBatch * minuteMs;
    await until(() => world.nowMs() >= nextMs);
  }
  const cloudLife = { name: 'cloud', dead: false };
  const cloud = startCloud({ world, life: cloudLife, store: storeOf(cloudLife), commitShipments });
  weather.outage = false;
  await send(); // as a site does all the time
  const backAtMs = world.nowMs();
  const newest = sent.length;
  let behind = 0;
  await until(
    whenCommitted(memory, ({ times }) => {
      behind = newest - times.size;
      return times.has(newest);
    }),
  );
  const newestMs = world.nowMs() - backAtMs;
  await until(whenCommitted(memory, ({ times }) => times.size === newest));
  console.log(`${newest} rows of a week: the newest after ${newestMs} ms, ${behind} later than it`);
  expect(behind).toBeGreaterThan(0);
  expect(wrongIn(sent, await storedRows(memory))).toEqual([]);
  await gateway.kill();
  cloud.kill();
});
