import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { createLogger } from '../base/log.ts';
import { startPgServer } from '../pgwire/server.ts';
import { constantTables } from '../sql/constant-tables.fixture.ts';
import { createSqlProcess, type SqlProcess } from './sql-process.ts';

// Two tenants, each with an engine process of its own, and real clients.

const logger = createLogger('silent');
let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

let openViews = 0;
const tables = constantTables({ opened: () => openViews++, closed: () => openViews-- });

function engine(rowsMax = 0): SqlProcess {
  return stack.use(
    createSqlProcess({
      engine: { directories: [], memoryBytesMax: 256e6, threads: 1 },
      ...{ limits: { rowsMax }, logLevel: 'silent', logger },
    }),
  );
}

async function server(sql: SqlProcess) {
  return stack.use(
    await startPgServer({
      ...{ host: '127.0.0.1', port: 0, logger, authenticate: { kind: 'trust' } },
      openSession: ({ user, database, parameters, processId, secret }) =>
        sql.session(
          { tables },
          {
            ...{ user, database, processId, parameters: [...parameters], secret: secret.toString('hex') },
          },
        ),
    }),
  );
}

async function client(port: number): Promise<pg.Client> {
  const connected = new pg.Client({ host: '127.0.0.1', port, user: 'ada', database: 'demo' });
  connected.on('error', () => undefined);
  await connected.connect();
  stack.defer(() => connected.end().catch(() => undefined));
  return connected;
}

const endless = 'SELECT count(*) FROM metrics, generate_series(1, 1000000) a, generate_series(1, 1000000) b';
const poll = { timeout: 30_000 };

test('an engine that is killed takes its own sessions with it and nothing else', async () => {
  const [one, other] = [engine(), engine()];
  const [onePort, otherPort] = [(await server(one)).port, (await server(other)).port];
  const [busy, idle, neighbour] = [await client(onePort), await client(onePort), await client(otherPort)];
  const idleEnd = new Promise<Error>((resolve) => idle.once('error', resolve));
  expect((await busy.query('SELECT count(*) AS n FROM metrics')).rows).toEqual([{ n: '20' }]);
  const running = busy.query(endless).catch((error: unknown) => error);
  await expect.poll(() => openViews, poll).toBe(1);
  const pid = one.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  expect(await running).toMatchObject({ code: '57P02' });
  await idleEnd;
  await expect.poll(() => openViews, poll).toBe(0);
  expect((await neighbour.query('SELECT max(value) AS m FROM metrics')).rows).toEqual([{ m: 19 }]);
  const again = await client(onePort);
  expect((await again.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
  expect(one.pid).not.toBe(pid);
});

test('a session of the process behaves as one that is here', async () => {
  const sql = engine();
  const { port } = await server(sql);
  const session = await client(port);
  await session.query("SET application_name = 'there'");
  expect((await session.query('SHOW application_name')).rows).toEqual([{ application_name: 'there' }]);
  const { rows } = await session.query('SELECT i FROM generate_series(1, 100000) i');
  expect(rows.length).toBe(100_000);
  await expect(session.query('SELECT * FROM nothing')).rejects.toMatchObject({
    code: '42P01',
    position: '15',
  });
  const running = session.query(endless).catch((error: unknown) => error);
  await expect.poll(() => openViews, poll).toBe(1);
  const killer = new pg.Client({ host: '127.0.0.1', port, user: 'ada', database: 'demo' });
  // What psql sends for Ctrl-C.
  (killer as unknown as { cancel(client: pg.Client, query: unknown): void }).cancel(
    session,
    (session as unknown as { activeQuery: unknown }).activeQuery,
  );
  expect(await running).toMatchObject({ code: '57014' });
  expect((await session.query('SELECT 2 AS n')).rows).toEqual([{ n: 2 }]);
});

test('the server that closes says so, between two messages', async () => {
  const listening = await server(engine());
  const session = await client(listening.port);
  const ended = new Promise<Error>((resolve) => session.once('error', resolve));
  await listening[Symbol.asyncDispose]();
  expect(await ended).toMatchObject({ code: '57P01' });
});

test('over HTTP: answers, errors, a limit of rows, and an engine that dies', async () => {
  const sql = engine(1000);
  const ask = (text: string, type = 'application/json') =>
    sql.statement(
      { tables },
      { user: 'firn', database: 'demo' },
      { sql: text, type, signal: new AbortController().signal },
    );
  expect(await (await ask('SELECT 1 AS one', 'text/csv')).text()).toBe('one\r\n1\r\n');
  const wrong = await ask('SELECT 1 FROM nothing');
  expect(wrong.status).toBe(400);
  expect(await wrong.json()).toMatchObject({ error: { code: '42P01', position: 15 } });
  expect(await (await ask('SELECT * FROM generate_series(1, 3000) i')).json()).toMatchObject({
    error: { code: '54000', message: expect.stringContaining('query.rowsMax') },
  });
  const dying = ask(endless).catch((error: unknown) => error);
  await expect.poll(() => openViews, poll).toBe(1);
  const { pid } = sql;
  process.kill(pid ?? 0, 'SIGKILL');
  expect(await dying).toMatchObject({ sqlstate: '57P02' });
  await expect.poll(() => sql.pid, poll).not.toBe(pid);
  expect((await ask('SELECT 1')).status).toBe(200);
  await expect.poll(() => openViews, poll).toBe(0);
});

test('it knows nothing of the settings of who started it, and ends when nobody needs it', async () => {
  process.env.FIRN_TEST_SECRET = 'hush';
  const sql = stack.use(
    createSqlProcess({
      engine: { directories: [], memoryBytesMax: 256e6, threads: 1 },
      ...{ limits: {}, logLevel: 'silent', logger, idleMs: 0 },
    }),
  );
  const answer = await sql.statement(
    { tables },
    { user: 'firn', database: 'demo' },
    { sql: 'SELECT 1', type: 'text/csv', signal: new AbortController().signal },
  );
  const pid = sql.pid ?? 0;
  if (process.platform === 'linux')
    expect(readFileSync(`/proc/${pid}/environ`, 'latin1')).not.toContain('FIRN_TEST_SECRET');
  await answer.text();
  await expect.poll(() => sql.pid, poll).toBeUndefined();
});
