import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import mqtt, { type IClientOptions } from 'mqtt';
import { expect, test } from 'vitest';
import { createLoginAttempts } from '../../lake/base/login-attempts.ts';
import { createAuthority, hasOpenssl } from '../../test/harness/certificates.ts';
import { formatUsers, hashPassword } from './access/password-file.ts';
import { connect, host, opened, start, temporaryFolder, until, urlOf } from './broker.fixture.ts';

// Who gets in, and what they may do.

async function usersAndRules(users: Record<string, string>, acl?: string) {
  const folder = temporaryFolder();
  const access = {
    usersFile: join(folder, 'users'),
    aclFile: acl === undefined ? '' : join(folder, 'acl'),
    ...{ anonymous: false, certificateUser: 'none' as const },
  };
  const writeUsers = async (passwords: Record<string, string>): Promise<void> => {
    const hashes = await Promise.all(Object.values(passwords).map(hashPassword));
    writeFileSync(
      access.usersFile,
      formatUsers(new Map(Object.keys(passwords).map((name, n) => [name, hashes[n] ?? '']))),
    );
  };
  await writeUsers(users);
  if (acl !== undefined) writeFileSync(access.aclFile, acl);
  return { access, writeUsers };
}

const asUser = (username: string, password: string): IClientOptions => ({ username, password });

test('a user with the right password gets in, nobody else does', async () => {
  const { access } = await usersAndRules({ sensor: 'secret' });
  const { broker } = await start({ access });
  await connect(urlOf(broker), asUser('sensor', 'secret'));
  for (const wrong of [asUser('sensor', 'wrong'), asUser('other', 'secret'), {}]) {
    const four = mqtt.connectAsync(urlOf(broker), { ...wrong, reconnectPeriod: 0 }, false);
    await expect(four).rejects.toMatchObject({ code: 5 });
    const five = mqtt.connectAsync(
      urlOf(broker),
      { ...wrong, protocolVersion: 5, reconnectPeriod: 0 },
      false,
    );
    await expect(five).rejects.toMatchObject({ code: 0x87 });
  }
  expect(broker.counters().refusedLogins).toBe(6);
});

test('who failed too often is refused also with the right password, until the window is over', async () => {
  const { access } = await usersAndRules({ sensor: 'secret', viewer: 'seen' });
  let nowMs = 0;
  const limits = { failuresPerNameMax: 2, failuresPerAddressMax: 0, windowSeconds: 60 };
  const logins = createLoginAttempts(limits, { monotonicMs: () => nowMs });
  const { broker } = await start({ access, logins });
  const tried = (name: string, password: string): Promise<unknown> =>
    mqtt.connectAsync(urlOf(broker), { ...asUser(name, password), reconnectPeriod: 0 }, false);
  for (const name of ['sensor', 'nobody']) {
    for (let time = 0; time < 2; time++)
      await expect(tried(name, 'wrong')).rejects.toMatchObject({ code: 5 });
    await expect(tried(name, 'secret')).rejects.toMatchObject({ code: 5 });
  }
  await connect(urlOf(broker), asUser('viewer', 'seen'));
  nowMs = 60_000;
  await connect(urlOf(broker), asUser('sensor', 'secret'));
});

test('a changed file of users is read again; who is not in it any more is disconnected', async () => {
  const { access, writeUsers } = await usersAndRules({ sensor: 'secret', other: 'secret' });
  const { broker } = await start({ access });
  const removed = await connect(urlOf(broker), asUser('sensor', 'secret'));
  const stays = await connect(urlOf(broker), asUser('other', 'secret'));
  const closed = new Promise<void>((resolve) => removed.once('close', resolve));
  const hash = readFileSync(access.usersFile, 'utf8').split('\n')[1];
  writeFileSync(access.usersFile, `${hash}\n`);
  await closed;
  expect(stays.connected).toBe(true);
  writeFileSync(access.usersFile, 'nonsense');
  await stays.publishAsync('a/b', '1', { qos: 1 });
  await writeUsers({ late: 'comer' });
  await expect.poll(() => stays.connected, { timeout: 8000 }).toBe(false);
  await connect(urlOf(broker), asUser('late', 'comer'));
});

const rules = `
user sensor
topic write plant/#
topic deny plant/secret
pattern read answers/%u/%c
user viewer
topic read plant/#
topic deny plant/secret
`;

test('rules: a publish that is denied is not stored and not acknowledged', async () => {
  const { access } = await usersAndRules({ sensor: 'secret' }, rules);
  const { broker, log } = await start({ access });
  const four = await connect(urlOf(broker), asUser('sensor', 'secret'));
  await four.publishAsync('plant/t', '1', { qos: 1 });
  const closed = new Promise<void>((resolve) => four.once('close', resolve));
  four.publish('office/t', '2', { qos: 1 });
  await closed;
  const five = await connect(urlOf(broker), { ...asUser('sensor', 'secret'), protocolVersion: 5 });
  for (const qos of [1, 2] as const)
    await expect(five.publishAsync('plant/secret', '3', { qos })).rejects.toMatchObject({ code: 0x87 });
  await five.publishAsync('plant/t', '4', { qos: 2 });
  const will = { topic: 'office/lost', payload: Buffer.from('5'), qos: 1 as const, retain: false };
  (await connect(urlOf(broker), { ...asUser('sensor', 'secret'), will })).stream.destroy();
  await until(() => broker.counters().denied === 4);
  expect(log.values()).toEqual([1, 4]);
});

test('rules: a subscription that is denied is answered so, and delivers and keeps nothing', async () => {
  const { access } = await usersAndRules({ sensor: 'secret', viewer: 'secret' }, rules);
  const { broker } = await start({ access });
  const session: IClientOptions = { ...asUser('viewer', 'secret'), clientId: 'v', clean: false };
  const viewer = await connect(urlOf(broker), session);
  const granted = await viewer
    .subscribeAsync({ 'plant/#': { qos: 1 }, '#': { qos: 1 }, 'plant/secret': { qos: 1 } })
    .catch(({ packet }: { packet: { granted: number[] } }) => packet.granted);
  expect(granted).toEqual([1, 128, 128]);
  const seen: string[] = [];
  viewer.on('message', (topic) => seen.push(topic));
  const sensor = await connect(urlOf(broker), asUser('sensor', 'secret'));
  await viewer.endAsync();
  await sensor.publishAsync('plant/t', '1', { qos: 1 });
  await until(() => broker.counters().waiting === 1);
  expect(broker.counters()).toMatchObject({ waiting: 1, denied: 2 });
  const mine = await connect(urlOf(broker), { ...asUser('sensor', 'secret'), clientId: 'me' });
  expect(await mine.subscribeAsync('answers/sensor/me')).toMatchObject([{ qos: 0 }]);
  await expect(mine.subscribeAsync('answers/sensor/other')).rejects.toThrow();
});

test.skipIf(!hasOpenssl)(
  'TLS: clients that know the authority connect, over WebSocket too (skipped: no openssl)',
  async () => {
    const authority = createAuthority();
    opened.push(() => authority[Symbol.dispose]());
    const { caFile } = authority;
    const server = authority.sign('server', 'gateway');
    const files = { ...server, caFile: '', clientCertificates: 'none' as const };
    const { broker, log } = await start({ tls: { ...files, port: 0, webSocketPort: 0 } });
    const ca = readFileSync(caFile);
    const tls = await connect(`mqtts://${host}:${broker.tlsPort}`, { ca });
    await tls.publishAsync('a/b', '1', { qos: 1 });
    const wss = await connect(`wss://${host}:${broker.tlsWebSocketPort}`, { ca });
    await wss.publishAsync('a/b', '2', { qos: 2 });
    expect(log.values()).toEqual([1, 2]);
    await expect(
      mqtt.connectAsync(`mqtts://${host}:${broker.tlsPort}`, { reconnectPeriod: 0 }, false),
    ).rejects.toThrow();
    // Another certificate is taken without a restart, and connections stay.
    authority.sign('server', 'gateway', 'IP:127.0.0.1,DNS:renewed');
    const names = async (): Promise<string | undefined> => {
      const socket: TLSSocket = connectTls({ host, port: broker.tlsPort ?? 0, ca });
      opened.push(() => socket.destroy());
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
      return socket.getPeerCertificate().subjectaltname;
    };
    await expect.poll(names, { timeout: 8000, interval: 200 }).toContain('renewed');
    await tls.publishAsync('a/b', '3', { qos: 1 });
  },
);

test.skipIf(!hasOpenssl)(
  'client certificates: required, and their name is the user (skipped: no openssl)',
  async () => {
    const authority = createAuthority();
    opened.push(() => authority[Symbol.dispose]());
    const stranger = createAuthority();
    opened.push(() => stranger[Symbol.dispose]());
    const aclFile = join(authority.folder, 'acl');
    writeFileSync(aclFile, 'pattern write plant/%u/#\n');
    const { caFile } = authority;
    const tls = { ...authority.sign('server', 'gateway'), caFile, port: 0, webSocketPort: 0 };
    const pump = authority.sign('pump', 'pump-1');
    const false_ = stranger.sign('pump', 'pump-1');
    const options = ({ certFile, keyFile }: typeof pump): IClientOptions => ({
      ...{ cert: readFileSync(certFile), key: readFileSync(keyFile), ca: readFileSync(caFile) },
    });
    const access = { usersFile: '', aclFile, anonymous: false, certificateUser: 'cn' as const };
    const { broker, log } = await start({ access, tls: { ...tls, clientCertificates: 'required' } });
    const url = `mqtts://${host}:${broker.tlsPort}`;
    const client = await connect(url, options(pump));
    await client.publishAsync('plant/pump-1/t', '1', { qos: 1 });
    for (const wrong of [options(false_), { ca: readFileSync(caFile) }])
      await expect(mqtt.connectAsync(url, { ...wrong, reconnectPeriod: 0 }, false)).rejects.toThrow();
    const plain = mqtt.connectAsync(urlOf(broker), { reconnectPeriod: 0 }, false);
    await expect(plain).rejects.toMatchObject({ code: 5 });
    client.publish('plant/pump-2/t', '2', { qos: 1 });
    await until(() => broker.counters().denied === 1);
    expect(log.values()).toEqual([1]);
  },
);
