import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { s3Missing, startS3 } from '../contract/s3-server.ts';
import { call, readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { createNetworkNamespace, namespaceMissing } from '../harness/network-namespace.ts';
import { waitFor } from '../harness/process.ts';
import { makeBucket, s3StoreArgs } from '../harness/s3-site.ts';
import { newSequence, publishSequence, valuesOf, wrongWith } from '../harness/sequence-load.ts';

// The gateway stands in a network of its own; its cable to the store is pulled and plugged in again. Packets vanish:
// unlike a server that is down, nothing says that the connections are dead.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const missing = s3Missing ?? namespaceMissing;

/** Carries the namespace's connections to a server that listens on loopback only. */
async function forwardTo(
  host: string,
  targetPort: number,
): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1');
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  server.listen(0, host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

describe.skipIf(missing)(`a network that is cut${missing ? ` (skipped: ${missing})` : ''}`, () => {
  test('local work goes on, and everything is in the lake once when it is back', async () => {
    await using s3 = await startS3();
    await makeBucket(s3, 'lake');
    await using network = await createNetworkNamespace();
    await using forward = await forwardTo(network.wan.outside, Number(new URL(s3.endpoint).port));
    await using cloud = await startPart('cloud', [
      ...['--data-dir', join(folder.path, 'cloud'), ...s3StoreArgs(s3, 'lake', s3.endpoint)],
    ]);
    await using gateway = await startPart(
      'gateway',
      [
        ...[
          '--data-dir',
          join(folder.path, 'gateway'),
          '--seal-interval-ms',
          '300',
          '--ship-retry-max-ms',
          '2000',
        ],
        ...['--listen-host', network.lan.inside, '--listen-open', 'true'],
        ...s3StoreArgs(s3, 'lake', `http://${network.wan.outside}:${forward.port}`),
      ],
      { through: network.through },
    );
    const key = readKey(String(cloud.ready.keyFile));
    const base = `http://${network.lan.inside}:${gateway.port('gatewayHttp')}`;
    const central = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
    const sequence = newSequence('sequence');
    const publish = async (ms: number): Promise<void> => {
      const publisher = await publishSequence(gateway.port('mqtt'), sequence, undefined, network.lan.inside);
      await delay(ms);
      await publisher.stop();
    };
    const inTheLake = () =>
      waitFor('the lake to have everything', 90_000, async () => {
        const stored = await valuesOf(central, sequence.name, key);
        return wrongWith(sequence, stored).length === 0 ? stored : undefined;
      });
    await publish(500);
    await inTheLake();
    for (let cut = 0; cut < 3; cut++) {
      const publishing = publish(3000);
      await delay(200 + cut * 250);
      await network.setWan('down');
      await publishing;
      const local = await valuesOf(base, sequence.name);
      expect(wrongWith(sequence, local)).toEqual([]);
      const stored = await valuesOf(central, sequence.name, key);
      expect(stored.length).toBeLessThan(sequence.acknowledged.size); // the cable is pulled
      await network.setWan('up');
      const reconnected = performance.now();
      await inTheLake();
      console.log(
        `cut ${cut + 1}: caught up ${Math.round(performance.now() - reconnected)} ms after the cable was back`,
      );
    }
    expect((await call(`${base}/ready`)).ok).toBe(true);
  });
});
