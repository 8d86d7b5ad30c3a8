import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** An API key as its owner sees it, once: an id that may be shown and a secret that may not. */
export interface ApiKey {
  readonly id: string;
  readonly secret: string;
}

/** `<tenant>-<8 hex>` and `frn_` plus 32 random bytes. */
export function makeApiKey(tenant: string): ApiKey {
  return {
    id: `${tenant}-${randomBytes(4).toString('hex')}`,
    secret: `frn_${randomBytes(32).toString('base64url')}`,
  };
}

/** What is stored of a secret: it has 256 random bits, so a plain SHA-256 can't be searched. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** Compares a secret with a stored hash in constant time. */
export function secretMatches(secret: string, storedHash: string): boolean {
  const given = Buffer.from(hashSecret(secret), 'hex');
  const stored = Buffer.from(storedHash, 'hex');
  return given.length === stored.length && timingSafeEqual(given, stored);
}
