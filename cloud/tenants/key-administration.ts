import { FirnError } from '../../lake/base/errors.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { makeScramVerifier } from '../../lake/pgwire/scram.ts';
import type { Restriction, Scope, TenantScope } from './access.ts';
import { type ApiKey, hashSecret, makeApiKey } from './api-key.ts';
import { type Actor, type ChangeContext, optionalMs } from './changes.ts';
import type { Schema, TenantDatabase } from './database.ts';
import { encodeVerifier } from './stored-verifier.ts';
import { noTenant } from './tenant-administration.ts';

/** Keys of a tenant that are not revoked. */
const keysPerTenantMax = 1_000;

interface KeySpec {
  readonly description: string;
  readonly scopes: readonly TenantScope[];
  readonly restriction?: Restriction | undefined;
  readonly expiresMs?: number | undefined;
}

/** What may be shown of a key. */
export interface KeyInfo {
  readonly id: string;
  readonly tenant: string | undefined;
  readonly description: string;
  readonly scopes: readonly Scope[];
  readonly restriction: Restriction | undefined;
  readonly createdMs: number;
  readonly expiresMs: number | undefined;
  readonly revokedMs: number | undefined;
  readonly lastUsedMs: number | undefined;
}

/** Throws FirnError `not-found` or `limit`. */
export interface KeyAdministration {
  listKeys(tenant: string): Promise<readonly KeyInfo[]>;
  /** A key of a tenant, or, without one, an operator's. `given` instead of random id and secret. */
  createKey(tenant: TenantId | undefined, spec: KeySpec, actor: Actor, given?: ApiKey): Promise<ApiKey>;
  /** Another key that may do the same; the old one counts for so long, or for less if it expires before. */
  rotateKey(tenant: string | undefined, id: string, overlapMs: number, actor: Actor): Promise<ApiKey>;
  revokeKey(tenant: string | undefined, id: string, actor: Actor): Promise<void>;
  operatorExists(): Promise<boolean>;
}

export function keyAdministration({ db, clock, change }: ChangeContext): KeyAdministration {
  return {
    listKeys: async (tenant) => {
      const keys = db.selectFrom('api_key').selectAll().where('tenant', '=', tenant);
      return (await keys.orderBy('created_ms').orderBy('id').execute()).map(keyInfo);
    },
    createKey: (tenant, { description, scopes: asked, restriction, expiresMs }, actor, given) => {
      const key = given ?? makeApiKey(tenant ?? 'operator');
      const scopes: readonly Scope[] = tenant === undefined ? ['operator'] : asked;
      const detail = { description, scopes, restriction, expiresMs };
      return change(actor, { action: 'create key', tenant, subject: key.id, detail }, async (tx) => {
        if (tenant !== undefined) await checkRoom(tx, tenant);
        await insertKey(tx, key, {
          ...{ tenant: tenant ?? null, description, scopes: JSON.stringify(scopes) },
          restriction: restriction === undefined ? null : JSON.stringify(restriction),
          ...{ created_ms: clock.nowMs(), expires_ms: expiresMs ?? null },
        });
        return key;
      });
    },
    rotateKey: (tenant, id, overlapMs, actor) =>
      change(actor, { action: 'rotate key', tenant, subject: id, detail: { overlapMs } }, async (tx) => {
        const old = await keyOf(tx, tenant, id);
        const key = makeApiKey(tenant ?? 'operator');
        const created_ms = clock.nowMs();
        const oldEndMs = optionalMs(old.expires_ms);
        // It lives as long as the old one was to.
        const expires_ms = oldEndMs === undefined ? null : created_ms + oldEndMs - Number(old.created_ms);
        const { description, scopes, restriction } = old;
        await insertKey(tx, key, {
          tenant: old.tenant,
          description,
          scopes,
          restriction,
          created_ms,
          expires_ms,
        });
        const endMs = Math.min(created_ms + overlapMs, oldEndMs ?? Number.POSITIVE_INFINITY);
        await tx.updateTable('api_key').set({ expires_ms: endMs }).where('id', '=', id).execute();
        return key;
      }),
    revokeKey: (tenant, id, actor) =>
      change(actor, { action: 'revoke key', tenant, subject: id }, async (tx) => {
        await keyOf(tx, tenant, id);
        await tx.updateTable('api_key').set({ revoked_ms: clock.nowMs() }).where('id', '=', id).execute();
      }),
    operatorExists: async () => {
      const keys = db.selectFrom('api_key').select('id').where('tenant', 'is', null);
      return (await keys.where('revoked_ms', 'is', null).executeTakeFirst()) !== undefined;
    },
  };
}

/** Keys of others are not there. */
async function keyOf(tx: TenantDatabase, tenant: string | undefined, id: string): Promise<Schema['api_key']> {
  const found = await tx.selectFrom('api_key').selectAll().where('id', '=', id).executeTakeFirst();
  if (found && found.revoked_ms === null && found.tenant === (tenant ?? null)) return found;
  throw new FirnError({
    ...{ code: 'not-found', operation: 'find key', subject: id, message: `there is no key ${id}` },
    hint: 'list the keys of the tenant',
  });
}

const keyInfo = (row: Schema['api_key']): KeyInfo => ({
  ...{ id: row.id, tenant: row.tenant ?? undefined, description: row.description },
  scopes: JSON.parse(row.scopes) as Scope[],
  restriction: row.restriction === null ? undefined : (JSON.parse(row.restriction) as Restriction),
  ...{ createdMs: Number(row.created_ms), expiresMs: optionalMs(row.expires_ms) },
  ...{ revokedMs: optionalMs(row.revoked_ms), lastUsedMs: optionalMs(row.last_used_ms) },
});

type KeyRow = Omit<Schema['api_key'], 'id' | 'secret_sha256' | 'scram' | 'revoked_ms' | 'last_used_ms'>;

async function insertKey(tx: TenantDatabase, { id, secret }: ApiKey, row: KeyRow): Promise<void> {
  const secrets = { secret_sha256: hashSecret(secret), scram: encodeVerifier(makeScramVerifier(secret)) };
  const whole = { ...row, id, ...secrets, revoked_ms: null, last_used_ms: null };
  await tx.insertInto('api_key').values(whole).execute();
}

async function checkRoom(tx: TenantDatabase, tenant: string): Promise<void> {
  const found = await tx.selectFrom('tenant').select('id').where('id', '=', tenant).executeTakeFirst();
  if (!found) throw noTenant(tenant);
  const { count } = await tx
    .selectFrom('api_key')
    .select((each) => each.fn.countAll().as('count'))
    .where('tenant', '=', tenant)
    .where('revoked_ms', 'is', null)
    .executeTakeFirstOrThrow();
  if (Number(count) < keysPerTenantMax) return;
  throw new FirnError({
    ...{ code: 'limit', operation: 'create key', subject: tenant },
    message: `tenant ${tenant} has ${keysPerTenantMax} keys (keysPerTenantMax)`,
    hint: 'revoke keys that nobody uses: see lastUsedAt in their list',
  });
}
