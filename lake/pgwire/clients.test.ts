import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { listValue, timestampTZValue } from '@duckdb/node-api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLogger } from '../base/log.ts';
import { createFakeSession, type FakeRow } from './fake-session.ts';
import { makeScramVerifier } from './scram.ts';
import { type PgServer, startPgServer } from './server.ts';

// Clients that are not written in JavaScript, where they are installed: libpq by psql and psycopg.

const run = promisify(execFile);
const path = '/usr/bin:/bin';
const works = (program: string, ...args: string[]): boolean =>
  spawnSync(program, args, { env: { PATH: path } }).status === 0;
const psqlMissing = !works('psql', '--version');
const python = 'python3';
const psycopgMissing = !works(python, '-c', 'import psycopg');
const psycopg2Missing = !works(python, '-c', 'import psycopg2');

const rows: Readonly<Record<string, FakeRow>> = {
  types: {
    columns: [
      { name: 'i', type: 'BIGINT' },
      { name: 'at', type: 'TIMESTAMP WITH TIME ZONE' },
      { name: 'list', type: 'VARCHAR[]' },
      { name: 'nothing', type: 'DOUBLE' },
    ],
    values: [42n, timestampTZValue(1_769_860_800_123_456n), listValue(['a', 'b "c"', null]), null],
  },
};

let server: PgServer;
beforeAll(async () => {
  const key = { verifier: makeScramVerifier('pencil') };
  server = await startPgServer({
    host: '127.0.0.1',
    port: 0,
    authenticate: { kind: 'scram', keyOf: (user) => (user === 'ann' ? key : undefined) },
    openSession: async () => createFakeSession(rows),
    logger: createLogger('silent'),
  });
});
afterAll(() => server[Symbol.asyncDispose]());

async function client(program: string, ...args: string[]): Promise<string> {
  const environment = {
    PGHOST: '127.0.0.1',
    PGPORT: String(server.port),
    PGUSER: 'ann',
    PGPASSWORD: 'pencil',
  };
  const { stdout, stderr } = await run(program, args, {
    timeout: 20_000,
    env: { PATH: path, ...environment, PGDATABASE: 'lake' },
  });
  return stdout + stderr;
}

test.skipIf(psqlMissing)('psql', async () => {
  expect(await client('psql', '-XAtc', 'select 2')).toBe('0|w0\n1|w1\n');
  expect(await client('psql', '-XAt', '-c', 'types')).toBe(
    '42|2026-01-31 12:00:00.123456+00|{a,"b \\"c\\"",NULL}|\n',
  );
  await expect(client('psql', '-XAtc', 'begin;fail')).rejects.toMatchObject({
    stderr: 'ERROR:  division by zero\nHINT:  Do not.\n',
  });
});

test.skipIf(psycopgMissing)('psycopg 3, in text and binary, with a transaction that fails', async () => {
  const script = `
import psycopg
c = psycopg.connect()
for binary in (False, True):
    i, at, texts, nothing = c.cursor(binary=binary).execute("types").fetchone()
    print(i, at, texts, nothing)
    print(c.cursor(binary=binary).execute("echo %s %s %s", ("a", 7, None)).fetchone())
try:
    c.execute("fail")
except psycopg.errors.DivisionByZero as e:
    print(e.diag.message_primary, c.info.transaction_status.name)
c.rollback()
print(c.execute("select 2").fetchall(), c.info.transaction_status.name)
with c.pipeline():
    print([c.execute("echo %s", (n,)).fetchone() for n in range(3)])
print(len(list(c.cursor().stream("select 5"))))
`;
  const values = "42 2026-01-31 12:00:00.123456+00:00 ['a', 'b \"c\"', None] None";
  expect((await client(python, '-c', script)).trim().split('\n')).toEqual([
    values,
    "('a', '7', None)",
    values,
    "('a', '7', None)",
    'division by zero INERROR',
    "[(0, 'w0'), (1, 'w1')] INTRANS",
    "[('0',), ('1',), ('2',)]",
    '5',
  ]);
});

test.skipIf(psycopg2Missing)('psycopg2, and its cancel', async () => {
  const script = `
import psycopg2, threading, time
c = psycopg2.connect("")
k = c.cursor()
k.execute("types")
print(k.fetchone()[1].isoformat(), k.description[2].type_code)
threading.Timer(0.2, c.cancel).start()
try:
    k.execute("wait")
except psycopg2.errors.QueryCanceled as e:
    print(e.pgcode)
c.rollback()
k.execute("select 1")
print(k.fetchall(), k.statusmessage)
`;
  expect((await client(python, '-c', script)).trim().split('\n')).toEqual([
    '2026-01-31T12:00:00.123456+00:00 1009',
    '57014',
    "[(0, 'w0')] SELECT 1",
  ]);
});
