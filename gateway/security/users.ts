import { z } from 'zod';
import { FirnError } from '../../lake/base/errors.ts';
import { parseVerifier, type ScramVerifier } from '../../lake/pgwire/scram.ts';
import { type Role, roles } from './roles.ts';
import type { SecurityDatabase } from './security-database.ts';

export interface LocalUser {
  readonly name: string;
  readonly roles: ReadonlySet<Role>;
  readonly verifier: ScramVerifier;
  /** Changes with the password. */
  readonly stored: string;
}

/** A user as the configuration gives it. */
export interface GivenUser {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly verifier: string;
}

/** Users of the configuration, and those of security.db as they are now. */
export interface Users extends Disposable {
  find(name: string): LocalUser | undefined;
  /** Called within `lookMs` after somebody has changed them. */
  onChange(listener: () => void): Disposable;
}

const lookMs = 2000;
const rolesSchema = z.array(z.enum(roles));

export function openUsers(
  db: Pick<SecurityDatabase, 'version' | 'users'>,
  given: readonly GivenUser[],
): Users {
  const configured = given.map(userOf);
  const listeners = new Set<() => void>();
  let seen = db.version();
  let byName = read();
  function read(): Map<string, LocalUser> {
    const kept = db.users().map((row) => userOf({ ...row, roles: rolesOf(row.roles) }));
    return new Map([...kept, ...configured].map((user) => [user.name, user]));
  }
  const look = (): void => {
    const version = db.version();
    if (version === seen) return;
    byName = read();
    seen = version;
    for (const listener of listeners) listener();
  };
  const timer = setInterval(look, lookMs);
  timer.unref();
  return {
    find: (name) => {
      look();
      return byName.get(name);
    },
    onChange: (listener) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

export const rolesOf = (text: string): Role[] => rolesSchema.parse(JSON.parse(text));

const userOf = ({ name, roles: has, verifier }: GivenUser): LocalUser => ({
  ...{ name, roles: new Set(has), verifier: parseVerifier(verifier), stored: verifier },
});

/** `read,ingest`, as it is typed. Throws FirnError `invalid`. */
export function parseRoles(text: string): Role[] {
  const result = rolesSchema.min(1).safeParse(text.split(',').filter((each) => each !== ''));
  if (result.success) return [...new Set(result.data)];
  throw new FirnError({
    ...{ code: 'invalid', operation: 'read roles', subject: '--roles' },
    message: `--roles: ${JSON.stringify(text)} is not a list of roles`,
    hint: `the roles are ${roles.join(', ')}, for example --roles read,ingest`,
  });
}
