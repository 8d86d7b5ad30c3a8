import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type Part, readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, waitFor } from '../harness/process.ts';
import { newSequence, publishSequence, valuesOf, wrongWith } from '../harness/sequence-load.ts';

// kill -9 of the gateway under load, again and again: what it acknowledged is in the lake exactly once.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const kills = Number(process.env.FIRN_TEST_KILLS ?? 20);
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
  const sequence = newSequence('sequence');
  for (let round = 0; round < kills; round++) {
    await using gateway = await startGateway();
    const publisher = await publishSequence(mqttPort, sequence);
    // From within the first seal to the middle of the second, so that every phase of it is hit in some round.
    await new Promise((resolve) => setTimeout(resolve, 150 + ((round * 137) % 700)));
    await gateway.kill();
    await publisher.stop();
  }
  await using gateway = await startGateway();
  const { sent, acknowledged } = sequence;
  expect(acknowledged.size).toBeGreaterThan(kills * 100);
  const local = await valuesOf(`http://127.0.0.1:${gateway.port('gatewayHttp')}`, 'sequence');
  const stored = await waitFor('the lake to have what the gateway has', 60_000, async () => {
    const rows = await valuesOf(`http://127.0.0.1:${cloud.port('cloudHttp')}`, 'sequence', key);
    return rows.length >= local.length ? rows : undefined;
  });
  console.log(
    `${kills} kills: ${sent} sent, ${acknowledged.size} acknowledged, ${stored.length} rows in the lake`,
  );
  expect(wrongWith(sequence, stored)).toEqual([]);
  expect(new Set(local)).toEqual(new Set(stored));
});
