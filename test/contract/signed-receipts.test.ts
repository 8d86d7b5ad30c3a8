import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { receiptsSignedBy } from '../../cloud/fleet/receipts.ts';
import { type CloudClient, openCloudClient } from '../../gateway/fleet/cloud-client.ts';
import { enrollOnce } from '../../gateway/fleet/enroll.ts';
import { identityFolder } from '../../gateway/fleet/identity.ts';
import { openCloudSession } from '../../gateway/fleet/session.ts';
import { signedReceipts } from '../../gateway/fleet/signed-receipts.ts';
import { signJws } from '../../lake/base/jws.ts';
import { createLogger } from '../../lake/base/log.ts';
import { parseReceipt, printReceipt, type Receipt } from '../../lake/model/receipt.ts';
import { openAuthority } from '../../provisioning/authority-files.ts';
import { configType, fleetPaths, receiptType } from '../../provisioning/contract.ts';
import { movedClock, openFleetCloud } from './fleet-cloud.ts';

// What tells a gateway to forget its rows is what its cloud has signed.

const folder = mkdtempSync(join(tmpdir(), 'firn-receipts-'));
afterAll(() => rmSync(folder, { recursive: true }));

const clock = movedClock(Date.UTC(2026, 0, 1));
const logger = createLogger('silent');
const key = 'acme/outbox/press-1/receipt.json';
const receipt: Receipt = {
  ...{ format: 1, tenant: 'acme', gateway: 'press-1', epoch: 7, number: 3, manifestSha256: '0'.repeat(64) },
  ...{ committedUs: 5, cloudUs: 6, progress: {}, refused: [] },
};

/** A gateway of a cloud; `answers` changes what the cloud answers. */
async function enrolled(answers: (path: string, data: unknown) => unknown = (_, data) => data) {
  const cloud = await openFleetCloud(folder, clock);
  const [made] = await cloud.admin<{ claim: string }[]>('POST', '/claims', {
    site: 'north',
    gateway: 'press-1',
  });
  const dataDir = mkdtempSync(join(folder, 'gateway-'));
  const address = { url: cloud.url, caFile: '', proxy: '' };
  const identity = await enrollOnce({ dataDir, cloud: address, claim: made?.claim ?? '' });
  const real = openCloudClient(address);
  const client: CloudClient = {
    ...real,
    ask: async (path, asked) => answers(path, await real.ask(path, asked)),
  };
  const session = openCloudSession({ client, identity, folder: identityFolder(dataDir), clock, logger });
  const open = signedReceipts(session);
  return {
    ...{ cloud, client, identity },
    receipts: receiptsSignedBy(cloud.authority),
    taken: (text: string) =>
      open(text, key, new AbortController().signal).catch((error: { code: string }) => error.code),
    [Symbol.asyncDispose]: async () => {
      real[Symbol.dispose]();
      await cloud[Symbol.asyncDispose]();
    },
  };
}

test('a receipt counts as its cloud has signed it; an old gateway reads it too', async () => {
  await using gateway = await enrolled();
  const text = await gateway.receipts.print(receipt);
  expect(await gateway.taken(text)).toEqual(receipt);
  expect(parseReceipt(text, key)).toEqual(receipt);
  expect(gateway.receipts.parse(text, key, receipt)).toEqual(receipt);
  // What stands beside the signed one is for old gateways, and means nothing to others.
  const beside = JSON.stringify({ ...(JSON.parse(text) as object), number: 999 });
  expect(await gateway.taken(beside)).toEqual(receipt);
});

test('a forged receipt is refused, and the cloud writes its own over it', async () => {
  await using gateway = await enrolled();
  const { identity, cloud } = gateway;
  const other = receiptsSignedBy(await openAuthority(join(folder, 'other'), clock.nowMs(), logger));
  const forged = { ...receipt, number: 999 };
  const own = { certificates: identity.certificates, sign: identity.key.sign };
  const [head = '', , signature = ''] = (
    await signJws({ typ: receiptType }, receipt, cloud.authority.signer)
  ).split('.');
  const body = Buffer.from(JSON.stringify(forged)).toString('base64url');
  const attempts: Record<string, string> = {
    'signed by nobody': printReceipt(forged),
    'signed by another authority': await other.print(forged),
    'signed by the gateway’s own key': printReceipt(forged, await signJws({ typ: receiptType }, forged, own)),
    'of another gateway': await gateway.receipts.print({ ...forged, gateway: 'press-2' }),
    'of another tenant': await gateway.receipts.print({ ...forged, tenant: 'other' }),
    'another document of the cloud': printReceipt(
      forged,
      await signJws({ typ: configType }, forged, cloud.authority.signer),
    ),
    'with another content': printReceipt(forged, `${head}.${body}.${signature}`),
    'with an empty signature': printReceipt(forged, ''),
  };
  for (const [what, text] of Object.entries(attempts)) {
    expect([what, await gateway.taken(text)]).toEqual([what, 'denied']);
    expect(() => gateway.receipts.parse(text, key, receipt), what).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(denied|invalid)$/) }),
    );
  }
});

test('a cloud of before, which signs none, is believed where its session says so', async () => {
  await using gateway = await enrolled((path, data) => {
    if (path !== fleetPaths.session) return data;
    const { signsReceipts: _, ...before } = data as Record<string, unknown>;
    return before;
  });
  expect(await gateway.taken(printReceipt(receipt))).toEqual(receipt);
});

test('while the cloud can not be asked, only signed receipts count', async () => {
  await using gateway = await enrolled();
  const text = await gateway.receipts.print(receipt);
  await gateway.cloud[Symbol.asyncDispose]();
  expect(await gateway.taken(printReceipt(receipt))).toBe('unavailable');
  expect(await gateway.taken(text)).toEqual(receipt);
});
