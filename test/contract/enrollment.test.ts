import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { makeCertificateRequest } from '../../gateway/fleet/certificate-request.ts';
import { openCloudClient } from '../../gateway/fleet/cloud-client.ts';
import { askForAdoption, enrollOnce } from '../../gateway/fleet/enroll.ts';
import {
  type Identity,
  identityFolder,
  keyToEnroll,
  nextKey,
  readIdentity,
} from '../../gateway/fleet/identity.ts';
import { openCloudSession } from '../../gateway/fleet/session.ts';
import { ecdsaSigner, signJws } from '../../lake/base/jws.ts';
import { createLogger } from '../../lake/base/log.ts';
import { fleetPaths, keyHashOfSpki, sessionType } from '../../provisioning/contract.ts';
import { deviceCodeOf } from '../../provisioning/device-code.ts';
import { createAuthority, hasOpenssl } from '../harness/certificates.ts';
import { type Postgres, postgresPrograms, startPostgres } from '../harness/postgres.ts';
import { type FleetCloud, movedClock, openFleetCloud } from './fleet-cloud.ts';

// A device becomes a gateway, stays it for years, and nobody else does: gateway and cloud over real HTTP.

const folder = mkdtempSync(join(tmpdir(), 'firn-enrollment-'));
let postgres: Postgres | undefined;
afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const startMs = Date.UTC(2026, 0, 1);
const dayMs = 86_400_000;
const report = { version: '1', uptimeSeconds: 1, clock: 'trusted' as const, readings: { cpu: 0.5 } };
const logger = createLogger('silent');
const dataDirOf = (name: string): string => mkdtempSync(join(folder, name));
const noProxy = { caFile: '', proxy: '' };

async function claimFrom(cloud: FleetCloud, more: object = {}): Promise<{ id: string; claim: string }> {
  const [made] = await cloud.admin<{ id: string; claim: string }[]>('POST', '/claims', {
    site: 'north',
    ...more,
  });
  if (!made) throw new Error('no claim');
  return made;
}

const enrollAt = (cloud: Pick<FleetCloud, 'url'>, claim: string, dataDir: string, gateway?: string) =>
  enrollOnce({ dataDir, cloud: { ...noProxy, url: cloud.url }, claim, gateway });

/** Says how it does, as the gateway in this folder; the answer, or the refusal. */
async function beat(cloud: FleetCloud, dataDir: string, clock = movedClock(startMs)): Promise<unknown> {
  const identity = readIdentity(identityFolder(dataDir));
  if (!identity) throw new Error('not enrolled');
  using client = openCloudClient({ ...noProxy, url: cloud.url });
  const session = openCloudSession({ client, identity, folder: identityFolder(dataDir), clock, logger });
  return await session.ask(fleetPaths.heartbeat, { body: { report } }).catch((error: Error) => error.message);
}

const said = { againInSeconds: 30, commands: [] };
const refusedClaim = 'this claim does not count: it is wrong, used, over or revoked';

const places: readonly (readonly [string, () => Promise<{ database?: string }>])[] = [
  ['SQLite', async () => ({})],
  [
    'PostgreSQL',
    async () => {
      postgres ??= await startPostgres();
      const database = `postgres://postgres@127.0.0.1:${postgres.port}/postgres`;
      const pool = new Pool({ connectionString: database });
      await pool.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
      await pool.end();
      return { database };
    },
  ],
];

describe.each(places)('%s', (name, place) => {
  const testIt = test.skipIf(name === 'PostgreSQL' && !postgresPrograms);

  testIt('a claim makes one device a gateway, and its answer may be lost', async () => {
    await using cloud = await openFleetCloud(folder, movedClock(startMs), await place());
    const { id, claim } = await claimFrom(cloud);
    const [dataDir, thief] = [dataDirOf('gw-'), dataDirOf('thief-')];
    const identity = await enrollAt(cloud, claim, dataDir, 'press-1');
    expect(identity).toMatchObject({ tenant: 'acme', site: 'north', gateway: 'press-1' });
    expect(await enrollAt(cloud, claim, dataDir)).toMatchObject({ gateway: 'press-1' });
    await expect(enrollAt(cloud, claim, thief)).rejects.toThrow(refusedClaim);
    expect(readIdentity(identityFolder(thief))).toBeUndefined();
    expect(statSync(join(dataDir, 'identity', 'device.key')).mode & 0o777).toBe(0o600);
    expect(await beat(cloud, dataDir)).toEqual(said);
    expect(await cloud.admin('GET', '/gateways')).toMatchObject([
      { id: 'press-1', site: 'north', revokedAt: null },
    ]);
    expect(await cloud.admin('GET', '/claims')).toMatchObject([{ id, usedBy: 'press-1' }]);
    const audit = await cloud.store.auditLog({ limit: 2 });
    expect(audit.map(({ action, actor, subject }) => [action, actor, subject])).toEqual([
      ['enroll gateway', id, 'press-1'],
      ['create claims', 'operator', id],
    ]);
  });

  testIt('a device without a claim is adopted by its code, and its answer may be lost', async () => {
    await using cloud = await openFleetCloud(folder, movedClock(startMs), await place());
    const dataDir = dataDirOf('adopted-');
    const code = deviceCodeOf(keyHashOfSpki((await keyToEnroll(identityFolder(dataDir))).publicKey));
    const asked = { dataDir, cloud: { ...noProxy, url: cloud.url }, pin: '', gateway: 'press-1' };
    expect(await askForAdoption(asked)).toBe(5000);
    for (const site of ['south', 'north']) await cloud.admin('POST', '/adoptions', { code, site });
    for (let time = 0; time < 2; time++)
      expect(await askForAdoption(asked)).toMatchObject({ site: 'north', gateway: 'press-1' });
    expect(await beat(cloud, dataDir)).toEqual(said);
    await expect(cloud.admin('POST', '/adoptions', { code, site: 'north' })).rejects.toThrow(
      '409 this device is',
    );
  });

  testIt('another board takes the place of one, and a revoked one is out at once', async () => {
    await using cloud = await openFleetCloud(folder, movedClock(startMs), await place());
    const [old, next] = [dataDirOf('old-'), dataDirOf('next-')];
    await enrollAt(cloud, (await claimFrom(cloud)).claim, old, 'press-1');
    const second = await claimFrom(cloud);
    await expect(enrollAt(cloud, second.claim, next, 'press-1')).rejects.toThrow(
      'there is a gateway press-1 already',
    );
    const swap = await claimFrom(cloud, { gateway: 'press-1', site: 'south' });
    expect(await enrollAt(cloud, swap.claim, next)).toMatchObject({ site: 'south', gateway: 'press-1' });
    expect(await beat(cloud, old)).toMatch(/this gateway is not known, or no more/);
    expect(await beat(cloud, next)).toEqual(said);
    await cloud.admin('DELETE', '/gateways/press-1');
    expect(await beat(cloud, next)).toMatch(/this gateway is not known, or no more/);
    await expect(cloud.admin('DELETE', '/gateways/press-1')).rejects.toThrow('404');
  });
});

test('a gateway that was away for 400 days renews its certificate and goes on', async () => {
  const clock = movedClock(startMs);
  await using cloud = await openFleetCloud(folder, clock);
  const dataDir = dataDirOf('away-');
  const before = await enrollAt(cloud, (await claimFrom(cloud)).claim, dataDir);
  const until = (identity: Identity | undefined): number =>
    Date.parse(identity?.certificates[0].validTo ?? '');
  expect(until(before)).toBe(startMs + 90 * dayMs);
  // Renewed after a third of its time, not before.
  clock.pass(29 * dayMs);
  await beat(cloud, dataDir, clock);
  expect(until(readIdentity(identityFolder(dataDir)))).toBe(startMs + 90 * dayMs);
  clock.pass(2 * dayMs);
  await beat(cloud, dataDir, clock);
  expect(until(readIdentity(identityFolder(dataDir)))).toBe(startMs + 121 * dayMs);
  clock.pass(400 * dayMs);
  expect(await beat(cloud, dataDir, clock)).toEqual(said);
  const after = readIdentity(identityFolder(dataDir));
  expect(until(after)).toBe(startMs + 521 * dayMs);
  expect(after).toMatchObject({ tenant: 'acme', site: 'north', gateway: before.gateway });
});

test('a key is changed while the old session goes on, also when the answer is lost', async () => {
  const clock = movedClock(startMs);
  await using cloud = await openFleetCloud(folder, clock);
  const dataDir = dataDirOf('rotate-');
  const identity = await enrollAt(cloud, (await claimFrom(cloud)).claim, dataDir);
  const keyFile = join(dataDir, 'identity', 'device.key');
  const before = readFileSync(keyFile, 'utf8');
  const identityBefore = readFileSync(join(dataDir, 'identity', 'identity.json'), 'utf8');
  using client = openCloudClient({ ...noProxy, url: cloud.url });
  const session = openCloudSession({ client, identity, folder: identityFolder(dataDir), clock, logger });
  await session.ask(fleetPaths.heartbeat, { body: { report } });
  // The cloud has gone on to the next key, and its answer is lost.
  const { challenge } = (await client.ask(fleetPaths.challenge)) as { challenge: string };
  const certificateRequest = await makeCertificateRequest(await nextKey(identityFolder(dataDir)));
  const signer = { certificates: identity.certificates, sign: identity.key.sign };
  const signed = await signJws({ typ: sessionType }, { challenge, certificateRequest }, signer);
  await client.ask(fleetPaths.session, { body: { signed } });
  expect(await beat(cloud, dataDir)).toEqual(said);
  await session.rotateKey();
  expect(readFileSync(keyFile, 'utf8')).not.toBe(before);
  expect(await beat(cloud, dataDir)).toEqual(said);
  // Whoever has the old key is nobody now.
  writeFileSync(keyFile, before);
  writeFileSync(join(dataDir, 'identity', 'identity.json'), identityBefore);
  expect(await beat(cloud, dataDir)).toMatch(/not known/);
});

test('claims that are over, revoked, of a suspended tenant or invented are refused with the same words', async () => {
  const clock = movedClock(startMs);
  await using cloud = await openFleetCloud(folder, clock);
  const [brief, revoked, late] = [
    await claimFrom(cloud, { expiresInSeconds: 60 }),
    await claimFrom(cloud),
    await claimFrom(cloud),
  ];
  await cloud.admin('DELETE', `/claims/${revoked.id}`);
  clock.pass(61_000);
  const invented = `${'0'.repeat(20)}${late.claim.replaceAll('-', '').slice(20)}`;
  for (const claim of [brief.claim, revoked.claim, invented])
    await expect(enrollAt(cloud, claim, dataDirOf('x-'))).rejects.toThrow(refusedClaim);
  await cloud.store.suspendTenant('acme', true, { name: 'test', address: '' });
  await expect(enrollAt(cloud, late.claim, dataDirOf('x-'))).rejects.toThrow(refusedClaim);
  await expect(claimFrom(cloud, { site: '../other' })).rejects.toThrow('400 site id');
  await expect(claimFrom(cloud, { count: 100_000 })).rejects.toThrow('400 count');
  await expect(claimFrom(cloud, { description: 'x'.repeat(100_000) })).rejects.toThrow('bodyBytesMax');
});

test('a cloud that is not the one of the claim is not believed', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs));
  await using impostor = await openFleetCloud(folder, movedClock(startMs));
  const [real, theirs] = [await claimFrom(cloud), await claimFrom(impostor)];
  // It answers with an authority of its own to a code that it has read on the way.
  const code = theirs.claim.replaceAll('-', '').slice(0, 20);
  const dataDir = dataDirOf('x-');
  const read = `${code}${real.claim.replaceAll('-', '').slice(20)}`;
  await expect(enrollAt(impostor, read, dataDir)).rejects.toThrow(
    'is not the one that the claim was made by',
  );
  expect(readIdentity(identityFolder(dataDir))).toBeUndefined();
});

describe('what is no gateway', () => {
  const ask = async (cloud: FleetCloud, path: string, body: object, token?: string) => {
    using client = openCloudClient({ ...noProxy, url: cloud.url });
    return await client.ask(path, { body, ...(token !== undefined && { token }) }).then(
      (data) => data,
      (error: Error) => error.message,
    );
  };
  const challengeOf = async (cloud: FleetCloud): Promise<string> => {
    using client = openCloudClient({ ...noProxy, url: cloud.url });
    return ((await client.ask(fleetPaths.challenge)) as { challenge: string }).challenge;
  };

  test('gets no certificate for names of its own, or for a key that it does not have', async () => {
    await using cloud = await openFleetCloud(folder, movedClock(startMs));
    const { claim } = await claimFrom(cloud);
    const refusals = async (certificateRequest: string) =>
      ask(cloud, fleetPaths.enroll, { claim, certificateRequest });
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const signedBy = (key: typeof privateKey) => ({
      keyStore: 'file' as const,
      publicKey: publicKey.export({ type: 'spki', format: 'der' }),
      sign: async (bytes: Uint8Array) => sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }),
    });
    expect(await refusals(await makeCertificateRequest(signedBy(other)))).toMatch(
      'not signed by its own key',
    );
    expect(await refusals(Buffer.from('nonsense').toString('base64'))).toMatch('no certificate request');
    if (hasOpenssl) {
      using authority = createAuthority();
      authority.sign('evil', 'acme:south:press-9', 'URI:urn:firn:gateway:other:south:press-9');
      const pem = readFileSync(join(authority.folder, 'evil.csr'), 'utf8');
      const named = pem.replaceAll(/-----.*-----|\s/g, '');
      expect(await refusals(named)).toMatch('it names somebody');
    }
    // The claim still counts.
    const good = (await refusals(await makeCertificateRequest(signedBy(privateKey)))) as {
      certificates: string[];
    };
    expect(new X509Certificate(good.certificates[0] ?? '').subjectAltName).toMatch(
      /^URI:urn:firn:gateway:acme:north:gw-/,
    );
  });

  test('begins no session', async () => {
    const clock = movedClock(startMs);
    await using cloud = await openFleetCloud(folder, clock);
    const one = await enrollAt(cloud, (await claimFrom(cloud)).claim, dataDirOf('one-'), 'one');
    const two = await enrollAt(cloud, (await claimFrom(cloud)).claim, dataDirOf('two-'), 'two');
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const begin = async (header: object, payload: object, signer: Parameters<typeof signJws>[2]) =>
      ask(cloud, fleetPaths.session, { signed: await signJws(header, payload, signer) });
    const typ = { typ: sessionType };
    const signerOf = ({ certificates, key }: Identity) => ({ certificates, sign: key.sign });
    const challenge = await challengeOf(cloud);
    expect(await begin(typ, { challenge }, signerOf(one))).toMatchObject({ token: expect.any(String) });
    // Another's certificate with one's own key; another type; a challenge that nobody gave, or that is over.
    expect(await begin(typ, { challenge }, { ...signerOf(one), certificates: two.certificates })).toMatch(
      /401/,
    );
    expect(await begin({ typ: 'firn-config+jwt' }, { challenge }, signerOf(one))).toMatch(/401/);
    expect(await begin(typ, { challenge: `${challenge}x` }, signerOf(one))).toMatch(/401/);
    const stolen = ecdsaSigner(other, one.certificates);
    expect(await begin(typ, { challenge }, stolen)).toMatch(/401/);
    const signed = await signJws(typ, { challenge }, signerOf(one));
    const [, body = '', signature = ''] = signed.split('.');
    const none = Buffer.from(JSON.stringify({ ...typ, alg: 'none' })).toString('base64url');
    expect(await ask(cloud, fleetPaths.session, { signed: `${none}.${body}.` })).toMatch(/401/);
    expect(await ask(cloud, fleetPaths.session, { signed: `${none}.${body}.${signature}` })).toMatch(/401/);
    expect(await ask(cloud, fleetPaths.session, { signed: 'x'.repeat(50_000) })).toMatch(/400/);
    clock.pass(61_000);
    expect(await begin(typ, { challenge }, signerOf(one))).toMatch(/401/);
    for (const token of ['', 'x', 'x.y', challenge])
      expect(await ask(cloud, fleetPaths.heartbeat, { report }, token)).toMatch(/401/);
  });
});

test('everything goes through an HTTP proxy', async () => {
  await using cloud = await openFleetCloud(folder, movedClock(startMs));
  const seen: string[] = [];
  const proxy = createServer((request, response) => {
    seen.push(request.url ?? '');
    const target = new URL(request.url ?? '');
    void (async () => {
      const body = await new Response(request as unknown as ReadableStream).text();
      const { method = '', headers } = request;
      const sent = {
        method,
        headers: { 'content-type': headers['content-type'] ?? '' },
        ...(body && { body }),
      };
      const answer = await fetch(target, sent);
      response.writeHead(answer.status).end(await answer.text());
    })();
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  try {
    const address = { caFile: '', url: cloud.url, proxy: `http://127.0.0.1:${port}` };
    const { claim } = await claimFrom(cloud);
    await enrollOnce({ dataDir: dataDirOf('proxied-'), cloud: address, claim });
    expect(seen).toEqual([`${cloud.url}${fleetPaths.enroll}`]);
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});
