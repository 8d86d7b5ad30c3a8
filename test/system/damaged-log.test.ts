import { existsSync, openSync, readSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, waitFor } from '../harness/process.ts';
import { newSequence, publishSequence, sqlRows, valuesOf } from '../harness/sequence-load.ts';

// Between kills the files of the log are damaged: the gateway starts all the same, and what was acknowledged is in the lake
// once, or in the range of a row of `gaps`.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

function spoil(path: string, position: number): void {
  const file = openSync(path, 'r+');
  const bytes = Buffer.alloc(64);
  readSync(file, bytes, 0, bytes.length, position);
  writeSync(
    file,
    bytes.map((byte) => byte ^ 0x5a),
    0,
    bytes.length,
    position,
  );
}

const sendingMsMax = 2000;
const pageBytes = 4096;
const damages: Readonly<Record<string, (path: string) => void>> = {
  'a page of the database': (path) => spoil(path, 3 * pageBytes + 100),
  'a frame of the log file': (path) => spoil(`${path}-wal`, Math.floor(statSync(`${path}-wal`).size / 2)),
  'the end of the log file': (path) =>
    truncateSync(`${path}-wal`, Math.floor(statSync(`${path}-wal`).size * 0.8)),
  'no log file': (path) => rmSync(`${path}-wal`),
  'the end of the database': (path) =>
    truncateSync(path, Math.max(pageBytes, statSync(path).size - 2 * pageBytes)),
  'no database': (path) => rmSync(path),
};

test('what was acknowledged is in the lake once, or said to be missing', { timeout: 600_000 }, async () => {
  const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
  const path = join(folder.path, 'gateway', 'wal.db');
  const mqttPort = await freePort();
  await using cloud = await startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store]);
  const key = readKey(String(cloud.ready.keyFile));
  const central = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
  const startGateway = () =>
    startPart('gateway', [
      ...['--data-dir', join(folder.path, 'gateway'), '--mqtt-port', `${mqttPort}`, ...store],
      ...['--seal-interval-ms', '700', '--ship-receipt-interval-ms', '500'],
    ]);
  const sequence = newSequence('sequence');
  for (const damage of Object.values(damages)) {
    await using gateway = await startGateway();
    const publisher = await publishSequence(mqttPort, sequence);
    const before = sequence.acknowledged.size;
    await waitFor('rows', 30_000, async () =>
      sequence.acknowledged.size > before + 1000 ? true : undefined,
    );
    await delay(400);
    await gateway.kill();
    await publisher.stop();
    if (existsSync(`${path}-wal`)) damage(path);
  }
  await using gateway = await startGateway();
  const lost = await waitFor('every row to be there or in a gap', 90_000, async () => {
    const seen = new Set(await valuesOf(central, sequence.name, key));
    const gaps = await sqlRows<[string | number, string | number, string]>(
      central,
      `SELECT 1000 * extract(epoch FROM timestamp), 1000 * extract(epoch FROM end_timestamp), reason FROM gaps WHERE signal = 'metrics' AND kind = 'gap'`,
      key,
    );
    // A gap has the time of receipt: what was sent a little before was received in it.
    const isCovered = (sentMs: number): boolean =>
      gaps.some(([from, to]) => Number(from) - sendingMsMax <= sentMs && Number(to) >= sentMs);
    const missing = [...sequence.acknowledged].filter((value) => !seen.has(value));
    const silent = missing.filter((value) => !isCovered(sequence.sentMs.get(value) ?? 0));
    return silent.length === 0 ? { missing: missing.length, gaps } : undefined;
  });
  const stored = await valuesOf(central, sequence.name, key);
  console.log(
    `${sequence.acknowledged.size} acknowledged, ${stored.length} in the lake, ${lost.missing} in ${lost.gaps.length} gaps`,
  );
  expect(stored.length).toBe(new Set(stored).size);
  expect(lost.missing).toBeLessThan(sequence.acknowledged.size / 2);
  expect(
    (await valuesOf(`http://127.0.0.1:${gateway.port('gatewayHttp')}`, sequence.name)).length,
  ).toBeGreaterThan(0);
});
