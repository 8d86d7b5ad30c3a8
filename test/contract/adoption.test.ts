import { generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { makeCertificateRequest } from '../../gateway/fleet/certificate-request.ts';
import type { DeviceKey } from '../../gateway/fleet/device-key.ts';
import { askForAdoption, enrollPatiently } from '../../gateway/fleet/enroll.ts';
import type { EnrollmentState } from '../../gateway/fleet/enrollment-state.ts';
import { identityFolder, keyToEnroll, readIdentity } from '../../gateway/fleet/identity.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { keyHashOfSpki } from '../../provisioning/contract.ts';
import { deviceCodeOf, printDeviceCode } from '../../provisioning/device-code.ts';
import { type FleetCloud, movedClock, openFleetCloud } from './fleet-cloud.ts';

// A device without a claim becomes a gateway of who adopts it by its code, and of nobody else: over real HTTP.

const folder = mkdtempSync(join(tmpdir(), 'firn-adoption-'));
afterAll(() => rmSync(folder, { recursive: true }));

const startMs = Date.UTC(2026, 0, 1);

interface Device {
  readonly dataDir: string;
  /** As it shows it. */
  readonly code: string;
  /** The names of the gateway that it is now, or `waits`. */
  ask(more?: { pin?: string; tenant?: string; gateway?: string }): Promise<unknown>;
}

async function newDevice(cloud: Pick<FleetCloud, 'url'>): Promise<Device> {
  const dataDir = mkdtempSync(join(folder, 'device-'));
  const { publicKey } = await keyToEnroll(identityFolder(dataDir));
  return {
    dataDir,
    code: printDeviceCode(deviceCodeOf(keyHashOfSpki(publicKey))),
    ask: async (more) => {
      const asked = await askForAdoption({
        ...{ dataDir, cloud: { url: cloud.url, caFile: '', proxy: '' }, pin: '', ...more },
      });
      if (typeof asked === 'number') return 'waits';
      const { tenant, site, gateway } = asked;
      return `${tenant} ${site} ${gateway}`;
    },
  };
}

const adopt = (
  cloud: FleetCloud,
  { code }: Pick<Device, 'code'>,
  more: object = {},
  tenant: 'acme' | 'other' = 'acme',
) =>
  cloud.admin<{ claim: string; seenAt: string | null }>(
    ...(['POST', '/adoptions', { code, site: 'plant-7', ...more }, tenant] as const),
  );

test('whoever is not adopted waits, and is seen only by who names its code', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs));
  const device = await newDevice(cloud);
  const path = `/adoptions/${device.code}`;
  await expect(cloud.admin('GET', path)).rejects.toThrow('404 no device with this code has asked');
  expect(await device.ask({ gateway: 'gw-1' })).toBe('waits');
  expect(await cloud.admin('GET', '/adoptions')).toEqual([]);
  expect(await cloud.admin('GET', path)).toMatchObject({
    ...{ code: device.code, claim: null, usedBy: null, asksFor: 'gw-1', address: '192.0.2.1' },
  });
  expect(await adopt(cloud, device)).toMatchObject({ site: 'plant-7', asksFor: 'gw-1' });
  expect(await cloud.admin('GET', '/adoptions')).toMatchObject([{ code: device.code }]);
  expect(await device.ask({ gateway: 'gw-1' })).toBe('acme plant-7 gw-1');
  expect(await cloud.admin('GET', '/adoptions')).toEqual([]);
  expect(await cloud.admin('GET', path)).toMatchObject({ usedBy: 'gw-1', seenAt: null });
});

test('a device that is adopted before it asks is let in when it comes, until that is over', async () => {
  const clock = movedClock(startMs);
  await using cloud = await openFleetCloud(folder, clock);
  const [prompt, late] = [await newDevice(cloud), await newDevice(cloud)];
  for (const device of [prompt, late])
    expect(await adopt(cloud, device, { expiresInSeconds: 3600 })).toMatchObject({ seenAt: null });
  clock.pass(3_500_000);
  expect(await prompt.ask({ gateway: 'prompt' })).toBe('acme plant-7 prompt');
  clock.pass(200_000);
  expect(await late.ask()).toBe('waits');
  expect(await cloud.admin('GET', '/adoptions')).toEqual([]);
  await adopt(cloud, late);
  expect(await late.ask({ gateway: 'late' })).toBe('acme plant-7 late');
});

test('a code is no claim, and a code that was mistyped is nothing', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs));
  const device = await newDevice(cloud);
  await adopt(cloud, device);
  const certificateRequest = await makeCertificateRequest(
    await keyToEnroll(mkdtempSync(join(folder, 'thief-'))),
  );
  for (const claim of [device.code, `${device.code}-0000-${device.code}`])
    expect(await post(cloud, 'enroll', { claim, certificateRequest })).toMatch(/^(400|403) /);
  const wrong = `${device.code.slice(0, -1)}${device.code.endsWith('7') ? '8' : '7'}`;
  await expect(adopt(cloud, { code: wrong })).rejects.toThrow('400 the code of the device is mistyped');
  await expect(adopt(cloud, { code: '' })).rejects.toThrow('16 letters and digits');
  await expect(cloud.admin('GET', '/adoptions/x')).rejects.toThrow('16 letters and digits');
});

test('who is first to adopt a device has it; a reset gives it another code', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs));
  const device = await newDevice(cloud);
  await adopt(cloud, device, {}, 'other');
  await expect(adopt(cloud, device)).rejects.toThrow('409 this code is taken: a device gets another code');
  expect(await device.ask({ gateway: 'gw-1' })).toBe('other plant-7 gw-1');
  await expect(adopt(cloud, device)).rejects.toThrow('409 this code is taken');
  await expect(adopt(cloud, device, {}, 'other')).rejects.toThrow('409 this device is gateway gw-1 already');
  expect(await cloud.admin('GET', '/gateways')).toEqual([]);
  await expect(cloud.admin('GET', `/adoptions/${device.code}`)).rejects.toThrow('404');
});

test('a device that names its tenant is not kept from it by another', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs));
  const device = await newDevice(cloud);
  const asked = { tenant: 'acme', gateway: 'gw-1' };
  await adopt(cloud, device, {}, 'other');
  expect(await device.ask(asked)).toBe('waits');
  await expect(adopt(cloud, device, {}, 'other')).resolves.toMatchObject({ seenAt: null, asksFor: null });
  await adopt(cloud, device);
  expect(await device.ask(asked)).toBe('acme plant-7 gw-1');
});

test('an adoption is mended before it is used, and revoked as a claim is', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs));
  const device = await newDevice(cloud);
  await adopt(cloud, device, { site: 'plant-1' });
  const second = await adopt(cloud, device, { site: 'plant-2' });
  await cloud.admin('DELETE', `/claims/${second.claim}`);
  expect(await device.ask()).toBe('waits');
  await adopt(cloud, device, { gateway: 'press' });
  expect(await device.ask({ gateway: 'gw-1' })).toBe('acme plant-7 press');
  await cloud.admin('DELETE', '/gateways/press');
  expect(await device.ask()).toBe('waits');
  await adopt(cloud, device, { gateway: 'press' });
  expect(await device.ask()).toBe('acme plant-7 press');
  const audit = await cloud.store.auditLog({ limit: 2 });
  expect(audit.map(({ action, subject }) => [action, subject.replace(/-.*/, '')])).toEqual([
    ['enroll gateway', 'press'],
    ['adopt device', 'claim'],
  ]);
});

test('a device that was reset takes its own place again, if that is said', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs));
  const [before, after, later] = [await newDevice(cloud), await newDevice(cloud), await newDevice(cloud)];
  const asked = { gateway: 'gw-1' };
  await adopt(cloud, before);
  await before.ask(asked);
  await after.ask(asked);
  await expect(adopt(cloud, after)).rejects.toThrow('409 there is a gateway gw-1 already: --replace lets');
  await adopt(cloud, after, { replace: true });
  expect(await after.ask(asked)).toBe('acme plant-7 gw-1');
  expect(await before.ask(asked)).toBe('waits');
  // It is not known yet what it asks for.
  await adopt(cloud, later);
  await expect(later.ask(asked)).rejects.toThrow(/409.*firn gateways adopt --gateway gw-1 --replace/);
  await adopt(cloud, later, { replace: true });
  expect(await later.ask(asked)).toBe('acme plant-7 gw-1');
});

test('a suspended tenant lets nobody in', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs));
  const device = await newDevice(cloud);
  await adopt(cloud, device);
  await cloud.store.suspendTenant('acme', true, { name: 'test', address: '' });
  expect(await device.ask()).toBe('waits');
});

test('an answer that is lost comes again; what another cloud says is not believed where its pin is known', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs));
  await using stranger = await openFleetCloud(folder, movedClock(startMs));
  const { pin } = await cloud.admin<{ pin: string }>('GET', '/site-file');
  const device = await newDevice(cloud);
  for (const each of [cloud, stranger]) await adopt(each, device);
  const { dataDir } = device;
  const other = { dataDir, cloud: { url: stranger.url, caFile: '', proxy: '' }, pin };
  await expect(askForAdoption(other)).rejects.toThrow('is not the one that the claim was made by');
  expect(readIdentity(identityFolder(dataDir))).toBeUndefined();
  for (let time = 0; time < 2; time++) {
    expect(await device.ask({ pin, gateway: 'gw-1' })).toBe('acme plant-7 gw-1');
    rmSync(join(identityFolder(dataDir), 'identity.json'));
  }
});

test.each(['http://lake.example.com', 'http://127.evil.example.com', 'http://10.0.2.2:8490'])(
  'over plain HTTP to %s nobody is asked without a pin',
  async (url) => {
    const dataDir = mkdtempSync(join(folder, 'plain-'));
    const asked = { dataDir, cloud: { url, caFile: '', proxy: '' }, pin: '' };
    await expect(askForAdoption(asked)).rejects.toThrow('cloud.pin: over plain HTTP anybody');
    expect(existsSync(identityFolder(dataDir))).toBe(false);
  },
);

async function post(cloud: Pick<FleetCloud, 'url'>, door: string, body: object): Promise<string> {
  const sent = { method: 'POST', body: JSON.stringify(body) };
  const response = await fetch(`${cloud.url}/api/v1/firn/fleet/${door}`, sent);
  return `${response.status} ${response.headers.get('retry-after') ?? ''} ${await response.text()}`;
}

test('a request that is forged, strange or large is refused; too many are told to come later', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs), { adoptionsPerSecondMax: 5 });
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const forged: DeviceKey = {
    keyStore: 'file',
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    sign: async (bytes) => sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  };
  const certificateRequest = await makeCertificateRequest(forged);
  const refused = [
    await post(cloud, 'adoption', { certificateRequest }),
    await post(cloud, 'adoption', { certificateRequest: 'AAAA' }),
    await post(cloud, 'adoption', { certificateRequest, site: 'mine' }),
    await post(cloud, 'adoption', { certificateRequest, tenant: 'x'.repeat(100_000) }),
  ];
  expect(refused.map((answer) => answer.slice(0, 3))).toEqual(['400', '400', '400', '413']);
  const answers: string[] = [];
  for (let time = 0; time < 20; time++) answers.push(await post(cloud, 'adoption', { certificateRequest }));
  const later = answers.filter((each) => /^429 \d+ .*come again later/.test(each));
  // The clock stands still: two seconds' worth may come at once.
  expect(later).toHaveLength(20 - (5 * 2 - refused.length));
  for (const text of [...refused, ...answers]) expect(text).not.toMatch(/acme|other"/);
});

test('a refused claim leaves the way by the code; what is in the way is said', async () => {
  await using cloud = await openFleetCloud(folder, systemClock);
  const [made] = await cloud.admin<{ id: string; claim: string }[]>('POST', '/claims', { site: 'north' });
  await cloud.admin('DELETE', `/claims/${made?.id}`);
  // Something on the way that is not the cloud, at first.
  let isAway = true;
  const proxy = createServer((request, response) => {
    if (isAway) return void response.writeHead(502).end('bad gateway');
    void (async () => {
      const body = await new Response(request as unknown as ReadableStream).text();
      const answer = await fetch(new URL(request.url ?? '', cloud.url), {
        ...{ method: request.method ?? '', headers: { 'content-type': 'application/json' }, body },
      });
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
    })();
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const said: EnrollmentState[] = [];
  const device = await newDevice(cloud);
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const options = {
    ...{ dataDir: device.dataDir, cloud: { url, caFile: '', proxy: '' }, claim: made?.claim ?? '', pin: '' },
    ...{
      clock: systemClock,
      logger: createLogger('silent'),
      say: (state: EnrollmentState) => said.push(state),
    },
  };
  const enrolling = enrollPatiently(options, AbortSignal.timeout(60_000));
  try {
    await expect.poll(() => said.length, { timeout: 20_000 }).toBe(2);
    expect(said).toMatchObject([
      { isReached: false },
      { isReached: false, problem: expect.stringMatching(/answers 502: not as Firn answers/) },
    ]);
    expect(said.some((each) => 'code' in each)).toBe(false);
    isAway = false;
    const last = (): EnrollmentState | undefined => said.at(-1);
    const code = device.code.replaceAll('-', '');
    const refusal = { code, claimRefused: expect.stringMatching(/403: this claim does not count/) };
    await expect.poll(last, { timeout: 20_000 }).toMatchObject({ ...refusal, isReached: true });
    await adopt(cloud, device, { gateway: 'press' });
    expect(await enrolling).toMatchObject({ tenant: 'acme', gateway: 'press' });
    expect(JSON.stringify(said)).not.toContain(made?.claim.slice(0, 9));
  } finally {
    proxy.closeAllConnections();
    proxy.close();
    await delay(0);
  }
});
