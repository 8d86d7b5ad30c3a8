import { timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { Access } from './access.ts';
import type { Directory } from './directory.ts';

// Short-lived tokens that stand for a key, for clients that ask for one (OAuth2 client credentials). Nothing is stored: a
// token is signed with what the tenant file holds of the key, so that it ends with its time or with the key, and every
// cloud process over the same file knows it.

const tokenPrefix = 'fat_';
const claimsJson = z.strictObject({ key: z.string(), expiresMs: z.number() });

type Keys = Pick<Directory, 'keyOf' | 'sign'>;

/** A token for a key that exists; undefined for one that doesn't. */
export function makeAccessToken(keys: Keys, key: string, expiresMs: number): string | undefined {
  const claims = Buffer.from(JSON.stringify({ key, expiresMs })).toString('base64url');
  const signature = keys.sign(key, claims);
  return signature && `${tokenPrefix}${claims}.${signature.toString('base64url')}`;
}

export const isAccessToken = (text: string): boolean => text.startsWith(tokenPrefix);

/** What the key that a token stands for may do; undefined when it is none, or is over. */
export function openAccessToken(keys: Keys, token: string, nowMs: number): Access | undefined {
  const [claims = '', signature = ''] = token.slice(tokenPrefix.length).split('.');
  const parsed = isAccessToken(token) ? claimsJson.safeParse(jsonOf(claims)) : undefined;
  if (!parsed?.success || parsed.data.expiresMs <= nowMs) return undefined;
  const { key } = parsed.data;
  const expected = keys.sign(key, claims);
  const given = Buffer.from(signature, 'base64url');
  const access = keys.keyOf(key)?.access;
  if (!expected || access === undefined || given.length !== expected.length) return undefined;
  return timingSafeEqual(given, expected) ? access : undefined;
}

function jsonOf(base64url: string): unknown {
  try {
    return JSON.parse(Buffer.from(base64url, 'base64url').toString());
  } catch {
    return undefined;
  }
}
