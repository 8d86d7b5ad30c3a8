import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type AclClient, parseAcl } from './acl-file.ts';
import { createPasswordCheck, formatUsers, hashPassword, parseUsers } from './password-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-access-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const anonymous: AclClient = { username: undefined, clientId: 'c1' };
const user = (username: string, clientId = 'c1'): AclClient => ({ username, clientId });

test.each<[string, AclClient, 'read' | 'write', string, boolean]>([
  ['topic a/#', anonymous, 'write', 'a/b', true],
  ['topic a/#', anonymous, 'read', 'a', true],
  ['topic a/#', user('x'), 'read', 'a/b', false],
  ['topic read a/#', anonymous, 'write', 'a/b', false],
  ['user x\ntopic write a/+', user('x'), 'write', 'a/b', true],
  ['user x\ntopic write a/+', user('x'), 'write', 'a/b/c', false],
  ['user x\ntopic write a/+', user('y'), 'write', 'a/b', false],
  ['user x\ntopic #\ntopic deny a/secret', user('x'), 'read', 'a/secret', false],
  ['user x\ntopic #\ntopic deny a/secret', user('x'), 'read', 'a/open', true],
  ['user x\ntopic #', user('x'), 'read', '$SYS/broker/uptime', false],
  ['user x\ntopic read $SYS/#', user('x'), 'read', '$SYS/broker/uptime', true],
  ['pattern write dev/%c/#', user('x', 'pump'), 'write', 'dev/pump/t', true],
  ['pattern write dev/%c/#', user('x', '+'), 'write', 'dev/+/t', false],
  ['pattern dev/%u', user('al'), 'write', 'dev/al', true],
  ['pattern dev/%u', user('a/b'), 'write', 'dev/a/b', false],
  ['pattern dev/%u/%c', user('%c', 'z'), 'write', 'dev/%c/z', true],
  ['pattern dev/%u', anonymous, 'write', 'dev/', false],
  ['topic readwrite a b/c d', anonymous, 'write', 'a b/c d', true],
  ['# all\n\nuser x\n topic  read   a', user('x'), 'read', 'a', true],
])('%j lets %j %s %s: %s', (text, client, action, topic, expected) => {
  expect(parseAcl(text, 'acl').allows(client, action, topic)).toBe(expected);
});

test.each<[string, string, boolean]>([
  ['topic read a/#', 'a/#', true],
  ['topic read a/#', 'a/+/b', true],
  ['topic read a/#', '#', false],
  ['topic read a/#', 'a', true],
  ['topic read a/+', 'a/#', false],
  ['topic read a/+', 'a/b', true],
  ['topic read a/+/c', 'a/+/+', false],
  ['topic write a/#', 'a/b', false],
  ['topic read #', '$SYS/#', false],
  ['topic read #\ntopic deny a/#', 'a/b', false],
  ['topic read #\ntopic deny a/#', '#', true],
])('%j lets subscribe to %s: %s', (text, filter, expected) => {
  expect(parseAcl(text, 'acl').allowsFilter(anonymous, filter)).toBe(expected);
});

test.each(['topic', 'user', 'topics a', 'topic a/#/b', 'topic read a+'])(
  '%j is refused with its line',
  (line) => {
    expect(() => parseAcl(`# fine\n${line}\n`, '/etc/acl')).toThrow('/etc/acl, line 2');
  },
);

test('passwords: what is hashed is recognised, nothing else is', async () => {
  const users = parseUsers(formatUsers(new Map([['al', await hashPassword('päss')]])), 'users');
  const check = createPasswordCheck();
  const bytes = (password: string): Uint8Array => Buffer.from(password);
  for (let round = 0; round < 2; round++) {
    expect(await check(users, 'al', bytes('päss'))).toBe(true);
    expect(await check(users, 'al', bytes('pass'))).toBe(false);
    expect(await check(users, 'bo', bytes('päss'))).toBe(false);
  }
  const changed = parseUsers(`al:${await hashPassword('new')}`, 'users');
  expect(await check(changed, 'al', bytes('päss'))).toBe(false);
});

test.each(['al', 'al:', 'al:plain', ':x', 'al:$7$0$QUJD$QUJD', 'al:$6$QUJD$QUJD'])(
  '%j is no line of users',
  (line) => {
    expect(() => parseUsers(`\n${line}`, '/etc/users')).toThrow('/etc/users, line 2');
  },
);

const mosquittoPasswd = 'mosquitto_passwd';
const installed = spawnSync(mosquittoPasswd, ['--help']).error === undefined;
test.skipIf(!installed)(
  'mosquitto_passwd and Firn read what the other writes (skipped: not installed)',
  async () => {
    const path = join(folder, 'users');
    execFileSync(mosquittoPasswd, ['-b', '-c', path, 'theirs', 'their secret']);
    writeFileSync(path, `${readFileSync(path, 'utf8')}ours:${await hashPassword('our secret')}\n`);
    execFileSync(mosquittoPasswd, ['-b', path, 'more', 'x']);
    const users = parseUsers(readFileSync(path, 'utf8'), path);
    expect([...users.keys()]).toEqual(['theirs', 'ours', 'more']);
    const check = createPasswordCheck();
    expect(await check(users, 'theirs', Buffer.from('their secret'))).toBe(true);
    expect(await check(users, 'ours', Buffer.from('our secret'))).toBe(true);
  },
);
