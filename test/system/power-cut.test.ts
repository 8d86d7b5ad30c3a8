import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, describe, expect, test } from 'vitest';
import { readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, waitFor } from '../harness/process.ts';
import {
  newSequence,
  publishSequence,
  valuesOf,
  writeSequence,
  wrongWith,
} from '../harness/sequence-load.ts';
import { createVolatileDisk, type VolatileDisk, volatileDiskMissing } from '../harness/volatile-disk.ts';

// The power of the gateway's disk is cut under load: what was not flushed is gone, or a random part of it is.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const cuts = Number(process.env.FIRN_TEST_POWER_CUTS ?? 6);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const why = volatileDiskMissing ? ` (skipped: ${volatileDiskMissing})` : '';

describe.skipIf(volatileDiskMissing)(`a disk that loses its power${why}`, () => {
  test('the disk forgets what was not flushed, and nothing else', async () => {
    await using disk = await createVolatileDisk(join(folder.path, 'control'), 64);
    await disk.powerOn();
    expect(await rowsLost(disk, 'FULL')).toBe(0);
    expect(await rowsLost(disk, 'OFF')).toBeGreaterThan(0);
    expect(await controlFile(disk, 'flushed')).toBe('written');
    expect(await controlFile(disk, 'plain')).toBe('');
  });

  test(`after ${cuts} power cuts every acknowledged row is in the lake once`, async () => {
    await using disk = await createVolatileDisk(join(folder.path, 'disk'), 512);
    const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
    await using cloud = await startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store]);
    const key = readKey(String(cloud.ready.keyFile));
    const [mqttPort, httpPort] = [await freePort(), await freePort()];
    const startGateway = () =>
      startPart('gateway', [
        ...['--data-dir', join(disk.path, 'gateway'), '--seal-interval-ms', '300'],
        ...['--mqtt-port', `${mqttPort}`, '--http-port', `${httpPort}`],
        ...store,
      ]);
    const sequences = [newSequence('published'), newSequence('written')] as const;
    const unflushed: number[] = [];
    for (let round = 0; round < cuts; round++) {
      await disk.powerOn();
      await using gateway = await startGateway();
      const publisher = await publishSequence(mqttPort, sequences[0]);
      const writer = writeSequence(httpPort, sequences[1]);
      await pause(400 + ((round * 337) % 900));
      // At once and with nothing left, or in a flush of which a part, or all but the answer, came through.
      const share = [0, 0.5, 0.9, 1][round % 4] ?? 0;
      const cut = await disk.cutPower({ seed: round, share, atFlush: round % 4 > 0 });
      unflushed.push(cut.unflushed);
      await gateway.kill();
      await publisher.stop();
      await writer.stop();
    }
    await disk.powerOn();
    await using gateway = await startGateway();
    const wrong: string[] = [];
    for (const sequence of sequences) {
      const local = await valuesOf(`http://127.0.0.1:${gateway.port('gatewayHttp')}`, sequence.name);
      const stored = await waitFor('the lake to have what the gateway has', 60_000, async () => {
        const rows = await valuesOf(`http://127.0.0.1:${cloud.port('cloudHttp')}`, sequence.name, key);
        return rows.length >= local.length ? rows : undefined;
      });
      const { name, sent, acknowledged } = sequence;
      console.log(
        `${cuts} power cuts: ${name}: ${sent} sent, ${acknowledged.size} acknowledged, ${stored.length} in the lake`,
      );
      wrong.push(...wrongWith(sequence, stored), ...wrongWith(sequence, local));
      expect(acknowledged.size).toBeGreaterThan(cuts * 50);
    }
    console.log(`unflushed blocks at each cut: ${unflushed.join(', ')}`);
    expect(wrong).toEqual([]);
    expect(Math.max(...unflushed)).toBeGreaterThan(0); // or it was no cut
    await gateway.kill();
  });
});

const controlProcess = (...args: string[]) =>
  fork(join(import.meta.dirname, '../harness/control-process.ts'), args);

/** How many rows SQLite had committed before the cut, and has not after it. */
async function rowsLost(disk: VolatileDisk, synchronous: 'FULL' | 'OFF'): Promise<number> {
  const path = join(disk.path, `${synchronous}.db`);
  const control = controlProcess('sqlite', path, synchronous);
  let committed = 0;
  control.on('message', (rows: number) => {
    committed = rows;
  });
  await waitFor('some commits', 10_000, async () => (committed >= 200 ? true : undefined));
  await disk.cutPower();
  control.kill('SIGKILL');
  await once(control, 'exit');
  await disk.powerOn();
  if (!existsSync(path)) return committed;
  const db = new Database(path);
  try {
    const table = db.prepare(`SELECT name FROM sqlite_master WHERE name = 'row'`).get();
    const rows = table ? db.prepare<[], number>('SELECT count(*) FROM row').pluck().get() : 0;
    return Math.max(0, committed - (rows ?? 0));
  } finally {
    db.close();
  }
}

/** What a cut leaves of a file that was written, with or without fsync of it and its folder. */
async function controlFile(disk: VolatileDisk, kind: 'flushed' | 'plain'): Promise<string> {
  const path = join(disk.path, kind);
  const control = controlProcess(kind, path);
  await once(control, 'message');
  await disk.cutPower();
  control.kill('SIGKILL');
  await once(control, 'exit');
  await disk.powerOn();
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}
