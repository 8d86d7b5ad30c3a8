import { createHmac } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { type TenantId, tenantId } from '../../lake/model/ids.ts';
import { makeScramVerifier, type ScramVerifier } from '../../lake/pgwire/scram.ts';
import { type ApiKey, hashSecret, makeApiKey, secretMatches } from './api-key.ts';

// Tenants and their API keys, in one file that only the owner can read. Secrets are not in it: a hash for HTTP and a
// SCRAM verifier for the PostgreSQL protocol.

const verifierSchema = z.strictObject({
  salt: z.string(),
  iterations: z.number().int().positive(),
  storedKey: z.string(),
  serverKey: z.string(),
});
const keySchema = z.strictObject({ id: z.string(), secretSha256: z.string(), scram: verifierSchema });
const fileSchema = z.strictObject({
  format: z.literal(1),
  tenants: z.array(z.strictObject({ id: z.string(), keys: z.array(keySchema) })),
});
type TenantFile = z.infer<typeof fileSchema>;

export interface TenantStore {
  tenants(): readonly TenantId[];
  /** The tenant of a key, or undefined when the id or the secret is wrong. */
  authenticate(keyId: string, secret: string): TenantId | undefined;
  /** The tenant of a secret alone; secrets are unique and can't be guessed. */
  authenticateSecret(secret: string): TenantId | undefined;
  /** The tenant and SCRAM verifier of a key id. */
  keyOf(keyId: string): { readonly tenant: TenantId; readonly verifier: ScramVerifier } | undefined;
  /** Signs a text (HMAC-SHA-256) with what is stored of a key; undefined for a key that does not exist. */
  sign(keyId: string, text: string): Buffer | undefined;
  /** Makes the tenant with one key (a random one if none is given) and returns it; undefined when the tenant exists. */
  create(tenant: TenantId, given?: ApiKey): ApiKey | undefined;
}

/** Opens `tenants.json` in a folder; a file that can't be read is an error, never an empty list. */
export function openTenantStore(directory: string): TenantStore {
  const path = join(directory, 'tenants.json');
  let file: TenantFile = existsSync(path) ? read(path) : { format: 1, tenants: [] };
  let keys = index(file);
  return {
    tenants: () => file.tenants.map((tenant) => tenantId(tenant.id)),
    authenticate: (keyId, secret) => {
      const key = keys.get(keyId);
      return key && secretMatches(secret, key.secretSha256) ? key.tenant : undefined;
    },
    authenticateSecret: (secret) => {
      const hash = hashSecret(secret);
      return keys.values().find((key) => key.secretSha256 === hash)?.tenant;
    },
    keyOf: (keyId) => {
      const key = keys.get(keyId);
      return key && { tenant: key.tenant, verifier: decodeVerifier(key.scram) };
    },
    sign: (keyId, text) => {
      const key = keys.get(keyId);
      return key && createHmac('sha256', key.secretSha256).update(text).digest();
    },
    create: (tenant, given) => {
      if (file.tenants.some((existing) => existing.id === tenant)) return undefined;
      const key = given ?? makeApiKey(tenant);
      const scram = encodeVerifier(makeScramVerifier(key.secret));
      const stored = { id: key.id, secretSha256: hashSecret(key.secret), scram };
      const next: TenantFile = { ...file, tenants: [...file.tenants, { id: tenant, keys: [stored] }] };
      writeSecretFile(path, `${JSON.stringify(next, null, 2)}\n`);
      file = next;
      keys = index(next);
      return key;
    },
  };
}

function index(file: TenantFile): Map<string, z.infer<typeof keySchema> & { readonly tenant: TenantId }> {
  return new Map(
    file.tenants.flatMap(({ id, keys }) =>
      keys.map((key) => [key.id, { ...key, tenant: tenantId(id) }] as const),
    ),
  );
}

function read(path: string): TenantFile {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw new FirnError({
      code: 'corrupt',
      operation: 'read tenants',
      subject: path,
      message: `${path} can't be read: ${messageOf(cause).split('\n')[0]}`,
      hint: 'restore it from a backup; the data of its tenants is not touched',
      cause,
    });
  }
}

const encodeVerifier = (verifier: ScramVerifier): z.infer<typeof verifierSchema> => ({
  salt: verifier.salt.toString('base64'),
  iterations: verifier.iterations,
  storedKey: verifier.storedKey.toString('base64'),
  serverKey: verifier.serverKey.toString('base64'),
});

const decodeVerifier = (stored: z.infer<typeof verifierSchema>): ScramVerifier => ({
  salt: Buffer.from(stored.salt, 'base64'),
  iterations: stored.iterations,
  storedKey: Buffer.from(stored.storedKey, 'base64'),
  serverKey: Buffer.from(stored.serverKey, 'base64'),
});

/** Durable, whole or not at all, and readable by its owner alone. */
export function writeSecretFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.tmp`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
