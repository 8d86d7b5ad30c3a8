import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { tenantId } from '../../lake/model/ids.ts';
import { tenantOfHeader } from './http-credentials.ts';
import { openTenantStore } from './tenant-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-tenants-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('a key opens its own tenant and nothing else, also after a restart', () => {
  const store = openTenantStore(folder);
  const a = store.create(tenantId('a'));
  const b = store.create(tenantId('b'));
  expect(store.create(tenantId('a'))).toBeUndefined();
  if (!a || !b) throw new Error('no key was made');
  for (const opened of [store, openTenantStore(folder)]) {
    expect(opened.tenants()).toEqual(['a', 'b']);
    expect(opened.authenticate(a.id, a.secret)).toBe('a');
    expect(opened.authenticate(b.id, b.secret)).toBe('b');
    expect(opened.authenticate(a.id, b.secret)).toBeUndefined();
    expect(opened.authenticate('nobody', a.secret)).toBeUndefined();
    expect(opened.authenticate(a.id, '')).toBeUndefined();
    expect(opened.keyOf(a.id)?.tenant).toBe('a');
  }
  const path = join(folder, 'tenants.json');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readFileSync(path, 'utf8')).not.toContain(a.secret);
});

test('a damaged file is an error, never an empty list', () => {
  const damaged = mkdtempSync(join(folder, 'damaged-'));
  writeFileSync(join(damaged, 'tenants.json'), '{"format":1,');
  expect(() => openTenantStore(damaged)).toThrow(/tenants.json can't be read/);
});

test('HTTP credentials are key id and secret, or the secret as a bearer token', () => {
  const store = openTenantStore(mkdtempSync(join(folder, 'http-')));
  const key = store.create(tenantId('a'), { id: 'k', secret: 'a-secret:with-a-colon' });
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  expect(tenantOfHeader(basic(`${key?.id}:${key?.secret}`), store)).toBe('a');
  expect(tenantOfHeader(`bearer ${key?.secret}`, store)).toBe('a');
  for (const header of [
    undefined,
    '',
    'Basic',
    'Basic !',
    basic('k'),
    basic('k:'),
    'Bearer',
    'Bearer x',
    `Digest ${key?.secret}`,
  ]) {
    expect(tenantOfHeader(header, store)).toBeUndefined();
  }
});
