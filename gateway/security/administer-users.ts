import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { forgetFirstPassword } from './first-user.ts';
import { hashPassword } from './passwords.ts';
import type { Role } from './roles.ts';
import { type AuditEntry, openSecurityDatabase } from './security-database.ts';
import { checkUserName } from './user-name.ts';
import { rolesOf } from './users.ts';

/** Changes of local users by a command beside the gateway, which sees them with the next login. */
export interface UserAdministration extends Disposable {
  list(): { readonly name: string; readonly roles: readonly Role[] }[];
  add(name: string, password: string, roles: readonly Role[]): Promise<void>;
  setPassword(name: string, password: string): Promise<void>;
  setRoles(name: string, roles: readonly Role[]): void;
  remove(name: string): void;
}

/** `actor`: who does it, for the audit log. The folder must be a gateway's. All but `list` throw FirnError. */
export function administerUsers(
  dataDir: string,
  actor: string,
  clock: Pick<Clock, 'nowMs'> = systemClock,
): UserAdministration {
  const db = openSecurityDatabase(dataDir, 'durable');
  const rowOf = (name: string) => db.users().find((user) => user.name === name);
  const existing = (name: string) => rowOf(name) ?? throwUnknown(name);
  /** The change and its line, both or neither. */
  const change = (action: string, subject: string, detail: object, work: () => void): void => {
    const line: AuditEntry = { actor, address: '', action, subject, result: 'done', detail };
    db.inTransaction(() => {
      work();
      db.addLine(line, clock.nowMs());
    });
  };
  const put = (name: string, roles: string, verifier: string): void =>
    db.putUser({ name, roles, verifier }, clock.nowMs());
  return {
    list: () => db.users().map(({ name, roles }) => ({ name, roles: rolesOf(roles) })),
    add: async (name, password, roles) => {
      checkUserName(name);
      const verifier = await hashPassword(password);
      change('add user', name, { roles }, () => {
        if (rowOf(name) !== undefined) throw exists(name);
        put(name, JSON.stringify(roles), verifier);
      });
    },
    setPassword: async (name, password) => {
      existing(name);
      const verifier = await hashPassword(password);
      change('set password', name, {}, () => put(name, existing(name).roles, verifier));
      forgetFirstPassword(dataDir, name);
    },
    setRoles: (name, roles) =>
      change('set roles', name, { roles }, () => put(name, JSON.stringify(roles), existing(name).verifier)),
    remove: (name) => {
      change('remove user', name, {}, () => {
        existing(name);
        db.removeUser(name);
      });
      forgetFirstPassword(dataDir, name);
    },
    [Symbol.dispose]: db[Symbol.dispose],
  };
}

const shown = 'firn users list shows them; those of the configuration are changed there';

function throwUnknown(name: string): never {
  throw refused(name, `there is no user ${JSON.stringify(name)}`, shown);
}

const exists = (name: string): FirnError =>
  refused(
    name,
    `there is a user ${JSON.stringify(name)} already`,
    `firn users passwd ${name} gives another password, firn users roles ${name} ROLES other roles`,
  );

const refused = (subject: string, message: string, hint: string): FirnError =>
  new FirnError({ code: 'invalid', operation: 'manage users', subject, message, hint });
