import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, expect, test } from 'vitest';
import { call, type Part, readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, waitFor } from '../harness/process.ts';

// kill -9 of the gateway under load, again and again: what it acknowledged is in the lake exactly once.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const kills = Number(process.env.FIRN_TEST_KILLS ?? 20);
const windowSize = 200;

/** Publishes sequence numbers, never one twice, and remembers which were acknowledged. */
function startPublisher(client: MqttClient, next: () => number, acknowledged: Set<number>): { stop(): void } {
  let running = true;
  let inFlight = 0;
  const fill = (): void => {
    while (running && inFlight < windowSize) {
      const sequence = next();
      inFlight++;
      const payload = JSON.stringify({ value: sequence, ts: Date.now() });
      client.publish('plant/kill/sequence', payload, { qos: 1 }, (error) => {
        inFlight--;
        if (!error) acknowledged.add(sequence);
        if (running) setImmediate(fill);
      });
    }
  };
  fill();
  return {
    stop: () => {
      running = false;
    },
  };
}

test(`after ${kills} kills every acknowledged message is in the lake once`, {
  timeout: 600_000,
}, async () => {
  const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
  const mqttPort = await freePort();
  const startGateway = (): Promise<Part> =>
    startPart('gateway', [
      '--data-dir',
      join(folder.path, 'gateway'),
      '--mqtt-port',
      `${mqttPort}`,
      '--seal-interval-ms',
      '300',
      ...store,
    ]);
  await using cloud = await startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store]);
  const key = readKey(String(cloud.ready.keyFile));
  const acknowledged = new Set<number>();
  let sequence = 0;
  for (let round = 0; round < kills; round++) {
    await using gateway = await startGateway();
    const client = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { reconnectPeriod: 0 });
    client.on('error', () => {});
    const publisher = startPublisher(client, () => ++sequence, acknowledged);
    // From within the first seal to the middle of the second, so that every phase of it is hit in some round.
    await new Promise((resolve) => setTimeout(resolve, 150 + ((round * 137) % 700)));
    await gateway.kill();
    publisher.stop();
    await client.endAsync(true);
  }
  await using gateway = await startGateway();
  expect(acknowledged.size).toBeGreaterThan(kills * 100);
  const ask = async (base: string, who?: typeof key): Promise<number[]> => {
    const sql = "SELECT value FROM metrics WHERE __name__ = 'sequence'";
    const answer = await call(`${base}/api/v1/firn/sql`, who, {
      method: 'POST',
      body: JSON.stringify({ sql }),
      headers: { 'Content-Type': 'application/json' },
    });
    if (!answer.ok) throw new Error(await answer.text());
    return ((await answer.json()) as { rows: [number][] }).rows.map(([value]) => value);
  };
  const local = await ask(`http://127.0.0.1:${gateway.port('gatewayHttp')}`);
  const stored = await waitFor('the lake to have what the gateway has', 60_000, async () => {
    const rows = await ask(`http://127.0.0.1:${cloud.port('cloudHttp')}`, key);
    return rows.length >= local.length ? rows : undefined;
  });
  const seen = new Set(stored);
  console.log(
    `${kills} kills: ${sequence} sent, ${acknowledged.size} acknowledged, ${stored.length} rows in the lake`,
  );
  expect([...acknowledged].filter((number) => !seen.has(number))).toEqual([]);
  expect(stored.length - seen.size).toBe(0);
  expect(new Set(local)).toEqual(seen);
});
