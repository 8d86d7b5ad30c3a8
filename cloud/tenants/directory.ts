import { createHmac } from 'node:crypto';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import { repeat } from '../../lake/base/repeat.ts';
import { type TenantId, tenantId } from '../../lake/model/ids.ts';
import type { ScramVerifier } from '../../lake/pgwire/scram.ts';
import { type Access, restrictionSchema, type Scope, tenantOf } from './access.ts';
import { hashSecret, secretMatches } from './api-key.ts';
import type { TenantDatabase } from './database.ts';
import { decodeVerifier } from './stored-verifier.ts';

// All tenants and keys in memory, so that a request is let in or refused without a question to the database, and also
// while that can't be reached. A look at one number every two seconds tells whether the copy is old: a key that is
// revoked anywhere is refused everywhere within revocationMsMax.

/** Between two looks for changes that another process made. */
const lookIntervalMs = 2_000;
/** When keys were last used is written so often. */
const usedIntervalMs = 60_000;

interface KnownKey {
  readonly access: Access;
  readonly secretSha256: string;
  readonly scram: string;
  readonly expiresMs: number | undefined;
}

interface Copy {
  readonly count: number;
  readonly tenants: readonly TenantId[];
  readonly byId: ReadonlyMap<string, KnownKey>;
  readonly bySecret: ReadonlyMap<string, KnownKey>;
}

export interface Directory extends AsyncDisposable {
  /** Tenants that are not suspended. */
  tenants(): readonly TenantId[];
  /** What a key may do; undefined when id or secret is wrong, or the key or its tenant no longer counts. */
  authenticate(keyId: string, secret: string): Access | undefined;
  /** The same by the secret alone; secrets are unique and can't be guessed. */
  authenticateSecret(secret: string): Access | undefined;
  /** For the PostgreSQL protocol: what proves that a client knows the secret. */
  keyOf(keyId: string): { readonly access: Access; readonly verifier: ScramVerifier } | undefined;
  /** Whose a key is that counts; undefined also for an operator's. */
  tenantOf(keyId: string): TenantId | undefined;
  /** Whether a key of this id still counts. */
  counts(keyId: string): boolean;
  /** Signs a text (HMAC-SHA-256) with what is stored of a key; undefined for a key that does not count. */
  sign(keyId: string, text: string): Buffer | undefined;
  /** Calls the listener after each look for changes; keys may have ended meanwhile. */
  onLook(listener: () => void): void;
  /** Looks for changes now. */
  refresh(): Promise<void>;
}

/** Reads everything, and then goes on looking for changes. Rejects when the first reading fails. */
export async function openDirectory(options: {
  readonly db: TenantDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
}): Promise<Directory> {
  const { db, clock, logger } = options;
  let copy = await readAll(db);
  const used = new Map<string, number>();
  const listeners: (() => void)[] = [];
  const refresh = async (): Promise<void> => {
    if ((await countOf(db)) !== copy.count) copy = await readAll(db);
    for (const listener of listeners) listener();
  };
  let usedWrittenMs = clock.monotonicMs();
  const failing = 'tenants and keys are as last seen';
  const looking = repeat({ clock, logger, everyMs: lookIntervalMs, failing }, async () => {
    await refresh();
    if (clock.monotonicMs() - usedWrittenMs < usedIntervalMs) return;
    usedWrittenMs = clock.monotonicMs();
    await writeUsed(db, used);
  });
  const valid = (key: KnownKey | undefined): key is KnownKey =>
    key !== undefined && (key.expiresMs === undefined || clock.nowMs() < key.expiresMs);
  const note = (key: KnownKey): Access => {
    used.set(key.access.keyId, clock.nowMs());
    return key.access;
  };
  return {
    tenants: () => copy.tenants,
    authenticate: (keyId, secret) => {
      const key = copy.byId.get(keyId);
      // An unknown id costs the same comparison as a known one.
      return secretMatches(secret, key?.secretSha256 ?? nobodysHash) && valid(key) ? note(key) : undefined;
    },
    authenticateSecret: (secret) => {
      const key = copy.bySecret.get(hashSecret(secret));
      return valid(key) ? note(key) : undefined;
    },
    keyOf: (keyId) => {
      const key = copy.byId.get(keyId);
      return valid(key) ? { access: note(key), verifier: decodeVerifier(key.scram) } : undefined;
    },
    tenantOf: (keyId) => copy.byId.get(keyId)?.access.tenant,
    counts: (keyId) => valid(copy.byId.get(keyId)),
    sign: (keyId, text) => {
      const key = copy.byId.get(keyId);
      return valid(key) ? createHmac('sha256', key.secretSha256).update(text).digest() : undefined;
    },
    onLook: (listener) => void listeners.push(listener),
    refresh,
    [Symbol.asyncDispose]: async () => {
      await looking[Symbol.asyncDispose]();
      await writeUsed(db, used).catch(() => undefined);
    },
  };
}

async function writeUsed(db: TenantDatabase, used: Map<string, number>): Promise<void> {
  const times = [...used];
  used.clear();
  for (const [id, last_used_ms] of times)
    await db.updateTable('api_key').set({ last_used_ms }).where('id', '=', id).execute();
}

const nobodysHash = '0'.repeat(64);

async function countOf(db: Pick<TenantDatabase, 'selectFrom'>): Promise<number> {
  return Number((await db.selectFrom('change').select('count').executeTakeFirstOrThrow()).count);
}

/** Keys that are revoked, and keys of suspended tenants, are not in it. */
async function readAll(db: TenantDatabase): Promise<Copy> {
  // The number first: a change between the two readings is then seen at the next look.
  const count = await countOf(db);
  const tenants = await db
    .selectFrom('tenant')
    .select('id')
    .where('suspended_ms', 'is', null)
    .orderBy('id')
    .execute();
  const active = new Set(tenants.map(({ id }) => id));
  const rows = await db.selectFrom('api_key').selectAll().where('revoked_ms', 'is', null).execute();
  const keys = rows
    .filter(({ tenant }) => tenant === null || active.has(tenant))
    .map((row): KnownKey => {
      const scopes = new Set(JSON.parse(row.scopes) as Scope[]);
      const restriction =
        row.restriction === null ? undefined : restrictionSchema.parse(JSON.parse(row.restriction));
      return {
        access: { keyId: row.id, tenant: tenantOf(row.tenant), scopes, restriction },
        secretSha256: row.secret_sha256,
        scram: row.scram,
        expiresMs: row.expires_ms === null ? undefined : Number(row.expires_ms),
      };
    });
  return {
    count,
    tenants: tenants.map(({ id }) => tenantId(id)),
    byId: new Map(keys.map((key) => [key.access.keyId, key])),
    bySecret: new Map(keys.map((key) => [key.secretSha256, key])),
  };
}
