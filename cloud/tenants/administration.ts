import type { Clock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { makeScramVerifier } from '../../lake/pgwire/scram.ts';
import type { Restriction, Scope, TenantScope } from './access.ts';
import { type ApiKey, hashSecret, makeApiKey } from './api-key.ts';
import type { Schema, TenantDatabase } from './database.ts';
import { encodeVerifier } from './stored-verifier.ts';

// What changes tenants and keys. Each change, the line that says who made it, and the count that tells others of it are
// one transaction.

/** Who asks for a change, for the audit log. */
export interface Actor {
  /** Id of a key, or a name of the process itself. */
  readonly name: string;
  /** Address that the request came from; empty for the process itself. */
  readonly address: string;
}

/** Keys of a tenant that count. */
export const keysPerTenantMax = 1_000;
/** Lines of the audit log in one answer. */
export const auditLinesMax = 1_000;

export interface KeySpec {
  readonly description: string;
  readonly scopes: readonly TenantScope[];
  readonly restriction?: Restriction | undefined;
  readonly expiresMs?: number | undefined;
}

export interface TenantInfo {
  readonly id: string;
  readonly createdMs: number;
  readonly suspendedMs: number | undefined;
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

export interface AuditLine {
  readonly id: number;
  readonly atMs: number;
  readonly actor: string;
  readonly address: string;
  readonly action: string;
  readonly tenant: string | undefined;
  readonly subject: string;
  readonly detail: unknown;
}

/** Throws FirnError `not-found`, `exists` or `limit`. */
export interface Administration {
  listTenants(): Promise<readonly TenantInfo[]>;
  createTenant(tenant: TenantId, actor: Actor): Promise<void>;
  /** Its keys count no more, or again; its data stays. */
  suspendTenant(tenant: string, suspended: boolean, actor: Actor): Promise<void>;
  listKeys(tenant: string): Promise<readonly KeyInfo[]>;
  /** A key of a tenant, or, without one, an operator's. `given` instead of random id and secret. */
  createKey(tenant: TenantId | undefined, spec: KeySpec, actor: Actor, given?: ApiKey): Promise<ApiKey>;
  /** Another key that may do the same; the old one counts for so long, or for less if it expires before. */
  rotateKey(tenant: string | undefined, id: string, overlapMs: number, actor: Actor): Promise<ApiKey>;
  revokeKey(tenant: string | undefined, id: string, actor: Actor): Promise<void>;
  operatorExists(): Promise<boolean>;
  /** The newest first; `beforeId` goes on where an answer ended. `tenant`: lines about it alone. */
  auditLog(asked: {
    tenant?: string | undefined;
    beforeId?: number | undefined;
    limit: number;
  }): Promise<AuditLine[]>;
}

interface Change {
  readonly action: string;
  readonly tenant: string | undefined;
  readonly subject: string;
  readonly detail?: object;
}

export function administration({
  db,
  clock,
  changed,
}: {
  readonly db: TenantDatabase;
  readonly clock: Clock;
  /** Called after each change. */
  readonly changed: () => Promise<void>;
}): Administration {
  const change = async <T>(
    actor: Actor,
    what: Change,
    work: (tx: TenantDatabase) => Promise<T>,
  ): Promise<T> => {
    const result = await db.transaction().execute(async (tx) => {
      // First of all, so that changes come one after the other.
      await tx
        .updateTable('change')
        .set((each) => ({ count: each('count', '+', 1) }))
        .execute();
      const done = await work(tx);
      const { action, tenant = null, subject, detail = {} } = what;
      const line = { action, tenant, subject, detail: JSON.stringify(detail), actor: actor.name };
      await tx
        .insertInto('audit')
        .values({ ...line, address: actor.address, at_ms: clock.nowMs() })
        .execute();
      return done;
    });
    await changed();
    return result;
  };
  const keyOf = async (
    from: TenantDatabase,
    tenant: string | undefined,
    id: string,
  ): Promise<Schema['api_key']> => {
    const found = await from.selectFrom('api_key').selectAll().where('id', '=', id).executeTakeFirst();
    // Keys of others are not there.
    if (!found || found.revoked_ms !== null || found.tenant !== (tenant ?? null)) throw noKey(id);
    return found;
  };
  return {
    listTenants: async () =>
      (await db.selectFrom('tenant').selectAll().orderBy('id').execute()).map((row) => ({
        id: row.id,
        createdMs: Number(row.created_ms),
        suspendedMs: optional(row.suspended_ms),
      })),
    createTenant: (tenant, actor) =>
      change(actor, { action: 'create tenant', tenant, subject: tenant }, async (tx) => {
        const row = { id: tenant, created_ms: clock.nowMs(), suspended_ms: null };
        const made = await tx
          .insertInto('tenant')
          .values(row)
          .onConflict((on) => on.doNothing())
          .executeTakeFirst();
        if (Number(made.numInsertedOrUpdatedRows ?? 0) === 0) throw tenantExists(tenant);
      }),
    suspendTenant: (tenant, suspended, actor) =>
      change(
        actor,
        { action: suspended ? 'suspend tenant' : 'resume tenant', tenant, subject: tenant },
        async (tx) => {
          const suspended_ms = suspended ? clock.nowMs() : null;
          const { numUpdatedRows } = await tx
            .updateTable('tenant')
            .set({ suspended_ms })
            .where('id', '=', tenant)
            .executeTakeFirst();
          if (Number(numUpdatedRows) === 0) throw noTenant(tenant);
        },
      ),
    listKeys: async (tenant) =>
      (
        await db
          .selectFrom('api_key')
          .selectAll()
          .where('tenant', '=', tenant)
          .orderBy('created_ms')
          .orderBy('id')
          .execute()
      ).map(keyInfo),
    createKey: (tenant, spec, actor, given) => {
      const key = given ?? makeApiKey(tenant ?? 'operator');
      const scopes: readonly Scope[] = tenant === undefined ? ['operator'] : spec.scopes;
      const { description, restriction, expiresMs } = spec;
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
        const { description, scopes, restriction } = old;
        const lifetimeMs =
          optional(old.expires_ms) === undefined
            ? undefined
            : Number(old.expires_ms) - Number(old.created_ms);
        const expires_ms = lifetimeMs === undefined ? null : clock.nowMs() + lifetimeMs;
        const more = {
          tenant: old.tenant,
          description,
          scopes,
          restriction,
          created_ms: clock.nowMs(),
          expires_ms,
        };
        await insertKey(tx, key, more);
        const until = Math.min(
          clock.nowMs() + overlapMs,
          optional(old.expires_ms) ?? Number.POSITIVE_INFINITY,
        );
        await tx.updateTable('api_key').set({ expires_ms: until }).where('id', '=', id).execute();
        return key;
      }),
    revokeKey: (tenant, id, actor) =>
      change(actor, { action: 'revoke key', tenant, subject: id }, async (tx) => {
        await keyOf(tx, tenant, id);
        await tx.updateTable('api_key').set({ revoked_ms: clock.nowMs() }).where('id', '=', id).execute();
      }),
    operatorExists: async () =>
      (await db
        .selectFrom('api_key')
        .select('id')
        .where('tenant', 'is', null)
        .where('revoked_ms', 'is', null)
        .executeTakeFirst()) !== undefined,
    auditLog: async ({ tenant, beforeId, limit }) => {
      let query = db
        .selectFrom('audit')
        .selectAll()
        .orderBy('id', 'desc')
        .limit(Math.min(limit, auditLinesMax));
      if (tenant !== undefined) query = query.where('tenant', '=', tenant);
      if (beforeId !== undefined) query = query.where('id', '<', beforeId);
      return (await query.execute()).map((row) => ({
        ...{ id: Number(row.id), atMs: Number(row.at_ms), actor: row.actor, address: row.address },
        ...{ action: row.action, tenant: row.tenant ?? undefined, subject: row.subject },
        detail: JSON.parse(row.detail) as unknown,
      }));
    },
  };
}

const optional = (value: number | string | null): number | undefined =>
  value === null ? undefined : Number(value);

const keyInfo = (row: Schema['api_key']): KeyInfo => ({
  ...{ id: row.id, tenant: row.tenant ?? undefined, description: row.description },
  scopes: JSON.parse(row.scopes) as Scope[],
  restriction: row.restriction === null ? undefined : (JSON.parse(row.restriction) as Restriction),
  ...{ createdMs: Number(row.created_ms), expiresMs: optional(row.expires_ms) },
  ...{ revokedMs: optional(row.revoked_ms), lastUsedMs: optional(row.last_used_ms) },
});

type KeyRow = Omit<Schema['api_key'], 'id' | 'secret_sha256' | 'scram' | 'revoked_ms' | 'last_used_ms'>;

async function insertKey(tx: TenantDatabase, key: ApiKey, row: KeyRow): Promise<void> {
  const secrets = {
    secret_sha256: hashSecret(key.secret),
    scram: encodeVerifier(makeScramVerifier(key.secret)),
  };
  await tx
    .insertInto('api_key')
    .values({ ...row, id: key.id, ...secrets, revoked_ms: null, last_used_ms: null })
    .execute();
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
    hint: 'revoke keys that nobody uses: see lastUsed in their list',
  });
}

const noKey = (id: string): FirnError =>
  new FirnError({
    ...{ code: 'not-found', operation: 'find key', subject: id, message: `there is no key ${id}` },
    hint: 'list the keys of the tenant',
  });

const noTenant = (tenant: string): FirnError =>
  new FirnError({
    ...{
      code: 'not-found',
      operation: 'find tenant',
      subject: tenant,
      message: `there is no tenant ${tenant}`,
    },
    hint: 'list the tenants, or create it',
  });

const tenantExists = (tenant: string): FirnError =>
  new FirnError({
    ...{ code: 'conflict', operation: 'create tenant', subject: tenant, message: `tenant ${tenant} exists` },
    hint: 'create a key for it',
  });
