import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { FleetDatabase } from './fleet-database.ts';

// Challenges and tokens: texts that the cloud knows again by its signature (HMAC-SHA-256), so that nothing is stored of
// them and each cloud over the same database takes them.

export interface Tokens {
  seal(kind: string, claims: object, expiresMs: number): string;
  /** The claims; undefined when it is not one of this kind, or is over. */
  open<T>(kind: string, schema: z.ZodType<T>, token: string, nowMs: number): T | undefined;
}

const sealedSchema = z.object({ kind: z.string(), expiresMs: z.number(), claims: z.unknown() });

export async function openTokens(db: FleetDatabase): Promise<Tokens> {
  const { secret } = await db.selectFrom('fleet_secret').select('secret').executeTakeFirstOrThrow();
  const signatureOf = (text: string): Buffer => createHmac('sha256', secret).update(text).digest();
  return {
    seal: (kind, claims, expiresMs) => {
      const text = Buffer.from(JSON.stringify({ kind, expiresMs, claims })).toString('base64url');
      return `${text}.${signatureOf(text).toString('base64url')}`;
    },
    open: (kind, schema, token, nowMs) => {
      const [text = '', signature = ''] = token.split('.');
      const given = Buffer.from(signature, 'base64url');
      const expected = signatureOf(text);
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
      const sealed = sealedSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
      if (sealed.kind !== kind || sealed.expiresMs <= nowMs) return undefined;
      return schema.safeParse(sealed.claims).data;
    },
  };
}
