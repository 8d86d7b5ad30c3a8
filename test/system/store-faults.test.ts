import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { s3Missing } from '../contract/s3-server.ts';
import type { FaultProxy } from '../harness/fault-proxy.ts';
import { temporaryFolder } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';
import { openS3Site, type S3Site } from '../harness/s3-site.ts';
import {
  newSequence,
  publishSequence,
  type Sequence,
  valuesOf,
  wrongWith,
} from '../harness/sequence-load.ts';

// A real S3 service that answers slowly, with errors, with half an answer, or not at all: everything acknowledged is in
// the lake once, and the service is never hammered.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const faults: Readonly<Record<string, (proxy: FaultProxy) => Promise<void> | void>> = {
  'a slow line': (proxy) => proxy.setLine({ latencyMs: 300, bytesPerSecond: 20_000 }),
  'errors 503': (proxy) =>
    void proxy.spoil({ kind: 'status', status: 503, code: 'SlowDown', probability: 0.7 }),
  'connections that break within the body': (proxy) =>
    void proxy.spoil({ kind: 'drop-request', probability: 0.5 }),
  'answers that break off': (proxy) => void proxy.spoil({ kind: 'drop-answer', probability: 0.5 }),
  'successes whose reply is lost': (proxy) => void proxy.spoil({ kind: 'lose-reply', probability: 0.5 }),
  'a server that is down': (proxy) => proxy.setLine({ refuse: true }),
};
const faultMs = 4000;

async function publishDuring(site: S3Site, sequence: Sequence, work: () => Promise<void>): Promise<void> {
  const publisher = await publishSequence(site.gateway.port('mqtt'), sequence);
  await work();
  await publisher.stop();
}

/** Every row that was acknowledged is in the lake; what is wrong otherwise is there for good. */
async function inTheLake(site: S3Site, sequence: Sequence): Promise<void> {
  const stored = await waitFor('the lake to have everything', 120_000, async () => {
    const base = `http://127.0.0.1:${site.cloud.port('cloudHttp')}`;
    const rows = await valuesOf(base, sequence.name, site.key);
    return new Set(rows).size >= sequence.acknowledged.size ? rows : undefined;
  });
  expect(wrongWith(sequence, stored)).toEqual([]);
}

describe.skipIf(s3Missing)(`an S3 service with faults${s3Missing ? ` (skipped: ${s3Missing})` : ''}`, () => {
  test('everything acknowledged is in the lake once, and requests are few', async () => {
    await using site = await openS3Site(join(folder.path, 'faults'), [
      ...['--seal-interval-ms', '500', '--ship-retry-max-ms', '2000'],
    ]);
    const sequence = newSequence('sequence');
    for (const [name, spoil] of Object.entries(faults)) {
      await publishDuring(site, sequence, async () => {
        await spoil(site.proxy);
        site.proxy.forget();
        await delay(faultMs);
      });
      const asked = site.proxy.count();
      console.log(`${name}: ${asked} requests in ${faultMs} ms`);
      expect(asked).toBeLessThan(200);
      await site.proxy.heal();
    }
    await inTheLake(site, sequence);
  });

  test('a key that is wrong is tried a few times, not a billion', async () => {
    await using site = await openS3Site(join(folder.path, 'denied'), ['--seal-interval-ms', '300']);
    const sequence = newSequence('sequence');
    site.proxy.spoil({ kind: 'status', status: 403, code: 'SignatureDoesNotMatch' });
    await publishDuring(site, sequence, async () => {
      const isRefused = () => site.gateway.output().includes('403 SignatureDoesNotMatch');
      await waitFor('a refusal', 60_000, async () => isRefused() || undefined);
      await delay(8000);
    });
    console.log(`a wrong key: ${site.proxy.count()} requests in 8 s`);
    expect(site.proxy.count()).toBeGreaterThan(0);
    expect(site.proxy.count()).toBeLessThan(20);
    const local = await valuesOf(`http://127.0.0.1:${site.gateway.port('gatewayHttp')}`, sequence.name);
    expect(wrongWith(sequence, local)).toEqual([]);
  });
});
