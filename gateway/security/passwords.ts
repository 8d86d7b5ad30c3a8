import { randomBytes } from 'node:crypto';
import { createProofMemory } from '../../lake/base/proofs.ts';
import { decoyVerifier, isSecretOf, makePasswordVerifier, printVerifier } from '../../lake/pgwire/scram.ts';
import { deviceUserName, isDeviceSecret } from './device-secret.ts';
import type { Role } from './roles.ts';
import type { Users } from './users.ts';

/** For passwords that people choose, and still quick on a small machine. */
export const passwordIterations = 20_000;

/** What is stored of a password: PostgreSQL's SCRAM verifier, from which it can't be had. */
export const hashPassword = async (password: string): Promise<string> =>
  printVerifier(await makePasswordVerifier(password, passwordIterations));

/** Who has proved to be somebody. */
export interface Known {
  readonly name: string;
  readonly roles: ReadonlySet<Role>;
  /** Changes with the password. */
  readonly stored: string;
}

/** Undefined: there is no such user, or the password is another; which, takes the same time. */
export type Prove = (name: string, password: Uint8Array) => Promise<Known | undefined>;

const allRoles: ReadonlySet<Role> = new Set(['admin']);

/** Checks names and passwords of local users and of the device itself. One derivation runs at a time: they can be asked for by anybody. */
export function openPasswords(users: Pick<Users, 'find'>, secretOfDevice: string): Prove {
  const proofs = createProofMemory();
  const decoy = decoyVerifier('', randomBytes(32), passwordIterations);
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = (check: () => Promise<boolean>): Promise<boolean> => {
    const turn = last.then(check);
    last = turn.catch(() => undefined);
    return turn;
  };
  return async (name, password) => {
    if (name === deviceUserName)
      return isDeviceSecret(secretOfDevice, password) ? { name, roles: allRoles, stored: '' } : undefined;
    const user = users.find(name);
    const text = Buffer.from(password).toString().normalize('NFKC');
    const matches = await proofs(name, user?.stored, password, () =>
      inTurn(() => isSecretOf(user?.verifier ?? decoy, text)),
    );
    return matches ? user : undefined;
  };
}
