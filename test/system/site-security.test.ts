import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import Database from 'better-sqlite3';
import mqtt from 'mqtt';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { call, type Part, run, sql, startPart, temporaryFolder } from '../harness/firn.ts';
import { outerAddress } from '../harness/process.ts';
import { tlsVersions } from '../harness/tls-versions.ts';
import { gatewayDoors } from './doors.ts';

// A gateway that others can reach, and that is not opened: who is let in where, by what, and what is noted of it.

const folder = temporaryFolder();
const dataDir = join(folder.path, 'gateway');
const security = join(dataDir, 'security');
const program = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
const unlimited = ['--login-failures-per-name-max', '0', '--login-failures-per-address-max', '0'];
let gateway: Part;
let url: string;
let ca: string;

interface User {
  readonly id: string;
  readonly secret: string;
}
let first: User;
const password = 'pässword for tests';
const users = {
  sender: { id: 'sender', secret: password },
  reader: { id: 'reader', secret: password },
  boss: { id: 'boss', secret: password },
} as const satisfies Record<string, User>;

/** `firn …` with one line on standard input. */
async function firn(argv: readonly string[], line = '') {
  const child = spawn(process.execPath, [program, ...argv], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(`${line}\n`);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: child.exitCode, stdout, stderr };
}
const firnUsers = (argv: readonly string[], line?: string) =>
  firn(['users', ...argv, '--data-dir', dataDir], line);

const start = (...flags: string[]): Promise<Part> =>
  startPart('gateway', ['--data-dir', dataDir, '--listen-host', '0.0.0.0', '--store-kind', 'none', ...flags]);

beforeAll(async () => {
  gateway = await start(...unlimited);
  url = `https://127.0.0.1:${gateway.port('gatewayHttp')}`;
  ca = readFileSync(join(security, 'ca.crt'), 'utf8');
  setDefaultCACertificates([...getCACertificates('default'), ca]);
  const [id = '', secret = ''] = readFileSync(join(security, 'first-password'), 'utf8').trim().split(':');
  first = { id, secret };
  for (const [name, roles] of [
    ['sender', 'ingest'],
    ['reader', 'read'],
    ['boss', 'admin'],
  ] as const)
    expect(await firnUsers(['add', name, '--roles', roles], password)).toMatchObject({ code: 0 });
});
afterAll(async () => {
  await gateway?.stop();
  folder[Symbol.dispose]();
});

describe('every endpoint, by role', () => {
  const wrong = { id: 'reader', secret: 'wrong' };
  const nobody = { id: 'nobody', secret: password };
  /** What is not refused. */
  const open = async (base: string, user: User | undefined, refusal: number): Promise<string[]> => {
    const found: string[] = [];
    for (const endpoint of gatewayDoors.keys()) {
      const [method = '', path = ''] = endpoint.split(' ');
      const body = method === 'POST' ? { body: '{}' } : {};
      const answer = await call(`${base}${path.replaceAll(/:\w+/g, '1')}`, user, { method, ...body });
      await answer.text();
      if (answer.status !== refusal) found.push(endpoint);
    }
    return found.toSorted();
  };
  const through = (...roles: string[]): string[] =>
    [...gatewayDoors].flatMap(([endpoint, role]) => (roles.includes(role) ? [endpoint] : [])).toSorted();

  test('is in the table of doors', () => {
    expect(gateway.ready.endpoints).toEqual([...gatewayDoors.keys()].toSorted());
  });
  test('none, and wrong ones', async () => {
    for (const user of [undefined, wrong, nobody, { id: '', secret: '' }])
      expect(await open(url, user, 401)).toEqual(through('anybody'));
  });
  test.each<[keyof typeof users, string[]]>([
    ['sender', ['ingest']],
    ['reader', ['read']],
    ['boss', ['ingest', 'read', 'admin']],
  ])('%s', async (name, roles) => {
    expect(await open(url, users[name], 403)).toEqual(through('anybody', ...roles));
  });
  test('tail', async () => {
    const tailed = async (user: User | undefined): Promise<string> => {
      const headers = user && {
        authorization: `Basic ${Buffer.from(`${user.id}:${user.secret}`).toString('base64')}`,
      };
      const path = `/loki/api/v1/tail?query=${encodeURIComponent('{a="b"}')}`;
      const tail = new WebSocket(`${url.replace('http', 'ws')}${path}`, { headers, ca });
      const said = await new Promise<string>((resolve) => {
        tail.once('open', () => resolve('open'));
        tail.once('error', ({ message }) => resolve(message));
      });
      tail.terminate();
      return said;
    };
    expect(await Promise.all([undefined, wrong, users.sender, users.reader].map(tailed))).toEqual([
      ...[1, 2, 3].map(() => expect.stringContaining('401')),
      'open',
    ]);
  });
  test('a path that is written otherwise opens nothing', async () => {
    for (const path of ['/api/v1/firn/%73ql', '/api/v1//write', '/loki/api/v1/%70ush', '/API/v1/labels'])
      expect([401, 404]).toContain(
        (await call(`${url}${path}`, undefined, { method: 'POST', body: '' })).status,
      );
  });
  test('over loopback also in plain', async () => {
    const port = gateway.port('gatewayHttp');
    expect((await call(`http://127.0.0.1:${port}/api/v1/labels`, users.reader)).status).toBe(200);
  });
  const other = outerAddress();
  test.skipIf(other === undefined)(
    'in plain from other addresses only what needs no credentials',
    async () => {
      const port = gateway.port('gatewayHttp');
      expect(await open(`http://${other}:${port}`, users.boss, 403)).toEqual(through('anybody'));
      const page = await fetch(`http://${other}:${port}/`, {
        ...{ headers: { accept: 'text/html' }, redirect: 'manual' },
      });
      expect([page.status, page.headers.get('location')]).toEqual([307, `https://${other}:${port}/`]);
      expect((await call(`https://${other}:${port}/`, users.reader)).status).toBe(200);
    },
  );
});

test('OTLP on its own ports, by HTTP and by gRPC', async () => {
  const statusOf = async (user: User | undefined): Promise<number> =>
    (
      await call(`https://127.0.0.1:${gateway.port('otlpHttp')}/v1/logs`, user, {
        ...{ method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } },
      })
    ).status;
  expect(await Promise.all([undefined, users.reader, users.sender].map(statusOf))).toEqual([401, 403, 200]);
  const grpcStatus = async (user: User | undefined): Promise<unknown> => {
    const session = connectHttp2(`https://127.0.0.1:${gateway.port('otlpGrpc')}`, { ca });
    const authorization = user && `Basic ${Buffer.from(`${user.id}:${user.secret}`).toString('base64')}`;
    const stream = session.request({
      ...{ ':method': 'POST', ':path': '/opentelemetry.proto.collector.logs.v1.LogsService/Export' },
      ...{ 'content-type': 'application/grpc', ...(authorization && { authorization }) },
    });
    let status: unknown;
    for (const event of ['response', 'trailers'] as const)
      stream.on(event, (headers: Record<string, unknown>) => {
        status ??= headers['grpc-status'];
      });
    stream.end(Buffer.alloc(5)); // an empty request
    stream.resume();
    await once(stream, 'close');
    session.close();
    return status;
  };
  expect(await Promise.all([undefined, users.reader, users.sender].map(grpcStatus))).toEqual([
    '16',
    '7',
    '0',
  ]);
});

describe('SQL', () => {
  const ask = async (user: User, text: string, tls: boolean): Promise<unknown> => {
    const client = new pg.Client({
      ...{ host: '127.0.0.1', port: gateway.port('gatewayPg'), database: 'demo' },
      ...{ user: user.id, password: user.secret, ...(tls && { ssl: { ca } }) },
    });
    try {
      await client.connect();
      return (await client.query(text)).rows[0];
    } catch (error) {
      return (error as { code: string }).code;
    } finally {
      await client.end().catch(() => undefined);
    }
  };
  test.each([true, false])('users and roles, over TLS: %s', async (tls) => {
    const said = [];
    for (const user of [
      { id: 'nobody', secret: 'x' },
      { id: 'reader', secret: 'x' },
      ...Object.values(users),
    ])
      said.push(await ask(user, 'SELECT 1 AS one', tls));
    expect(said).toEqual(['28P01', '28P01', '42501', { one: 1 }, { one: 1 }]);
  });
  test('the audit log is for those who may do everything', async () => {
    const count = 'SELECT count(*)::int AS n FROM audit';
    expect(await ask(users.reader, count, true)).toBe('42P01');
    expect(await ask(users.boss, count, true)).toEqual({ n: expect.any(Number) });
    expect(await ask(users.boss, 'DELETE FROM audit', true)).toBe('25006');
    await expect(sql(url, count, users.reader)).rejects.toThrow('42P01');
    const lines = await sql(
      url,
      `SELECT actor, address, action, subject, result FROM audit
       WHERE action IN ('add user', 'log in', 'ask without the role ingest') ORDER BY id`,
      users.boss,
    );
    expect(lines).toEqual(
      expect.arrayContaining([
        ['first start', '', 'add user', 'admin', 'done'],
        [expect.stringMatching(/^command of /), '', 'add user', 'sender', 'done'],
        ['reader', '127.0.0.1', 'log in', 'http', 'refused'],
        ['nobody', '127.0.0.1', 'log in', 'sql', 'refused'],
        ['reader', '127.0.0.1', 'ask without the role ingest', 'POST /api/v1/write', 'refused'],
      ]),
    );
  });
});

test('MQTT: who may send publishes, who may read subscribes, in plain and over TLS', async () => {
  const allowed = async (user: User | undefined, port: string, scheme: string): Promise<string> => {
    const options = user && { username: user.id, password: user.secret };
    const to = `${scheme}://127.0.0.1:${gateway.port(port)}`;
    try {
      const client = await mqtt.connectAsync(to, { ...options, ca, reconnectPeriod: 0, protocolVersion: 5 });
      client.on('error', () => undefined);
      const can = (done: Promise<unknown>, word: string): Promise<string> =>
        done.then(
          () => word,
          () => '',
        );
      const words = [
        await can(client.subscribeAsync('a/#', { qos: 1 }), 'reads'),
        await can(client.publishAsync('a/b', '1', { qos: 1 }), 'sends'),
      ];
      await client.endAsync(true);
      return words.filter(Boolean).join(' ');
    } catch {
      return 'refused';
    }
  };
  const tried = [undefined, { id: 'reader', secret: 'x' }, ...Object.values(users)];
  const expected = ['refused', 'refused', 'sends', 'reads', 'reads sends'];
  for (const [port, scheme] of [
    ['mqtt', 'mqtt'],
    ['mqttTls', 'mqtts'],
    ['mqttTlsWebSocket', 'wss'],
  ] as const)
    expect(await Promise.all(tried.map((user) => allowed(user, port, scheme)))).toEqual(expected);
});

test('no listener takes TLS 1.0 or 1.1', async () => {
  const ports: [string, string[]][] = [
    ...['gatewayHttp', 'otlpHttp'].map((name): [string, string[]] => [name, ['http/1.1']]),
    ...[['otlpGrpc', ['h2']] as [string, string[]], ['gatewayPg', ['postgresql']] as [string, string[]]],
    ...['mqttTls', 'mqttTlsWebSocket'].map((name): [string, string[]] => [name, []]),
  ];
  for (const [name, protocols] of ports)
    expect([name, await tlsVersions(gateway.port(name), ca, protocols)]).toEqual([
      name,
      ['TLSv1.2', 'TLSv1.3'],
    ]);
});

test('the first user’s password is forgotten with the next, and what a user has open ends', async () => {
  expect((await call(`${url}/api/v1/labels`, first)).status).toBe(200);
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port: gateway.port('gatewayPg'), database: 'demo', ssl: { ca } },
    ...{ user: first.id, password: first.secret },
  });
  const ended = new Promise<Error>((resolve) => client.on('error', resolve));
  await client.connect();
  expect(await firnUsers(['passwd', first.id], 'another password')).toMatchObject({ code: 0 });
  expect((await call(`${url}/api/v1/labels`, first)).status).toBe(401);
  expect((await call(`${url}/api/v1/labels`, { ...first, secret: 'another password' })).status).toBe(200);
  expect(`${await ended}`).toMatch(/terminating connection/);
  expect(readdirSync(security)).not.toContain('first-password');
});

test.each([
  [
    ['add', 'reader', '--roles', 'read'],
    password,
    'there is a user "reader" already',
    'firn users passwd reader',
  ],
  [['add', 'a:b', '--roles', 'read'], password, '"a:b" can\'t be the name of a user', 'no colon'],
  [['add', '_device', '--roles', 'read'], password, '"_device" can\'t be', 'does not begin'],
  [
    ['add', 'new', '--roles', 'fly'],
    password,
    '--roles: "fly" is not a list of roles',
    'ingest, read, admin',
  ],
  [['add', 'new'], password, '--roles ROLES is missing', 'firn users add --help'],
  [['add', 'new', '--roles', 'read'], 'short', 'less than 8 characters', 'standard input'],
  [['passwd', 'nobody'], password, 'there is no user "nobody"', 'firn users list'],
  [['remove', 'nobody'], '', 'there is no user "nobody"', 'firn users list'],
  [['roles', 'reader', ''], '', '--roles: "" is not a list', '--roles read,ingest'],
])('firn users %j says what is wrong and what to do', async (argv, line, message, hint) => {
  const { code, stderr } = await firnUsers(argv, line);
  expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
  expect(stderr).toContain(hint);
});

test('SIGKILL while users are added: each is there with its line, or neither is; and the log can not be changed', async () => {
  const adder = join(import.meta.dirname, '..', 'harness', 'add-users-process.ts');
  for (let round = 0; round < 5; round++) {
    const child = spawn(process.execPath, [adder, dataDir, `round-${round}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    await delay(20 + round * 13);
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  const db = new Database(join(security, 'security.db'));
  const names = (text: string): unknown[] => db.prepare(text).pluck().all();
  const added = names("SELECT name FROM user WHERE name LIKE 'round-%' ORDER BY name");
  expect(added).toEqual(
    names("SELECT subject FROM audit WHERE action = 'add user' AND subject LIKE 'round-%' ORDER BY subject"),
  );
  expect(added.length).toBeGreaterThanOrEqual(5);
  const [one] = added as [string];
  expect((await call(`${url}/api/v1/labels`, { id: one, secret: 'a password' })).status).toBe(200);
  for (const statement of ['DELETE FROM audit', "UPDATE audit SET actor = 'x'"])
    expect(() => db.exec(statement)).toThrow('the audit log is append-only');
  db.close();
});

test('a support bundle asks the gateway, and has none of its secrets', async () => {
  const out = join(folder.path, 'bundle.tar.gz');
  const ports = ['--listen-host', '0.0.0.0', '--http-port', `${gateway.port('gatewayHttp')}`];
  const verifier = (await firn(['users', 'verifier'], password)).stdout.trim();
  const given = JSON.stringify([{ name: 'given', roles: ['read'], verifier }]);
  const flags = ['--data-dir', dataDir, ...ports, '--users', given, '--out', out];
  expect(await firn(['support', 'bundle', ...flags])).toMatchObject({ code: 0 });
  const { stdout } = await run('tar', ['-xzOf', out]);
  expect(stdout).toContain('firn_gateway_');
  const secrets = ['device.secret', 'ca.key', 'site.key'].map(
    (name) =>
      readFileSync(join(security, name), 'utf8').split('\n').at(-2) ||
      readFileSync(join(security, name), 'utf8'),
  );
  for (const secret of [...secrets, verifier, password, first.secret]) expect(stdout).not.toContain(secret);
});

test('users of the configuration, wider modes, and the same authority after a restart', async () => {
  await gateway.stop();
  const verifier = (await firn(['users', 'verifier'], 'given password')).stdout.trim();
  const given = JSON.stringify([{ name: 'given', roles: ['read'], verifier }]);
  chmodSync(join(security, 'ca.key'), 0o644);
  gateway = await start('--users', given, '--login-failures-per-name-max', '3');
  url = `https://127.0.0.1:${gateway.port('gatewayHttp')}`;
  expect(statSync(join(security, 'ca.key')).mode & 0o777).toBe(0o600);
  expect(gateway.output()).toContain('a secret file could be read by others');
  for (const name of readdirSync(security))
    expect([name, statSync(join(security, name)).mode & 0o777]).toEqual([name, 0o600]);
  expect(readFileSync(join(security, 'ca.crt'), 'utf8')).toBe(ca);
  const user = { id: 'given', secret: 'given password' };
  expect((await call(`${url}/api/v1/labels`, user)).status).toBe(200);
  // Failed logins count together, whatever is to be entered.
  for (let time = 0; time < 3; time++)
    await call(`${url}/api/v1/labels`, { ...users.sender, secret: 'guess' });
  const closed = await call(`${url}/api/v1/labels`, users.sender);
  expect([closed.status, Number(closed.headers.get('retry-after')) > 0]).toEqual([429, true]);
  await expect(
    mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, {
      ...{ username: 'sender', password, reconnectPeriod: 0 },
    }),
  ).rejects.toThrow();
});

test('a start with a key that everybody can read is refused', async () => {
  const keyFile = join(folder.path, 'own.key');
  writeFileSync(keyFile, 'key', { mode: 0o644 });
  const own = ['--tls-cert-file', keyFile, '--tls-key-file', keyFile];
  const { code, stderr } = await firn([
    'gateway',
    '--data-dir',
    join(folder.path, 'other'),
    ...own,
    '--http-port',
    '0',
    ...[
      '--mqtt-port',
      '0',
      '--mqtt-web-socket-port',
      '0',
      '--mqtt-tls-port',
      '0',
      '--mqtt-tls-web-socket-port',
      '0',
    ],
    ...['--pgwire-port', '0', '--otlp-listen', 'false'],
  ]);
  expect([code, stderr]).toEqual([
    1,
    expect.stringContaining(`tls.keyFile: everybody on this machine may open ${keyFile}`),
  ]);
  expect(stderr).toContain(`chmod o-rwx ${keyFile}`);
});
