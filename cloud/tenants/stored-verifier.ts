import { z } from 'zod';
import type { ScramVerifier } from '../../lake/pgwire/scram.ts';

/** A SCRAM verifier as it is stored. */
export const verifierSchema = z.strictObject({
  salt: z.string(),
  iterations: z.number().int().positive(),
  storedKey: z.string(),
  serverKey: z.string(),
});

/** JSON text; bytes are base64. */
export const encodeVerifier = (verifier: ScramVerifier): string =>
  JSON.stringify({
    salt: verifier.salt.toString('base64'),
    iterations: verifier.iterations,
    storedKey: verifier.storedKey.toString('base64'),
    serverKey: verifier.serverKey.toString('base64'),
  });

export function decodeVerifier(text: string): ScramVerifier {
  const stored = verifierSchema.parse(JSON.parse(text));
  return {
    salt: Buffer.from(stored.salt, 'base64'),
    iterations: stored.iterations,
    storedKey: Buffer.from(stored.storedKey, 'base64'),
    serverKey: Buffer.from(stored.serverKey, 'base64'),
  };
}
