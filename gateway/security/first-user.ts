import { randomInt } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import { hashPassword } from './passwords.ts';
import { type SecurityDatabase, securityFolder } from './security-database.ts';

// No gateway has a password that another has: where credentials are needed and no user is there, the first start makes a
// user and keeps the password in a file until it is changed.

const firstPasswordPath = (dataDir: string): string => join(securityFolder(dataDir), 'first-password');

/** No letters that look alike; 16 of them are 79 random bits. */
const letters = 'abcdefghjkmnpqrstuvwxyz23456789';
const lettersCount = 16;

export const makePassword = (): string =>
  Array.from({ length: lettersCount }, () => letters[randomInt(letters.length)]).join('');

/** The file is written first, so that nobody has a password that is nowhere. */
export async function makeFirstUser(
  db: SecurityDatabase,
  dataDir: string,
  name: string,
  nowMs: number,
): Promise<{ readonly name: string; readonly file: string } | undefined> {
  if (db.users().length > 0) return undefined;
  const file = firstPasswordPath(dataDir);
  const password = makePassword();
  writeSecretFile(file, `${name}:${password}\n`);
  const verifier = await hashPassword(password);
  db.inTransaction(() => {
    db.putUser({ name, roles: JSON.stringify(['admin']), verifier }, nowMs);
    db.addLine(
      {
        actor: 'first start',
        address: '',
        action: 'add user',
        subject: name,
        result: 'done',
        detail: { roles: ['admin'] },
      },
      nowMs,
    );
  });
  return { name, file };
}

/** The first user and its password, while they are in use. */
export function readFirstUser(
  dataDir: string,
): { readonly name: string; readonly password: string } | undefined {
  const file = firstPasswordPath(dataDir);
  if (!existsSync(file)) return undefined;
  const [name = '', password = ''] = readFileSync(file, 'utf8').trim().split(':');
  return { name, password };
}

/** After its password was changed, or it was removed. */
export function forgetFirstPassword(dataDir: string, name: string): void {
  if (readFirstUser(dataDir)?.name === name) rmSync(firstPasswordPath(dataDir));
}
