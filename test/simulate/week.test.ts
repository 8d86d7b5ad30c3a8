import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { commitShipments } from '../../cloud/ingest/commit-shipments.ts';
import { memoryStore } from '../contract/memory-store.ts';
import { startCloud } from './cloud.ts';
import { faultyStore } from './faulty-store.ts';
import { startGateway } from './gateway.ts';
import { storedRows } from './lake.ts';
import { batchOf, type SentRow, wrongIn } from './sent-rows.ts';
import { createWorld, type Life, type World } from './world.ts';

const minuteMs = 60_000;
const days = 7;
/** Seals and tries seldom: a week of them every few seconds would take an hour. */
const pace = {
  sealIntervalMs: 15 * minuteMs,
  sealCheckMs: 15 * minuteMs,
  receiptIntervalMs: 30 * minuteMs,
  lookIntervalMs: 15 * minuteMs,
  unreachedRetryMaxMs: 30 * minuteMs,
};

/** Lets everything happen that is asked for, until that time. */
async function runUntil(world: World, untilMs: number): Promise<void> {
  for (;;) {
    await world.settle();
    const [next] = world.pending;
    if (next) await world.release(next);
    else if (!world.nextTimer(untilMs - world.nowMs())) break;
  }
  world.advance(untilMs - world.nowMs());
}

test('a week without the store: every row is in the lake once when it is back, whatever restarts there were', async () => {
  const folder = mkdtempSync(join('/dev/shm', 'firn-simulate-'));
  const world = createWorld(7);
  const weather = { outage: true, faultShare: 0 };
  const memory = memoryStore();
  const sent: SentRow[] = [];
  const storeOf = (life: Life) => faultyStore({ world, life, memory, weather, count: () => undefined });
  const begin = async (day: number) => {
    const life = { name: `gw-1#${day}`, dead: false };
    const gateway = await startGateway({
      ...{ world, life, parts: {}, store: storeOf(life), dataDir: join(folder, 'gw-1'), pace },
      ...{ crash: undefined, offsetMs: () => 0, databaseBytesMax: 0, shippers: 1 },
    });
    if (gateway === undefined) throw new Error('the gateway does not start');
    return gateway;
  };
  let gateway = await begin(0);
  try {
    for (let day = 1; day <= days; day++) {
      for (let quarter = 0; quarter < 96; quarter++) {
        const times = { timestampUs: world.nowMs() * 1000, receivedUs: world.nowMs() * 1000 };
        const rows = (['metrics', 'logs'] as const).map(
          (signal, index): SentRow => ({
            id: sent.length + 1 + index,
            signal,
            ...times,
            acknowledged: false,
          }),
        );
        sent.push(...rows);
        for (const row of rows)
          void gateway.append(batchOf(row.signal, [row], false)).then(() => {
            row.acknowledged = true;
          });
        await runUntil(world, world.nowMs() + 15 * minuteMs);
      }
      expect(memory.objects.size).toBe(0);
      await gateway.kill();
      gateway = await begin(day);
    }
    weather.outage = false;
    const cloudLife = { name: 'cloud#1', dead: false };
    const cloud = startCloud({ world, life: cloudLife, store: storeOf(cloudLife), commitShipments });
    const log = new Database(join(folder, 'gw-1', 'wal.db'), { readonly: true });
    const left = log.prepare('SELECT count(*) FROM segment WHERE committed = 0').pluck();
    // The last rows are sealed after a quarter of an hour, and the receipt is looked at every half an hour.
    for (let minute = 0; minute < 120 && (minute < 16 || left.get() !== 0); minute++)
      await runUntil(world, world.nowMs() + minuteMs);
    expect(left.get()).toBe(0);
    log.close();
    cloud.kill();
    expect(sent.filter(({ acknowledged }) => acknowledged)).toHaveLength(days * 96 * 2);
    expect(wrongIn(sent, await storedRows(memory), false)).toEqual([]);
  } finally {
    await gateway.kill();
    rmSync(folder, { recursive: true });
  }
});
