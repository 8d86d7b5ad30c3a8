import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client, type ClientConfig, DatabaseError } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Postgres, postgresPrograms, startPostgres } from '../../harness/postgres.ts';
import { findProgram } from '../../harness/programs.ts';
import { type SqlServer, startSqlServer } from '../../harness/sql-server.ts';
import { differences } from './differences.ts';
import { generatedQueries } from './generated-cases.ts';
import { temporaryScripts } from './temp-cases.ts';
import { differing, expressions, queries } from './written-cases.ts';

// The same statements to Firn and to a real PostgreSQL over the same rows: equal text, or a difference that is written
// down in differences.ts.

const psql = findProgram('psql');
const missing = postgresPrograms === undefined || psql === undefined;

let firn: SqlServer;
let postgres: Postgres;
let clients: { readonly firn: Client; readonly postgres: Client };

const raw: ClientConfig = { types: { getTypeParser: () => (value: string) => value } };

beforeAll(async () => {
  if (missing) return;
  [firn, postgres] = await Promise.all([startSqlServer(), startPostgres()]);
  clients = {
    firn: new Client({ ...firn.connection, ...raw }),
    postgres: new Client({ ...postgres.connection, ...raw }),
  };
  await Promise.all([clients.firn.connect(), clients.postgres.connect()]);
  for (const table of ['metrics', 'logs']) await copyTable(table);
});
afterAll(async () => {
  await Promise.all([clients?.firn.end(), clients?.postgres.end()]);
  await firn?.[Symbol.asyncDispose]();
  await postgres?.[Symbol.asyncDispose]();
});

/** The rows go from one to the other as users would carry them. */
async function copyTable(table: string): Promise<void> {
  const { rows } = await clients.firn.query(
    `SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute
      WHERE attrelid = '${table}'::regclass AND attnum <= (SELECT max(ordinal_position) FROM information_schema.columns
        WHERE table_name = '${table}' AND column_name NOT IN ('time', '__name__', 'message')) ORDER BY attnum`,
  );
  const columns = rows.map(({ attname, type }) => `"${attname}" ${type}`);
  await clients.postgres.query(`CREATE TABLE ${table} (${columns.join(', ')})`);
  const pipe = `"$0" -Xc "COPY ${table} TO STDOUT" | PGHOST=127.0.0.1 PGPORT=${postgres.port} PGUSER=postgres \
    PGDATABASE=postgres "$0" -XqAtc "COPY ${table} FROM STDIN"`;
  await promisify(execFile)('sh', ['-c', pipe, psql ?? ''], { env: { PATH: process.env.PATH, ...firn.env } });
}

async function answerOf(client: Client, text: string): Promise<string> {
  try {
    const { rows, fields } = await client.query<string[]>({ text, rowMode: 'array' });
    return `${fields.map(({ name }) => name).join()}: ${JSON.stringify(rows)}`;
  } catch (error) {
    if (error instanceof DatabaseError) return error.code ?? '';
    throw error;
  }
}

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

test.skipIf(missing)(
  'Firn answers what PostgreSQL answers, but for the differences that are written down',
  async () => {
    const statements = [
      ...lines(expressions).map((expression) => `select ${expression}`),
      ...lines(queries),
      ...lines(differing),
      ...generatedQueries(),
    ];
    const known = new Map(differences.flatMap(({ answers }) => Object.entries(answers)));
    const wrong: Record<string, { readonly postgres: string; readonly firn: string }> = {};
    let equal = 0;
    for (const statement of statements) {
      const [theirs, ours] = await Promise.all([
        answerOf(clients.postgres, statement),
        answerOf(clients.firn, statement),
      ]);
      if (theirs === ours) equal++;
      else if (known.get(statement) !== ours) wrong[statement] = { postgres: theirs, firn: ours };
    }
    expect(wrong).toEqual({});
    expect(new Set(statements).size).toBeGreaterThan(500);
    expect(equal).toBeGreaterThan(500);
  },
);

/** What each statement of a text answers: its tag, and its rows; of an error, the SQLSTATE. */
async function answersOf(client: Client, text: string): Promise<readonly string[]> {
  try {
    const results = [await client.query<string[]>({ text, rowMode: 'array' })].flat();
    return results.map(
      ({ command, rowCount, fields, rows }) =>
        `${command} ${rowCount} ${fields.map(({ name }) => name).join()}: ${JSON.stringify(rows)}`,
    );
  } catch (error) {
    if (error instanceof DatabaseError) return [error.code ?? ''];
    throw error;
  }
}

test.skipIf(missing)(
  'temporary tables, views, sequences, cursors and transactions are PostgreSQL’s',
  async () => {
    const wrong: string[] = [];
    let count = 0;
    // The other test makes a lasting one there.
    await clients.postgres.query('DROP TABLE IF EXISTS t');
    for (const script of temporaryScripts.trim().split('\n\n')) {
      for (const client of [clients.firn, clients.postgres])
        await client.query('ROLLBACK; DISCARD TEMP; DEALLOCATE ALL');
      for (const statement of lines(script)) {
        const [ours, theirs] = [
          await answersOf(clients.firn, statement),
          await answersOf(clients.postgres, statement),
        ];
        count++;
        if (ours.join('\n') !== theirs.join('\n')) wrong.push(`${statement}: ${theirs} but ${ours}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(count).toBeGreaterThan(150);
  },
);
