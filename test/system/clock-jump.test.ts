import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { fakeClock } from '../harness/fake-clock.ts';
import { readKey, run, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, waitFor } from '../harness/process.ts';
import {
  newSequence,
  publishSequence,
  valuesOf,
  writeSequence,
  wrongWith,
} from '../harness/sequence-load.ts';

// A gateway whose clock jumps by ten years while it runs and between its runs, as without a real-time clock or with a bad
// time server.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

/** Each list is one run of the gateway. */
const runs = [
  ['+0', '+10y', '-10y'],
  ['-10y', '+0'],
  ['+10y', '-10y', '+0'],
] as const;

describe.skipIf(fakeClock === undefined)(
  `a clock that jumps${fakeClock ? '' : ' (skipped: faketime is not installed)'}`,
  () => {
    test('every acknowledged row is in the lake once', async () => {
      const offsetFile = join(folder.path, 'offset');
      const setClock = (offset: string): void => {
        writeFileSync(`${offsetFile}.new`, `${offset}\n`);
        renameSync(`${offsetFile}.new`, offsetFile);
      };
      const env = fakeClock?.asFileSays(offsetFile) ?? {};
      setClock('+10y');
      const { stdout } = await run(process.execPath, ['-p', 'new Date().getFullYear()'], env);
      expect(Number(stdout) - new Date().getFullYear()).toBe(10); // the clock does jump
      const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
      await using cloud = await startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store]);
      const key = readKey(String(cloud.ready.keyFile));
      const [mqttPort, httpPort] = [await freePort(), await freePort()];
      const startGateway = () =>
        startPart(
          'gateway',
          [
            ...['--data-dir', join(folder.path, 'gateway'), '--seal-interval-ms', '200'],
            ...['--mqtt-port', `${mqttPort}`, '--http-port', `${httpPort}`, ...store],
          ],
          { env },
        );
      const stamped = newSequence('stamped');
      const unstamped = newSequence('unstamped');
      const written = newSequence('written');
      for (const offsets of runs) {
        setClock(offsets[0]);
        await using gateway = await startGateway();
        const senders = [
          await publishSequence(mqttPort, stamped),
          await publishSequence(mqttPort, unstamped, (value) => `${value}`),
          writeSequence(httpPort, written),
        ];
        for (const offset of offsets) {
          setClock(offset);
          await delay(500);
        }
        await gateway.kill();
        for (const sender of senders) await sender.stop();
      }
      setClock('+0');
      await using gateway = await startGateway();
      const wrong: string[] = [];
      for (const sequence of [stamped, unstamped, written]) {
        expect(sequence.acknowledged.size).toBeGreaterThan(500);
        const local = await valuesOf(`http://127.0.0.1:${gateway.port('gatewayHttp')}`, sequence.name);
        const stored = await waitFor('the lake to have what the gateway has', 60_000, async () => {
          const rows = await valuesOf(`http://127.0.0.1:${cloud.port('cloudHttp')}`, sequence.name, key);
          return rows.length >= local.length ? rows : undefined;
        });
        wrong.push(...wrongWith(sequence, stored));
      }
      expect(wrong).toEqual([]);
    });
  },
);
