import { createHash, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { FirnError } from '../../../lake/base/errors.ts';
import { createProofMemory } from '../../../lake/base/proofs.ts';

// Users and their passwords, in the format of mosquitto_passwd: `name:$7$iterations$salt$hash` (PBKDF2 with SHA-512), and
// the older `name:$6$salt$hash` (salted SHA-512). Either program can read what the other has written.

/** By name, each with the text after its colon. */
export type Users = ReadonlyMap<string, string>;

const derive = promisify(pbkdf2);
const hashBytes = 64;
const saltBytes = 16;
/** mosquitto_passwd takes 101; these are for passwords that people choose, and still quick on a small machine. */
const iterations = 20_000;
const iterationsMax = 10_000_000;

/** Throws FirnError `invalid` that names the line. */
export function parseUsers(text: string, path: string): Users {
  const users = new Map<string, string>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon));
    const hash = line.slice(colon + 1);
    if (name === '') throw wrongLine(path, index, 'a line is NAME:HASH');
    if (users.has(name)) throw wrongLine(path, index, `the user ${name} is there twice`);
    if (readHash(hash) === undefined)
      throw wrongLine(path, index, `the hash of ${name} is neither $7$iterations$salt$hash nor $6$salt$hash`);
    users.set(name, hash);
  }
  return users;
}

export const formatUsers = (users: Users): string =>
  [...users].map(([name, hash]) => `${name}:${hash}\n`).join('');

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(saltBytes);
  const hash = await derive(password, salt, iterations, hashBytes, 'sha512');
  return `$7$${iterations}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

interface Hash {
  readonly iterations: number | undefined;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

function readHash(text: string): Hash | undefined {
  const match = /^\$(?:7\$(\d{1,8})|6)\$([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*)$/.exec(text);
  if (match === null) return undefined;
  const [, count, salt = '', hash = ''] = match;
  const found = { salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') };
  if (found.hash.length !== hashBytes) return undefined;
  const wanted = count === undefined ? undefined : Number(count);
  if (wanted !== undefined && (wanted < 1 || wanted > iterationsMax)) return undefined;
  return { iterations: wanted, ...found };
}

/** Checks passwords. */
export function createPasswordCheck() {
  const proofs = createProofMemory();
  return (users: Users, name: string, password: Uint8Array): Promise<boolean> => {
    const stored = users.get(name);
    const { iterations: count, salt, hash } = readHash(stored ?? nobody) as Hash;
    return proofs(name, stored, password, async () => {
      const derived =
        count === undefined
          ? createHash('sha512').update(password).update(salt).digest()
          : await derive(password, salt, count, hashBytes, 'sha512');
      return timingSafeEqual(derived, hash);
    });
  };
}

const nobody = `$7$${iterations}$${Buffer.alloc(saltBytes).toString('base64')}$${Buffer.alloc(hashBytes).toString('base64')}`;

const wrongLine = (path: string, index: number, message: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'read MQTT users', subject: `${path}:${index + 1}` },
    message: `${path}, line ${index + 1}: ${message}`,
    hint: 'firn mqtt user add, or mosquitto_passwd, writes such lines',
  });
