import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isSecretOf, parseVerifier } from '../../lake/pgwire/scram.ts';
import { createPasswordCheck, parseUsers } from '../broker/access/password-file.ts';
import { loadGatewayConfig } from '../config.ts';
import { openSecurityDatabase } from '../security/security-database.ts';
import { announcementMark, announcements } from './announcement.ts';
import { wirelessFileName } from './network.ts';
import { gatewayConfigFile, type Places, placesUnder, usersFile } from './places.ts';
import { resetAppliance } from './reset.ts';
import { setUpAppliance } from './setup.ts';

let root: string;
let places: Places;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'firn-appliance-'));
  places = placesUnder(root);
  mkdirSync(places.boot, { recursive: true });
});

afterEach(() => rmSync(root, { recursive: true }));

let drawn = 0;
const setUp = () =>
  setUpAppliance(places, {
    hardwareId: '0123456789ab',
    random: (bytes) => Buffer.alloc(bytes, drawn++),
    group: undefined,
  });

const siteFile = (): string => join(places.boot, 'firn-site.yaml');
const writeSite = (text: string): void => writeFileSync(siteFile(), text);
const gatewayConfig = () => loadGatewayConfig(['--config', gatewayConfigFile(places)], {});

async function isLocalPassword(name: string, password: string): Promise<boolean> {
  using db = openSecurityDatabase(places.gateway, 'soon');
  const user = db.users().find((each) => each.name === name);
  return user !== undefined && isSecretOf(parseVerifier(user.verifier), password);
}

async function isMqttPassword(name: string, password: string): Promise<boolean> {
  return createPasswordCheck()(
    parseUsers(readFileSync(usersFile(places), 'utf8'), ''),
    name,
    Buffer.from(password),
  );
}

const whole = `
tenant: acme
site: plant-7
hostname: press-7
open: true
mqtt: {user: line, password: not-for-others}
wifi: {ssid: Halle 3, passphrase: hidden-phrase, country: DE}
network: {address: 10.0.0.5/24, gateway: 10.0.0.1, dns: [10.0.0.2]}
proxy: http://proxy:3128
timeServers: [ntp.plant]
settings: {store: {kind: s3, bucket: lake, secretAccessKey: hidden-key}}
`;

test('without a file a device has an id of its own, a password of its own, and asks for it everywhere', async () => {
  const first = await setUp();
  expect(first).toMatchObject({
    gateway: 'gw-0123456789ab',
    hostname: 'gw-0123456789ab',
    problem: undefined,
  });
  const { name, password } = first.firstUser ?? { name: '', password: '' };
  expect(await isLocalPassword(name, password)).toBe(true);
  expect(gatewayConfig()).toMatchObject({
    listen: { host: '0.0.0.0', open: false },
    mqtt: { host: '0.0.0.0' },
  });
  expect(await setUp()).toEqual(first);
});

test('a personalisation file is taken whole, and loses its secrets', async () => {
  writeSite(whole);
  expect(await setUp()).toEqual({
    ...{ tenant: 'acme', site: 'plant-7', gateway: 'gw-0123456789ab', hostname: 'press-7' },
    ...{ problem: undefined, firstUser: undefined, isWaiting: false, enrollment: undefined },
  });
  expect(gatewayConfig()).toMatchObject({
    listen: { open: true },
    store: { bucket: 'lake', secretAccessKey: 'hidden-key' },
  });
  expect(await isMqttPassword('line', 'not-for-others')).toBe(true);
  expect(parseUsers(readFileSync(usersFile(places), 'utf8'), '').size).toBe(1);
  expect(readFileSync(siteFile(), 'utf8')).not.toMatch(/hidden|not-for-others/);
  expect(readFileSync(siteFile(), 'utf8')).toContain('plant-7');
  expect(readFileSync(join(root, 'run/systemd/network/10-site.network'), 'utf8')).toContain(
    'Address=10.0.0.5/24\nGateway=10.0.0.1\nDNS=10.0.0.2\n',
  );
  expect(readFileSync(join(root, 'run/iwd/Halle 3.psk'), 'utf8')).toContain('Passphrase=hidden-phrase');
  expect(readFileSync(join(root, 'run/iwd-settings/main.conf'), 'utf8')).toBe('[General]\nCountry=DE\n');
  expect(gatewayConfig()).toMatchObject({ proxy: 'http://proxy:3128', cloud: { caFile: '' } });
  for (const name of ['gateway.yaml', 'site.yaml', 'mqtt-users', 'environment'])
    expect(statSync(join(places.config, name)).mode & 0o777).toBe(0o600);
});

test('the same holds at the next start, without the file or with what is left of it', async () => {
  writeSite(whole);
  const first = await setUp();
  rmSync(join(root, 'run'), { recursive: true });
  expect(await setUp()).toEqual(first);
  expect(existsSync(join(root, 'run/iwd/Halle 3.psk'))).toBe(true);
  rmSync(siteFile());
  expect(await setUp()).toEqual(first);
});

test('local users are taken, and the one that the device made for itself goes with the first who may do everything', async () => {
  const { firstUser } = await setUp();
  const user = (name: string, role: string): string =>
    `{name: ${name}, password: not-for-others, roles: [${role}]}`;
  writeSite(`users: [${user('grafana', 'read')}]\n`);
  expect((await setUp()).firstUser).toEqual(firstUser);
  writeSite(`users: [${user('boss', 'admin')}]\n`);
  expect((await setUp()).firstUser).toBeUndefined();
  using db = openSecurityDatabase(places.gateway, 'soon');
  expect(db.users().map(({ name, roles }) => [name, roles])).toEqual([
    ['boss', '["admin"]'],
    ['grafana', '["read"]'],
  ]);
  expect(await isLocalPassword('grafana', 'not-for-others')).toBe(true);
  const kept = [siteFile(), join(places.config, 'site.yaml')].map((path) => readFileSync(path, 'utf8'));
  expect(kept.join()).not.toContain('not-for-others');
});

test('a later file changes what it names', async () => {
  writeSite(whole);
  await setUp();
  writeSite('site: plant-8\nsettings: {store: {bucket: other}}\n');
  expect(await setUp()).toMatchObject({ tenant: 'acme', site: 'plant-8', hostname: 'press-7' });
  expect(gatewayConfig().store).toMatchObject({ kind: 's3', bucket: 'other', secretAccessKey: 'hidden-key' });
});

test.each([
  ['sitte: plant', 'sitte'],
  ['site: Plant 7', 'site'],
  ['network: {address: 10.0.0.5}', 'network.address'],
  ['wifi: {ssid: x, passphrase: short}', 'wifi.passphrase'],
  ['wifi: {ssid: x, passphrase: long-enough, country: Germany}', 'wifi.country'],
  ['wifi: {ssid: "a\\nb", passphrase: long-enough}', 'wifi.ssid'],
  ['settings: {mqtt: {porrt: 1}}', 'settings.mqtt'],
  ['settings: {seal: {rowsMax: many}}', 'settings.seal.rowsMax'],
  ['mqtt: {user: "a:b", password: long-enough}', 'a:b'],
  ['users: [{name: "a:b", password: long-enough, roles: [read]}]', 'a:b'],
  ['users: [{name: a, password: long-enough, roles: [fly]}]', 'users.0.roles.0'],
  ['{', 'firn-site.yaml'],
])('%s is refused by name, beside the file, and what was there goes on', async (text, named) => {
  writeSite(whole);
  const before = await setUp();
  writeSite(text);
  const after = await setUp();
  expect(after).toEqual({ ...before, problem: expect.stringContaining(named) });
  expect(readFileSync(join(places.boot, 'firn-site-error.txt'), 'utf8')).toContain(named);
  expect(gatewayConfig().store.bucket).toBe('lake');
  rmSync(siteFile());
  await setUp();
  expect(existsSync(join(places.boot, 'firn-site-error.txt'))).toBe(false);
});

test('a reset makes it new, with or without what was received', async () => {
  writeSite(whole);
  await setUp();
  writeFileSync(join(places.gateway, 'wal.db'), 'rows');
  resetAppliance(places, true);
  expect(existsSync(join(places.gateway, 'wal.db'))).toBe(true);
  rmSync(siteFile());
  expect(await setUp()).toMatchObject({ tenant: 'demo', gateway: 'gw-0123456789ab' });
  resetAppliance(places, false);
  expect(existsSync(join(places.gateway, 'wal.db'))).toBe(false);
});

test('names of wireless networks are written as iwd expects them', () => {
  expect([wirelessFileName('Halle 3'), wirelessFileName('Büro/2')]).toEqual([
    'Halle 3.psk',
    '=42c3bc726f2f32.psk',
  ]);
});

test('the banner knows how far the enrollment is; a reset makes it nobody again, also one that keeps the data', async () => {
  mkdirSync(dirname(places.release), { recursive: true });
  writeFileSync(places.release, '{"version":"1.0.0"}');
  await setUp();
  const say = announcements(places);
  const mark = announcementMark(places);
  const waiting = { kind: 'waiting' as const, url: 'https://lake.example.com', isReached: false };
  say?.({ ...waiting, code: 'A'.repeat(16), problem: 'no\x1b[2Jroute' });
  expect(existsSync(mark)).toBe(true);
  // Without a cloud it is nothing of today's.
  expect((await setUp()).enrollment).toBeUndefined();
  writeSite('settings: {cloud: {url: "https://lake.example.com"}}');
  expect(await setUp()).toMatchObject({
    ...{ isWaiting: true, enrollment: { kind: 'waiting', problem: 'no [2Jroute' } },
  });
  const enrolled = {
    kind: 'enrolled' as const,
    url: waiting.url,
    tenant: 'acme',
    site: 'hall',
    gateway: 'press',
  };
  say?.(enrolled);
  expect(await setUp()).toMatchObject({ tenant: 'acme', site: 'hall', gateway: 'press' });
  rmSync(mark);
  say?.(enrolled);
  expect(existsSync(mark)).toBe(false);
  mkdirSync(join(places.gateway, 'identity'));
  for (const name of ['wal.db', 'identity/device.key', 'identity/identity.json'])
    writeFileSync(join(places.gateway, name), 'x');
  expect(await setUp()).toMatchObject({ isWaiting: false });
  resetAppliance(places, true);
  expect(existsSync(join(places.gateway, 'wal.db'))).toBe(true);
  expect(existsSync(join(places.gateway, 'identity'))).toBe(false);
  expect((await setUp()).gateway).toBe('gw-0123456789ab');
});
