import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { createLogger } from '../base/log.ts';
import { SqlError } from '../sql/errors.ts';
import { createFakeSession, type FakeRow, type FakeSession } from './fake-session.ts';
import { createRawWriter, printMessages } from './raw-client.ts';
import { makeScramVerifier } from './scram.ts';
import { type PgServer, type PgServerOptions, type SessionRequest, startPgServer } from './server.ts';
import type { ScramKey } from './startup.ts';

const host = '127.0.0.1';

interface TenantKey extends ScramKey {
  readonly tenant: string;
}

const key: TenantKey = { verifier: makeScramVerifier('pencil'), tenant: 'acme' };

const rows: Readonly<Record<string, FakeRow>> = {
  types: {
    columns: [
      { name: 'i', type: 'INTEGER' },
      { name: 'b', type: 'BIGINT' },
      { name: 'f', type: 'DOUBLE' },
      { name: 't', type: 'BOOLEAN' },
      { name: 'n', type: 'VARCHAR' },
      { name: 'j', type: 'JSON' },
    ],
    values: [1, 2n ** 60n, 0.1, true, null, '{"a":1}'],
  },
};

const opened: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of opened.reverse()) await close();
  opened.length = 0;
});

interface Started {
  readonly server: PgServer;
  readonly sessions: FakeSession[];
  readonly requests: SessionRequest<TenantKey>[];
}

async function start(options: Partial<PgServerOptions<TenantKey>> = {}): Promise<Started> {
  const sessions: FakeSession[] = [];
  const requests: SessionRequest<TenantKey>[] = [];
  const server = await startPgServer<TenantKey>({
    host,
    port: 0,
    authenticate: { kind: 'scram', keyOf: (user) => (user === 'ann' ? key : undefined) },
    openSession: async (request) => {
      requests.push(request);
      if (request.database === 'none') throw new SqlError('3D000', 'database "none" does not exist');
      const session = createFakeSession(rows);
      sessions.push(session);
      return session;
    },
    logger: createLogger('silent'),
    ...options,
  });
  opened.push(() => server[Symbol.asyncDispose]());
  return { server, sessions, requests };
}

function clientOf(server: PgServer, config: pg.ClientConfig = {}): pg.Client {
  const client = new pg.Client({
    host,
    port: server.port,
    user: 'ann',
    password: 'pencil',
    database: 'lake',
    ...config,
  });
  client.on('error', () => undefined);
  opened.push(() => client.end().catch(() => undefined));
  return client;
}

async function connected(server: PgServer, config: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = clientOf(server, config);
  await client.connect();
  return client;
}

interface Raw {
  readonly socket: Socket;
  readonly write: ReturnType<typeof createRawWriter>;
  send(): void;
  /** Messages so far. */
  lines(): string[];
  until(line: string): Promise<string[]>;
  readonly closed: Promise<unknown>;
}

async function raw(server: PgServer, greet = true): Promise<Raw> {
  const socket = connect(server.port, host);
  opened.push(() => socket.destroy());
  socket.on('error', () => undefined);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await once(socket, 'connect');
  const write = createRawWriter();
  const lines = (): string[] => printMessages(Buffer.concat(chunks));
  const talk: Raw = {
    socket,
    write,
    lines,
    closed,
    send: () => void socket.write(write.take()),
    until: async (line) => {
      await expect.poll(lines, { timeout: 5000, interval: 5 }).toContain(line);
      return lines();
    },
  };
  if (greet) {
    write.startup({ user: 'ann' });
    talk.send();
    await talk.until('Z I');
    chunks.length = 0;
  }
  return talk;
}

const trust = { authenticate: { kind: 'trust' } } as const;

test('pg: simple and with parameters, by the tenant of its key', async () => {
  const { server, requests } = await start();
  const client = await connected(server, {
    application_name: 'app',
    options: '-c search_path=a\\ b --work-mem=1',
  });
  expect(requests).toMatchObject([{ user: 'ann', database: 'lake', key: { tenant: 'acme' } }]);
  expect(Object.fromEntries(requests[0]?.parameters ?? [])).toMatchObject({
    application_name: 'app',
    search_path: 'a b',
    work_mem: '1',
  });
  const simple = await client.query('select 3');
  expect(simple).toMatchObject({ command: 'SELECT', rowCount: 3 });
  expect(simple.rows[2]).toEqual({ n: '2', word: 'w2' });
  expect((await client.query('echo $1 $2', ['a', null])).rows).toEqual([{ $1: 'a', $2: null }]);
  expect((await client.query({ text: 'select 1', rowMode: 'array' })).rows).toEqual([['0', 'w0']]);
  expect((await client.query('types')).rows).toEqual([
    { i: 1, b: '1152921504606846976', f: 0.1, t: true, n: null, j: { a: 1 } },
  ]);
  const several = (await client.query('insert;select 1')) as unknown as pg.QueryResult[];
  expect(several.map(({ command }) => command)).toEqual(['INSERT', 'SELECT']);
  await expect(client.query('fail')).rejects.toMatchObject({
    code: '22012',
    hint: 'Do not.',
    severity: 'ERROR',
  });
  await expect(client.query('echo $1 $2', ['a'])).rejects.toMatchObject({ code: '08P01' });
  expect((await client.query({ name: 'kept', text: 'echo $1', values: [1] })).rows).toEqual([{ $1: '1' }]);
  expect((await client.query({ name: 'kept', text: 'echo $1', values: [2] })).rows).toEqual([{ $1: '2' }]);
});

test('a large result arrives whole', async () => {
  const { server } = await start(trust);
  const count = 200_000;
  const client = await connected(server);
  const { rows: all } = await client.query(`select ${count}`);
  expect(all.length).toBe(count);
  expect(all.at(-1)).toEqual({ n: String(count - 1), word: `w${count - 1}` });
});

test('a result is read no faster than its client reads', async () => {
  const { server, sessions } = await start(trust);
  const client = await raw(server);
  client.socket.pause();
  client.write.message({ kind: 'query', text: 'select 1000000' });
  client.send();
  await expect.poll(() => sessions[0]?.rowsRead).toBeGreaterThan(0);
  // Until the buffers of the kernel are full, and nothing more.
  let before = -1;
  await expect
    .poll(
      () => {
        const same = sessions[0]?.rowsRead === before;
        before = sessions[0]?.rowsRead ?? 0;
        return same;
      },
      { interval: 200, timeout: 10_000 },
    )
    .toBe(true);
  expect(before).toBeLessThan(900_000);
  client.socket.resume();
  await expect.poll(() => sessions[0]?.rowsRead, { timeout: 20_000 }).toBe(1_000_000);
});

test.each([
  ['a wrong password', { password: 'pen' }, '28P01', 'password authentication failed for user "ann"'],
  ['an unknown user', { user: 'bob' }, '28P01', 'password authentication failed for user "bob"'],
  ['an unknown database', { database: 'none' }, '3D000', 'database "none" does not exist'],
])('%s is refused', async (_, config, code, message) => {
  const { server } = await start();
  await expect(clientOf(server, config).connect()).rejects.toMatchObject({
    code,
    message,
    severity: 'FATAL',
  });
});

test('encryption is declined, then the session starts; a newer protocol and options are negotiated', async () => {
  const { server } = await start(trust);
  const client = await raw(server, false);
  client.write.request(80877104);
  client.send();
  client.write.request(80877103);
  client.send();
  await expect.poll(() => client.socket.bytesRead).toBe(2);
  client.write.startup({ user: 'ann', '_pq_.x': '1' }, (3 << 16) | 2);
  client.send();
  // Both answers are one letter, N.
  const bytes = (await once(client.socket, 'data'))[0] as Buffer;
  expect(printMessages(bytes).slice(0, 2)).toEqual(['v 196608 _pq_.x', 'R 0']);
});

test.each<[string, (write: Raw['write']) => void, string]>([
  [
    'version 2',
    (write) => write.startup({}, 2 << 16),
    'E FATAL 0A000 unsupported frontend protocol 2.0: server supports 3.0 to 3.0',
  ],
  [
    'no user',
    (write) => write.startup({}),
    'E FATAL 28000 no PostgreSQL user name specified in startup packet',
  ],
  [
    'replication',
    (write) => write.startup({ user: 'a', replication: 'true' }),
    'E FATAL 0A000 replication connections are not supported',
  ],
])('start-up with %s is refused', async (_, say, line) => {
  const { server } = await start(trust);
  const client = await raw(server, false);
  say(client.write);
  client.send();
  await client.closed;
  expect(client.lines()).toEqual([line]);
});

test('a cancel request stops the statement of the connection whose key it has', async () => {
  const { server } = await start();
  const client = await connected(server);
  const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
  const waiting = client.query('wait').catch((error: unknown) => error);
  const cancel = async (secret: number): Promise<void> => {
    const other = await raw(server, false);
    other.write.request(80877102, processID, secret);
    other.send();
    await other.closed;
    expect(other.lines()).toEqual([]);
  };
  await cancel(secretKey ^ 1);
  const first = await Promise.race([waiting, delay(50, 'still waiting')]);
  expect(first).toBe('still waiting');
  await cancel(secretKey);
  expect(await waiting).toMatchObject({ code: '57014' });
  expect((await client.query('select 1')).rowCount).toBe(1);
});

test('a client that goes away stops its statement and frees its session', async () => {
  const { server, sessions } = await start(trust);
  const client = await raw(server);
  client.write.message({ kind: 'query', text: 'wait' });
  client.send();
  await expect.poll(() => sessions[0]?.events).toContain('wait');
  client.socket.destroy();
  await expect.poll(() => sessions[0]?.events).toContain('disposed');
});

test('beyond connectionsMax a session is refused; when one ends there is room', async () => {
  const { server } = await start({ ...trust, limits: { connectionsMax: 1 } });
  const first = await connected(server);
  await expect(clientOf(server).connect()).rejects.toMatchObject({ code: '53300' });
  await first.end();
  await expect
    .poll(() =>
      clientOf(server)
        .connect()
        .then(
          () => 'connected',
          () => 'refused',
        ),
    )
    .toBe('connected');
});

test('beyond startupsMax a connection is closed unread', async () => {
  const { server } = await start({ ...trust, limits: { connectionsMax: 1, startupsMax: 1 } });
  await raw(server, false);
  await raw(server, false);
  const third = await raw(server, false);
  await third.closed;
  expect(third.lines()).toEqual([]);
});

test('who does not authenticate within startupMsMax is sent away', async () => {
  const { server } = await start({ limits: { startupMsMax: 50 } });
  const silent = await raw(server, false);
  const undecided = await raw(server, false);
  undecided.write.startup({ user: 'ann' });
  undecided.send();
  await Promise.all([silent.closed, undecided.closed]);
  expect(silent.lines()).toEqual(['E FATAL 57014 canceling authentication due to timeout']);
  expect(undecided.lines()).toEqual(['R 10', 'E FATAL 57014 canceling authentication due to timeout']);
});

test('a message over messageBytesMax and one of no known type end the connection', async () => {
  const { server, sessions } = await start({ ...trust, limits: { messageBytesMax: 1000 } });
  const long = await raw(server);
  long.write.message({ kind: 'query', text: 'x'.repeat(1000) });
  long.send();
  await long.closed;
  expect(long.lines()[0]).toMatch(/^E FATAL 54000 a message of 1005 bytes is over the limit of 1000/);
  const strange = await raw(server);
  strange.socket.write('z0000000');
  await strange.closed;
  expect(strange.lines()).toEqual(['E FATAL 08P01 invalid frontend message type 122']);
  expect(sessions.map(({ events }) => events)).toEqual([['disposed'], ['disposed']]);
});

test('while a statement runs no more than readAheadBytesMax and one chunk is read', async () => {
  const { server, sessions } = await start({ ...trust, limits: { readAheadBytesMax: 1000 } });
  const client = await raw(server);
  client.write.message({ kind: 'query', text: 'wait' });
  for (let n = 0; n < 200; n++)
    client.write.message({ kind: 'query', text: `insert -- ${'x'.repeat(100_000)}` });
  client.send();
  await expect.poll(() => sessions[0]?.events).toContain('wait');
  await delay(200);
  // 20 MB were written; what neither the server nor the kernel takes stays with the client.
  expect(client.socket.writableLength).toBeGreaterThan(5_000_000);
});

test('closing the server ends every session with 57P01', async () => {
  const { server, sessions } = await start(trust);
  const idle = await raw(server);
  const busy = await raw(server);
  busy.write.message({ kind: 'query', text: 'wait' });
  busy.send();
  await expect.poll(() => sessions[1]?.events).toContain('wait');
  await server[Symbol.asyncDispose]();
  await Promise.all([idle.closed, busy.closed]);
  for (const client of [idle, busy]) {
    expect(client.lines()).toEqual(['E FATAL 57P01 terminating connection due to administrator command']);
  }
  expect(sessions.map(({ events }) => events.at(-1))).toEqual(['disposed', 'disposed']);
});
