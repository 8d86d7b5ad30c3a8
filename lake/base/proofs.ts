import { createHmac, randomBytes } from 'node:crypto';

/** Checks a proof; `stored` is what is kept of the right one, undefined for a name that is not there. */
export type CheckProof = (
  name: string,
  stored: string | undefined,
  proof: Uint8Array,
  check: () => Promise<boolean>,
) => Promise<boolean>;

/**
 * Remembers the last right proof of each name, as a keyed digest, so that a thousand devices that come back at once do not
 * cost a derivation each. A proof that is being checked is not checked twice.
 */
export function createProofMemory(): CheckProof {
  const key = randomBytes(32);
  const right = new Map<string, string>();
  const checking = new Map<string, Promise<boolean>>();
  return async (name, stored, proof, check) => {
    // A name that is not there takes as long as a wrong proof.
    if (stored === undefined) return (await check()) && false;
    const digest = createHmac('sha256', key).update(stored).update('\0').update(proof).digest('base64');
    if (right.get(name) === digest) return true;
    const known = checking.get(digest);
    if (known !== undefined) return known;
    const checked = check().finally(() => checking.delete(digest));
    checking.set(digest, checked);
    const matches = await checked;
    if (matches) right.set(name, digest);
    return matches;
  };
}
