import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

// What somebody sends to prove who they are is compared in constant time. That can't be seen by a clock on a busy machine,
// so it is read from the source: where proofs are decided upon, and how.

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Where a proof is compared with what is kept, and of what. */
const deciders: Readonly<Record<string, string>> = {
  'cloud/tenants/api-key.ts': 'secrets of keys, by their hashes',
  'cloud/tenants/access-token.ts': 'signatures of tokens',
  'cloud/fleet/tokens.ts': 'signatures of the tokens of gateways',
  'gateway/broker/access/password-file.ts': 'passwords of MQTT users, by their hashes',
  'lake/pgwire/scram.ts': 'proofs of SCRAM, and passwords within TLS',
  'lake/pgwire/server.ts': 'secrets that cancel a query',
};

/** Rooms in which there is nothing else to compare secrets with. */
const rooms = [
  'cloud/tenants',
  'cloud/fleet',
  'cloud/iceberg-rest',
  'gateway/broker/access',
  'lake/pgwire',
  'lake/base',
];

/** Equality of something that is called like a proof. */
const plainComparison =
  /\b\w*(?:[sS]ecret|[pP]assword|[sS]ignature|[pP]roof|[vV]erifier|[sS]toredKey|[hH]mac|secret_sha256|secretSha256)\w*\s*[!=]==?\s*(.*)|[!=]==?\s*\w*(?:[sS]ecret|[pP]assword|[sS]ignature|[pP]roof|[sS]toredKey|secretSha256)\b/;

/** Whether something was sent at all, which tells nothing. */
const isAbsence = (line: string): boolean => /[!=]==?\s*(?:''|undefined|null)(?![\w.])/.test(line);

const linesOf = (room: string): { readonly place: string; readonly line: string }[] =>
  readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/\.(test|fixture)\.ts$/.test(name))
    .flatMap((name) =>
      read(join(room, name))
        .split('\n')
        .map((line, index) => ({ place: `${room}/${name}:${index + 1}`, line })),
    );

test.each(Object.keys(deciders))('%s compares in constant time', (path) => {
  expect(read(path)).toMatch(/\btimingSafeEqual\(/);
});

test('nothing that is called like a proof is compared otherwise', () => {
  const lines = rooms.flatMap(linesOf);
  const found = lines.filter(({ line }) => plainComparison.test(line) && !isAbsence(line));
  expect(found.map(({ place, line }) => `${place}: ${line.trim()}`)).toEqual([]);
  expect(lines.length).toBeGreaterThan(3_000);
});

test.each([
  'given === secret',
  'if (password !== stored)',
  'return expected.signature === signature',
  'row.secret_sha256 === hash',
])('it would be found: %s', (line) => expect(plainComparison.test(line) && !isAbsence(line)).toBe(true));
