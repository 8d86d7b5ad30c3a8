import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { Client, DatabaseError, type QueryResult } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Part, readKey, startPart, temporaryFolder } from '../../harness/firn.ts';
import { waitFor } from '../../harness/process.ts';
import { type HostileStatement, hostileStatements } from './hostile-statements.ts';

// One cloud, two tenants with data of their own: nothing that one of them says gives a byte of the other's or of the
// host's, and the other one's session goes on as if nothing had been said.

const secret = 'crown_jewels';
const folder = temporaryFolder();
const lake = join(folder.path, 'lake');
const store = ['--store-kind', 'directory', '--store-path', lake];
const statements = hostileStatements({ victim: join(lake, 'acme'), secret });

let cloud: Part;
let attacker: Client;
let victim: Client;

beforeAll(async () => {
  const data = join(folder.path, 'cloud');
  cloud = await startPart('cloud', [
    '--data-dir',
    data,
    '--tenants',
    '["demo","acme"]',
    ...store,
    ...['--query-memory-bytes-max', '300000000', '--query-spill-bytes-max', '200000000'],
  ]);
  for (const [tenant, topic] of [
    ['demo', 'own/reading'],
    ['acme', `own/${secret}`],
  ] as const) {
    await using gateway = await startPart('gateway', [
      ...['--data-dir', join(folder.path, tenant), '--tenant', tenant, ...store],
    ]);
    const client = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
    await client.publishAsync(topic, '42', { qos: 1 });
    await client.endAsync();
    const asked = await connectTo(tenant);
    await waitFor(`the reading of ${tenant}`, 60_000, async () => {
      const { rows } = await asked.query(`SELECT 1 FROM metrics WHERE value = 42`);
      return rows.length > 0 ? true : undefined;
    });
    await asked.end();
    await gateway.stop();
  }
  attacker = await connectTo('demo');
  victim = await connectTo('acme');
});
afterAll(async () => {
  await Promise.all([attacker?.end(), victim?.end()]);
  await cloud?.stop();
  folder[Symbol.dispose]();
});

async function connectTo(database: string): Promise<Client> {
  const { id, secret: password } = readKey(join(folder.path, 'cloud', 'keys', `${database}.key`));
  const client = new Client({ host: '127.0.0.1', port: cloud.port('cloudPg'), user: id, password, database });
  await client.connect();
  return client;
}

interface Answer {
  readonly sqlstate: string | undefined;
  readonly rows: readonly unknown[][];
  readonly said: string;
}

async function answerOf(text: string, client = attacker): Promise<Answer> {
  try {
    const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' });
    return { sqlstate: undefined, rows, said: JSON.stringify(rows) };
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    const { code, message, detail, hint } = error;
    return { sqlstate: code, rows: [], said: [message, detail, hint].join(' ') };
  }
}

/** What nobody but its owner may read: of the other tenant, and of the host. */
function leaks(answer: Answer, text: string): boolean {
  const said = answer.said.replaceAll(text, '');
  return /root:.*:0:0|DUCKDB|\bPAR1\b/.test(said) || (said.includes(secret) && !text.includes(secret));
}

async function judge({ text, outcome }: HostileStatement): Promise<string | undefined> {
  const answer = await answerOf(text);
  const shown = `${text.slice(0, 120)} => ${answer.sqlstate ?? answer.said.slice(0, 200)}`;
  if (leaks(answer, text)) return `LEAK ${shown}`;
  if ('sqlstate' in outcome) return outcome.sqlstate.test(answer.sqlstate ?? '') ? undefined : shown;
  return JSON.stringify(answer.rows.map((row) => row.map(String))) === JSON.stringify(outcome.rows)
    ? undefined
    : shown;
}

async function victimIsWell(): Promise<void> {
  const { rows } = await victim.query(`SELECT name, value FROM metrics WHERE name = '${secret}'`);
  expect(rows).toEqual([{ name: secret, value: 42 }]);
}

test('each tenant sees its own reading and not the other’s', async () => {
  await victimIsWell();
  expect((await answerOf(`SELECT DISTINCT name FROM metrics WHERE value = 42`)).rows).toEqual([['reading']]);
});

test('no statement reads what is not the tenant’s, writes, or changes the engine', async () => {
  const wrong: string[] = [];
  await attacker.query('CREATE TEMP TABLE mine (a text)');
  for (const statement of statements.quick) {
    const judged = await judge(statement);
    if (judged !== undefined) wrong.push(judged);
  }
  expect(wrong).toEqual([]);
  expect(statements.quick.length).toBeGreaterThan(450);
  expect((await answerOf('SELECT count(*) FROM mine')).rows).toEqual([['0']]);
  await victimIsWell();
  expect(existsSync('/tmp/firn-stolen.csv') || existsSync('/tmp/firn-stolen')).toBe(false);
});

test('a plan says what is done, and not where files are', async () => {
  for (const options of ['', 'ANALYZE', '(ANALYZE, FORMAT JSON)']) {
    const { said } = await answerOf(`EXPLAIN ${options} SELECT count(*) FROM metrics WHERE value > 1`);
    expect(said).toContain('Read parquet');
    expect(said).not.toMatch(/\.parquet|\/tmp|read_parquet/i);
  }
});

test('a temporary table is its session’s: not another one’s of the tenant, and not another tenant’s', async () => {
  await attacker.query(`CREATE TEMP TABLE private AS SELECT 'hush' AS word`);
  const listed = `SELECT table_name FROM information_schema.tables WHERE table_type = 'LOCAL TEMPORARY' AND table_name = 'private'`;
  expect((await answerOf(listed)).rows).toEqual([['private']]);
  const colleague = await connectTo('demo');
  for (const other of [colleague, victim]) {
    expect((await answerOf(listed, other)).rows).toEqual([]);
    for (const name of ['private', 'pg_temp.private', 'pg_temp_1.private', 'firn_temp_1."private firn~1"'])
      expect((await answerOf(`SELECT * FROM ${name}`, other)).sqlstate).toBe('42P01');
    expect((await answerOf(`FROM private`, other)).sqlstate).toBe('42P01');
  }
  await colleague.end();
});

test('temporary tables that are too large fail, and are gone with their session', async () => {
  const hoarder = await connectTo('demo');
  const fill =
    'CREATE TEMP TABLE large AS SELECT i, md5(i::text) AS m, random() AS r FROM generate_series(1, 300000000) i';
  await hoarder.query(`SET statement_timeout = '60s'`);
  expect((await answerOf(fill, hoarder)).sqlstate).toBe('53200');
  expect((await answerOf('SELECT * FROM large', hoarder)).sqlstate).toBe('42P01');
  await victimIsWell();
  await hoarder.end();
  expect((await answerOf('SELECT 1')).rows).toEqual([[1]]);
});

test('the same by the extended protocol and as parameters', async () => {
  for (const path of ['/etc/passwd', join(lake, 'acme')]) {
    for (const text of ['SELECT * FROM read_text($1)', 'SELECT * FROM glob($1)', 'SELECT getenv($1)']) {
      await expect(attacker.query(text, [path])).rejects.toMatchObject({ code: '42501' });
    }
    const injected = `${path}' UNION SELECT 1 --`;
    const { rows }: QueryResult = await attacker.query('SELECT $1::text AS a', [injected]);
    expect(rows).toEqual([{ a: injected }]);
  }
});

test('what would take all memory or all time ends, and others do not notice', async () => {
  await attacker.query(`SET statement_timeout = '1500ms'`);
  const wrong: string[] = [];
  for (const statement of statements.heavy) {
    const judging = judge(statement);
    await victimIsWell();
    const judged = await judging;
    if (judged !== undefined) wrong.push(judged);
  }
  for (const text of statements.regexes) {
    const answer = await answerOf(text);
    if (answer.sqlstate === '57014') wrong.push(`${text} => ran out of time`);
  }
  expect(wrong).toEqual([]);
  await attacker.query('RESET statement_timeout');
  expect((await answerOf('SELECT 1')).rows).toEqual([[1]]);
  await victimIsWell();
});

test('the key of one tenant does not open the database of the other', async () => {
  const { id, secret: password } = readKey(join(folder.path, 'cloud', 'keys', 'demo.key'));
  const client = new Client({
    host: '127.0.0.1',
    port: cloud.port('cloudPg'),
    user: id,
    password,
    database: 'acme',
  });
  await expect(client.connect()).rejects.toMatchObject({ code: '3D000' });
});
