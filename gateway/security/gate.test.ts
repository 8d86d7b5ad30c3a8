import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createLogger } from '../../lake/base/log.ts';
import { noLoginLimits } from '../../lake/base/login-attempts.ts';
import { closedGate } from './gate.ts';
import { hashPassword, openPasswords } from './passwords.ts';
import { checkModes, mendModes } from './secret-modes.ts';
import { checkUserName } from './user-name.ts';
import { openUsers } from './users.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-gate-'));
afterAll(() => rmSync(folder, { recursive: true }));

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
/** As a header's bytes come. */
const asBytes = (text: string): string => Buffer.from(text).toString('latin1');
const verifier = await hashPassword('a:b ä');
const users = openUsers({ version: () => 1, users: () => [] }, [{ name: 'al', roles: ['read'], verifier }]);
const noted: string[] = [];
const gate = closedGate({
  prove: openPasswords(users, 'the secret of the device'),
  attempts: noLoginLimits,
  audit: { noteRefusal: ({ actor, action }) => void noted.push(`${actor} ${action}`) },
  requireTls: true,
});
const outcome = async (authorization: string | undefined, address: string, encrypted: boolean) => {
  const admission = await gate({ authorization, address, encrypted }, 'read', 'GET /');
  return 'user' in admission ? admission.user?.name : admission.refusal.status;
};

test.each<[string | undefined, string, boolean, string | number]>([
  [basic('al:a:b ä'), '10.0.0.9', true, 'al'],
  [`Token ${asBytes('al:a:b ä')}`, '10.0.0.9', true, 'al'],
  [`bearer ${asBytes('al:a:b ä')}`, '10.0.0.9', true, 'al'],
  [basic('al:a:b ä'), '127.0.0.1', false, 'al'],
  [basic('al:a:b ä'), '::ffff:127.0.0.1', false, 'al'],
  [basic('al:a:b ä'), '10.0.0.9', false, 403],
  [basic('al:a:b ä'), '127.0.0.1.example', false, 403],
  [basic('al:a:b'), '10.0.0.9', true, 401],
  [basic('al:'), '10.0.0.9', true, 401],
  [basic('al'), '10.0.0.9', true, 401],
  [basic('bo:a:b ä'), '10.0.0.9', true, 401],
  [basic('_device:the secret of the device'), '127.0.0.1', false, '_device'],
  [basic('_device:'), '127.0.0.1', false, 401],
  ['Basic', '10.0.0.9', true, 401],
  ['Digest username="al"', '10.0.0.9', true, 401],
  [undefined, '10.0.0.9', true, 401],
])('%s from %s, encrypted %s: %s', async (authorization, address, encrypted, expected) => {
  expect(await outcome(authorization, address, encrypted)).toBe(expected);
});

test('a user without the role is refused by name, and noted', async () => {
  const asked = { authorization: basic('al:a:b ä'), address: '10.0.0.9', encrypted: true };
  expect(await gate(asked, 'admin', 'GET /x')).toMatchObject({
    refusal: { status: 403, message: expect.stringContaining('al has not the role admin') },
  });
  expect(noted).toContain('al ask without the role admin');
});

test('names that files and logins can not hold are refused', () => {
  expect(() => checkUserName('plant 1')).not.toThrow();
  for (const name of ['', 'a:b', ' a', '#a', '_a', 'a\nb', 'x'.repeat(300)])
    expect(() => checkUserName(name)).toThrow();
});

test('own secret files are closed to others; of files by settings the world alone is kept out', () => {
  const path = join(folder, 'secret');
  writeFileSync(path, 'x');
  chmodSync(path, 0o644);
  expect(() => checkModes({ 'tls.keyFile': path })).toThrow(
    `tls.keyFile: everybody on this machine may open ${path}`,
  );
  chmodSync(path, 0o640);
  expect(() => checkModes({ 'tls.keyFile': path, 'mqtt.usersFile': '' })).not.toThrow();
  mendModes([folder, join(folder, 'missing')], createLogger('silent'));
  expect(statSync(path).mode & 0o777).toBe(0o600);
});
