import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { readKey, run, startPart, temporaryFolder } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';
import {
  newSequence,
  publishSequence,
  valuesOf,
  writeSequence,
  wrongWith,
} from '../harness/sequence-load.ts';

// A disk that is full because something else filled it: the gateway says so to its senders, and goes on when there is
// space again.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const isRoot = process.getuid?.() === 0;
const diskMebibytes = 48;

/** A small file system of its own. */
async function smallDisk(path: string): Promise<AsyncDisposable> {
  mkdirSync(path, { recursive: true });
  const { code, stderr } = await run('mount', [
    '-t',
    'tmpfs',
    '-o',
    `size=${diskMebibytes}m`,
    'firn-test',
    path,
  ]);
  if (code !== 0) throw new Error(stderr);
  return {
    [Symbol.asyncDispose]: async () => {
      await run('umount', [path]);
    },
  };
}

/** Takes all the space there is, to the last block. */
function fill(path: string, file: number): void {
  const { bavail, bsize } = statfsSync(path);
  if (bavail > 0) writeFileSync(join(path, `ballast-${file}`), Buffer.alloc(bavail * bsize));
}

describe.skipIf(!isRoot)(`a full disk${isRoot ? '' : ' (skipped: it needs root)'}`, () => {
  test('senders are told to come back, nothing acknowledged is lost, and it goes on by itself', async () => {
    const path = join(folder.path, 'disk');
    await using _ = await smallDisk(path);
    const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
    await using cloud = await startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store]);
    await using gateway = await startPart('gateway', [
      ...['--data-dir', join(path, 'gateway'), '--seal-interval-ms', '300', ...store],
    ]);
    const key = readKey(String(cloud.ready.keyFile));
    const [mqttPort, httpPort] = [gateway.port('mqtt'), gateway.port('gatewayHttp')];
    const [published, written] = [newSequence('published'), newSequence('written')];

    const publisher = await publishSequence(mqttPort, published);
    const refusals: Response[] = [];
    const writer = writeSequence(httpPort, written, (answer) => {
      if (!answer.ok) refusals.push(answer);
    });
    await waitFor('rows', 10_000, async () => (written.acknowledged.size > 500 ? true : undefined));
    // What it frees itself is taken too, until it refuses for a whole second.
    let files = 0;
    await waitFor('a disk that is full', 60_000, async () => {
      fill(path, ++files);
      const before = written.acknowledged.size;
      await delay(1000);
      return refusals.length > 0 && written.acknowledged.size === before ? true : undefined;
    });
    const [answer] = refusals;
    expect([429, 503]).toContain(answer?.status);
    expect(Number(answer?.headers.get('retry-after'))).toBeGreaterThan(0);
    const withheld = published.acknowledged.size;
    await delay(1000);
    expect(published.acknowledged.size).toBe(withheld);
    await publisher.stop();
    await writer.stop();

    for (let file = 1; file <= files; file++) rmSync(join(path, `ballast-${file}`), { force: true });
    const before = { published: published.acknowledged.size, written: written.acknowledged.size };
    const again = writeSequence(httpPort, written);
    const publisherAgain = await publishSequence(mqttPort, published);
    await waitFor('rows to be taken again', 30_000, async () =>
      published.acknowledged.size > before.published && written.acknowledged.size > before.written
        ? true
        : undefined,
    );
    await again.stop();
    await publisherAgain.stop();
    const wrong: string[] = [];
    for (const sequence of [published, written]) {
      const local = await valuesOf(`http://127.0.0.1:${httpPort}`, sequence.name);
      const stored = await waitFor('the lake to have what the gateway has', 120_000, async () => {
        const rows = await valuesOf(`http://127.0.0.1:${cloud.port('cloudHttp')}`, sequence.name, key);
        return rows.length >= local.length ? rows : undefined;
      });
      wrong.push(...wrongWith(sequence, stored), ...wrongWith(sequence, local));
    }
    expect(wrong).toEqual([]);
  });
});
