import {
  closeSync,
  existsSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { seededRandom } from '../contract/lake-fixtures.ts';
import { type Part, readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, waitFor } from '../harness/process.ts';
import { newSequence, publishSequence, type Sequence, sqlRows, valuesOf } from '../harness/sequence-load.ts';

// Between kills the files of the log are damaged: the gateway starts all the same, and what was acknowledged is in the lake
// once, or in the range of a row of `gaps`. The order of the damages, their places and the moments of the kills follow
// from a seed; what the gateway does meanwhile does not.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const seed = Number(process.env.FIRN_TEST_SEED ?? 1);
const random = seededRandom(seed);
const within = (count: number): number => Math.floor(random() * count);

/** Damages in one run; another seed takes others. */
const damagesOfRun = 4;
const sendingMsMax = 2000;
const pageBytes = 4096;
const spoiledBytes = 64;

function spoil(path: string): void {
  const position = within(Math.max(1, statSync(path).size - spoiledBytes));
  const file = openSync(path, 'r+');
  try {
    const bytes = Buffer.alloc(spoiledBytes);
    readSync(file, bytes, 0, bytes.length, position);
    writeSync(
      file,
      bytes.map((byte) => byte ^ 0x5a),
      0,
      bytes.length,
      position,
    );
  } finally {
    closeSync(file);
  }
}

const damages: Readonly<Record<string, (path: string) => void>> = {
  'a page of the database': spoil,
  'a frame of the log file': (path) => spoil(`${path}-wal`),
  'the end of the log file': (path) => truncateSync(`${path}-wal`, within(statSync(`${path}-wal`).size)),
  'no log file': (path) => rmSync(`${path}-wal`),
  'the end of the database': (path) =>
    truncateSync(path, Math.max(pageBytes, statSync(path).size - (1 + within(8)) * pageBytes)),
  'no database': (path) => rmSync(path),
};

function shuffled<T>(values: readonly T[]): T[] {
  const left = [...values];
  return values.flatMap(() => left.splice(within(left.length), 1));
}

/** Runs a gateway under load, kills it, and damages its log. */
async function live(gateway: Part, mqttPort: number, sequence: Sequence): Promise<void> {
  const publisher = await publishSequence(mqttPort, sequence);
  const before = sequence.acknowledged.size;
  await waitFor('rows', 30_000, async () => (sequence.acknowledged.size > before + 1000 ? true : undefined));
  await delay(within(800));
  await gateway.kill();
  await publisher.stop();
}

interface GapRow {
  readonly fromMs: number;
  readonly toMs: number;
}

async function gapsIn(base: string, key: ReturnType<typeof readKey>): Promise<GapRow[]> {
  const sql = `SELECT 1000 * extract(epoch FROM timestamp), 1000 * extract(epoch FROM end_timestamp)
    FROM gaps WHERE signal = 'metrics' AND kind = 'gap'`;
  const rows = await sqlRows<[string | number, string | number]>(base, sql, key);
  return rows.map(([from, to]) => ({ fromMs: Number(from), toMs: Number(to) }));
}

/** Acknowledged rows that are not stored, and those of them that no gap tells of. */
function missingOf({ acknowledged, sentMs }: Sequence, stored: readonly number[], gaps: readonly GapRow[]) {
  const seen = new Set(stored);
  // A gap has the time of receipt: what was sent a little before was received in it.
  const isCovered = (ms: number): boolean =>
    gaps.some(({ fromMs, toMs }) => fromMs - sendingMsMax <= ms && toMs >= ms);
  const missing = [...acknowledged].filter((value) => !seen.has(value));
  return { missing, silent: missing.filter((value) => !isCovered(sentMs.get(value) ?? 0)) };
}

test('what was acknowledged is in the lake once, or said to be missing', { timeout: 240_000 }, async () => {
  const order = shuffled(Object.keys(damages)).slice(0, damagesOfRun);
  console.log(`FIRN_TEST_SEED=${seed}: ${order.join(', ')}`);
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
  for (const damage of order) {
    await using gateway = await startGateway();
    await live(gateway, mqttPort, sequence);
    if (existsSync(`${path}-wal`)) damages[damage]?.(path);
  }
  await using gateway = await startGateway();
  const local = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
  let found = missingOf(sequence, [], []);
  await waitFor('every row to be in the lake or in a gap', 60_000, async () => {
    found = missingOf(sequence, await valuesOf(central, sequence.name, key), await gapsIn(central, key));
    return found.silent.length === 0 ? true : undefined;
  }).catch(() => undefined);
  expect({ seed, order, silent: found.silent }).toEqual({ seed, order, silent: [] });
  const here = await valuesOf(local, sequence.name);
  // What the gateway has comes to the lake, and nothing twice.
  const stored = await waitFor('the lake to have what the gateway has', 30_000, async () => {
    const rows = await valuesOf(central, sequence.name, key);
    return rows.length >= here.length ? rows : undefined;
  });
  const { acknowledged } = sequence;
  console.log(
    `${acknowledged.size} acknowledged, ${stored.length} in the lake, ${found.missing.length} in gaps`,
  );
  expect(stored.length).toBe(new Set(stored).size);
  expect(found.missing.length).toBeLessThan(acknowledged.size / 2);
});
