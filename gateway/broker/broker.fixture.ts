import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { afterEach, expect } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { textsOf } from '../../lake/model/text-column.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { type Broker, type BrokerOptions, startBroker } from './broker.ts';

// A broker over a log in memory, and clients; all are closed after each test.

export const host = '127.0.0.1';
export const opened: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of opened.reverse()) await close();
  opened.length = 0;
});

/** A log that keeps batches in memory and can be held up. */
function createMemoryLog() {
  const batches: Batch[] = [];
  const labels = new Map<bigint, Record<string, string>>();
  const log = {
    batches,
    /** Awaited before each append; may throw. */
    gate: async (): Promise<void> => undefined,
    append: async (batch: Batch): Promise<void> => {
      await log.gate();
      batches.push(batch);
      for (const { id, labels: text } of batch.series) labels.set(id, JSON.parse(text));
    },
    values: (): number[] => batches.flatMap((batch) => (batch.signal === 'metrics' ? [...batch.value] : [])),
    /** Of rows that have one. */
    qualities: () =>
      batches.flatMap((batch) => ('quality' in batch ? (batch.quality ?? []).filter(Boolean) : [])),
    lines: (): string[] => batches.flatMap((batch) => (batch.signal === 'logs' ? textsOf(batch.line) : [])),
    names: (): (string | undefined)[] =>
      batches.flatMap((batch) =>
        batch.signal === 'metrics' ? [...batch.seriesId].map((id) => labels.get(id)?.__name__) : [],
      ),
  };
  return log;
}

type MemoryLog = ReturnType<typeof createMemoryLog>;

export async function start(
  options: Partial<BrokerOptions> = {},
): Promise<{ broker: Broker; log: MemoryLog }> {
  const log = createMemoryLog();
  const broker = await startBroker({
    host,
    port: 0,
    webSocketPort: 0,
    append: log.append,
    cache: createSeriesCache({ identity: [] }),
    templates: [],
    clock: systemClock,
    logger: createLogger('silent'),
    ...options,
  });
  opened.push(() => broker[Symbol.asyncDispose]());
  return { broker, log };
}

export async function connect(url: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, ...options });
  client.on('error', () => undefined);
  opened.push(() => client.endAsync(true));
  return client;
}

export const urlOf = (broker: Broker): string => `mqtt://${host}:${broker.port}`;
export const until = async (condition: () => boolean): Promise<void> => {
  await expect.poll(condition, { interval: 5 }).toBe(true);
};

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'firn-broker-'));
  opened.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
