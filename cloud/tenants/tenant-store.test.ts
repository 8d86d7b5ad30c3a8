import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, describe, expect, test } from 'vitest';
import { createLogger } from '../../lake/base/log.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { makeScramVerifier } from '../../lake/pgwire/scram.ts';
import { heldClock, type TenantPlace, tenantPlaces } from '../../test/harness/tenant-places.ts';
import { hashSecret } from './api-key.ts';
import { keepAuditFor } from './audit-retention.ts';
import { encodeVerifier } from './stored-verifier.ts';
import { openTenantStore, type TenantStore } from './tenant-store.ts';

const me = { name: 'test', address: '127.0.0.1' };
const [a, b] = [tenantId('a'), tenantId('b')];
const reading = { description: 'dashboards', scopes: ['read'] } as const;

const places = tenantPlaces();
const folder = mkdtempSync(join(tmpdir(), 'firn-tenants-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(places)('$name', ({ name, make: makePlace, canRun }) => {
  const testIt = test.skipIf(!canRun);
  const open = async (place: TenantPlace, clock = heldClock(1_000_000)): Promise<TenantStore> =>
    openTenantStore({ ...place, clock });

  testIt('a key opens its own tenant and nothing else, also after a restart', async () => {
    const place = await makePlace();
    const keys = await (async () => {
      await using store = await open(place);
      await store.createTenant(a, me);
      await store.createTenant(b, me);
      await expect(store.createTenant(a, me)).rejects.toThrow('tenant a exists');
      return [await store.createKey(a, reading, me), await store.createKey(b, reading, me)];
    })();
    const [ofA, ofB] = keys;
    if (!ofA || !ofB) throw new Error('no key was made');
    await using store = await open(place);
    expect(store.tenants()).toEqual(['a', 'b']);
    expect(store.authenticate(ofA.id, ofA.secret)).toMatchObject({ tenant: 'a', keyId: ofA.id });
    expect(store.authenticateSecret(ofB.secret)).toMatchObject({ tenant: 'b' });
    expect(store.authenticate(ofA.id, ofB.secret)).toBeUndefined();
    expect(store.authenticate('nobody', ofA.secret)).toBeUndefined();
    expect(store.authenticate(ofA.id, '')).toBeUndefined();
    expect(store.authenticateSecret('')).toBeUndefined();
    expect(store.keyOf(ofA.id)?.access.tenant).toBe('a');
    expect(store.keyOf('nobody')).toBeUndefined();
  });

  testIt('a key ends when it expires, is rotated away, is revoked, or its tenant is suspended', async () => {
    const place = await makePlace();
    const clock = heldClock(1_000_000);
    await using store = await open(place, clock);
    await store.createTenant(a, me);
    const brief = await store.createKey(a, { ...reading, expiresMs: 1_010_000 }, me);
    const old = await store.createKey(a, { ...reading, restriction: { sites: ['north'] } }, me);
    const counts = (key: { readonly secret: string }): boolean =>
      store.authenticateSecret(key.secret) !== undefined;
    expect([counts(brief), counts(old)]).toEqual([true, true]);
    const next = await store.rotateKey('a', old.id, 5_000, me);
    expect(store.authenticateSecret(next.secret)).toMatchObject({ restriction: { sites: ['north'] } });
    expect([counts(brief), counts(old)]).toEqual([true, true]);
    clock.pass(5_000);
    expect([counts(brief), counts(old), counts(next)]).toEqual([true, false, true]);
    expect(store.keyOf(old.id)).toBeUndefined();
    clock.pass(5_000);
    expect(counts(brief)).toBe(false);
    await store.suspendTenant('a', true, me);
    expect([counts(next), store.tenants()]).toEqual([false, []]);
    await store.suspendTenant('a', false, me);
    expect([counts(next), store.tenants()]).toEqual([true, ['a']]);
    await store.revokeKey('a', next.id, me);
    expect(counts(next)).toBe(false);
    await expect(store.revokeKey('a', next.id, me)).rejects.toThrow(`there is no key ${next.id}`);
    const ofKeys = new Map((await store.listKeys('a')).map((info) => [info.id, info]));
    expect(ofKeys.get(brief.id)).toMatchObject({ revokedMs: undefined, expiresMs: 1_010_000 });
    expect(ofKeys.get(old.id)).toMatchObject({ revokedMs: undefined, expiresMs: 1_005_000 });
    expect(ofKeys.get(next.id)).toMatchObject({ revokedMs: 1_010_000, expiresMs: undefined });
  });

  testIt('what one process changes the other sees at its next look', async () => {
    const place = await makePlace();
    await using one = await open(place);
    await using other = await open(place);
    await one.createTenant(a, me);
    const key = await one.createKey(a, reading, me);
    expect(other.authenticateSecret(key.secret)).toBeUndefined();
    await other.refresh();
    expect(other.authenticateSecret(key.secret)).toMatchObject({ tenant: 'a' });
    await other.revokeKey('a', key.id, me);
    await one.refresh();
    expect(one.authenticateSecret(key.secret)).toBeUndefined();
  });

  testIt('a tenant reaches no key of another, and an operator is of none', async () => {
    await using store = await open(await makePlace());
    for (const tenant of [a, b]) await store.createTenant(tenant, me);
    const ofB = await store.createKey(b, reading, me);
    await expect(store.revokeKey('a', ofB.id, me)).rejects.toThrow('there is no key');
    await expect(store.rotateKey('a', ofB.id, 0, me)).rejects.toThrow('there is no key');
    expect(await store.operatorExists()).toBe(false);
    const operator = await store.createKey(undefined, { description: '', scopes: [] }, me);
    expect(await store.operatorExists()).toBe(true);
    expect(store.authenticateSecret(operator.secret)).toMatchObject({ tenant: undefined });
    expect([...(store.authenticateSecret(operator.secret)?.scopes ?? [])]).toEqual(['operator']);
    await expect(store.createKey(tenantId('c'), reading, me)).rejects.toThrow('there is no tenant c');
  });

  testIt('every change is in the audit log, and no secret is anywhere', async () => {
    const place = await makePlace();
    const secrets: string[] = [];
    {
      await using store = await open(place, heldClock(Date.now()));
      await store.createTenant(a, me);
      const key = await store.createKey(a, reading, me);
      secrets.push(key.secret, (await store.rotateKey('a', key.id, 0, me)).secret);
      await expect(store.revokeKey('a', 'nothing', me)).rejects.toThrow();
      const log = await store.auditLog({ tenant: 'a', limit: 10 });
      expect(log.map(({ action, actor, address }) => [action, actor, address])).toEqual([
        ['rotate key', 'test', '127.0.0.1'],
        ['create key', 'test', '127.0.0.1'],
        ['create tenant', 'test', '127.0.0.1'],
      ]);
      expect(await store.auditLog({ beforeId: log[1]?.id, limit: 10 })).toEqual([log[2]]);
      await store.refused(
        { name: 'mallory', address: '10.0.0.9' },
        { action: 'log in', tenant: 'a', subject: 'x' },
      );
      const [newest] = await store.auditLog({ tenant: 'a', limit: 1 });
      expect(newest).toMatchObject({
        actor: 'mallory',
        address: '10.0.0.9',
        result: 'refused',
        subject: 'x',
      });
      const { db } = store.context;
      await expect(db.deleteFrom('audit').execute()).rejects.toThrow('append-only');
      await expect(db.updateTable('audit').set({ actor: 'nobody' }).execute()).rejects.toThrow('append-only');
      expect(await store.auditLog({ limit: 10 })).toHaveLength(4);
    }
    if (name !== 'SQLite') return;
    for (const file of readdirSync(place.directory)) {
      const path = join(place.directory, file);
      expect(statSync(path).mode & 0o077).toBe(0);
      for (const secret of secrets) expect(readFileSync(path).includes(secret)).toBe(false);
    }
  });
});

test.each([
  ['a day too young', 399, 0],
  ['a day too old', 401, 2],
])('lines of the audit log that are %s', async (_, days, removed) => {
  const directory = mkdtempSync(join(folder, 'retention-'));
  await using store = await openTenantStore({ directory, clock: heldClock(Date.now() - days * 86_400_000) });
  await store.createTenant(a, me);
  await store.createKey(a, reading, me);
  const now = { db: store.context.db, clock: heldClock(Date.now()) };
  const logger = createLogger('silent');
  await using forGood = keepAuditFor(0, now, logger);
  expect(await forGood.removeOld()).toBe(0);
  await using retention = keepAuditFor(400, now, logger);
  expect(await retention.removeOld()).toBe(removed);
  const log = await store.auditLog({ limit: 10 });
  expect(log.map(({ action }) => action)).toEqual(
    removed === 0 ? ['create key', 'create tenant'] : ['remove audit lines'],
  );
  // A line that is younger than the database lets go stays, whatever is asked for.
  await using eager = keepAuditFor(1, { ...now, clock: heldClock(Date.now() + 2 * 86_400_000) }, logger);
  if (removed > 0) await expect(eager.removeOld()).rejects.toThrow('append-only');
});

test('an audit log of an earlier version goes on: what is in it was done', async () => {
  const directory = mkdtempSync(join(folder, 'audit-'));
  const earlier = new Database(join(directory, 'tenants.db'));
  earlier.exec(`CREATE TABLE audit (id integer PRIMARY KEY AUTOINCREMENT, at_ms integer NOT NULL, actor text NOT NULL,
    address text NOT NULL, action text NOT NULL, tenant text, subject text NOT NULL, detail text NOT NULL);
    INSERT INTO audit VALUES (1, 5, 'ann', '10.0.0.1', 'create tenant', 'a', 'a', '{}')`);
  earlier.close();
  await using store = await openTenantStore({ directory, clock: heldClock(1_000) });
  await store.createTenant(a, me);
  expect((await store.auditLog({ limit: 10 })).map(({ actor, result }) => [actor, result])).toEqual([
    ['test', 'done'],
    ['ann', 'done'],
  ]);
});

test('when a key was last used is known after the end, too', async () => {
  const place = { directory: mkdtempSync(join(folder, 'used-')) };
  const key = await (async () => {
    await using store = await openTenantStore({ ...place, clock: heldClock(7_000) });
    await store.createTenant(a, me);
    const made = await store.createKey(a, reading, me);
    store.authenticateSecret(made.secret);
    return made;
  })();
  await using store = await openTenantStore({ ...place, clock: heldClock(9_000) });
  expect(await store.listKeys('a')).toMatchObject([{ id: key.id, lastUsedMs: 7_000 }]);
});

test('tenants and keys of an earlier version are taken over once', async () => {
  const directory = mkdtempSync(join(folder, 'earlier-'));
  const secret = 'a secret of an earlier version';
  const scram: unknown = JSON.parse(encodeVerifier(makeScramVerifier(secret)));
  const keys = [{ id: 'a-1', secretSha256: hashSecret(secret), scram }];
  writeFileSync(join(directory, 'tenants.json'), JSON.stringify({ format: 1, tenants: [{ id: 'a', keys }] }));
  for (let start = 0; start < 2; start++) {
    await using store = await openTenantStore({ directory });
    expect(store.authenticate('a-1', secret)).toMatchObject({ tenant: 'a' });
    expect(store.keyOf('a-1')?.verifier.iterations).toBeGreaterThan(0);
  }
  expect(readdirSync(directory).sort()).toContain('tenants.json.taken-over');
});

test.each([
  ['tenants.json', '{"format":1,'],
  ['tenants.db', 'this is no database, however long it is '.repeat(100)],
])('a damaged %s is an error, never an empty list', async (file, text) => {
  const directory = mkdtempSync(join(folder, 'damaged-'));
  writeFileSync(join(directory, file), text);
  await expect(openTenantStore({ directory })).rejects.toThrow(new RegExp(`${file} can't be read`));
});

test('a database that is not there is named, without its password', async () => {
  const database = 'postgres://firn:hush@127.0.0.1:1/firn';
  const opened = openTenantStore({ directory: folder, database });
  await expect(opened).rejects.toThrow(/--tenants-database.*can't be read/);
  await expect(opened).rejects.not.toThrow(/hush/);
});
