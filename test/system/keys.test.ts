import { connect } from 'node:http2';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { call, type Part, readKey, run, sql, startPart, temporaryFolder } from '../harness/firn.ts';
import { callRpc, framed } from '../harness/grpc.ts';
import { waitFor } from '../harness/process.ts';
import { type Door, doors } from './doors.ts';

// Who may do what in a running cloud: each kind of key at each door, and the commands that make keys.

interface Key {
  readonly id: string;
  readonly secret: string;
}

const folder = temporaryFolder();
const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
const program = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
let cloud: Part;
let gateways: Part[] = [];
let url: string;
let operator: Key;
let owner: Key;

/** `firn …` with a key; its JSON, or what went wrong. */
async function firn<T>(key: Key, ...argv: string[]): Promise<T> {
  const env = { FIRN_URL: url, FIRN_KEY: `${key.id}:${key.secret}` };
  const { code, stdout, stderr } = await run(process.execPath, [program, ...argv, '--json'], env);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

const newKey = (...flags: string[]): Promise<Key> =>
  firn<Key>(operator, 'keys', 'create', '--tenant', 'demo', ...flags);

beforeAll(async () => {
  // Wrong keys are tried at every door; logins.test.ts is about how often that may be.
  const unlimited = ['--login-failures-per-name-max', '0', '--login-failures-per-address-max', '0'];
  cloud = await startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store, ...unlimited]);
  url = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
  owner = readKey(join(folder.path, 'cloud', 'keys', 'demo.key'));
  operator = readKey(join(folder.path, 'cloud', 'keys', '_operator.key'));
  const sites = ['north', 'south'];
  gateways = await Promise.all(
    sites.map((site) =>
      startPart('gateway', [
        ...['--data-dir', join(folder.path, site), ...store, '--site', site, '--gateway', `gw-${site}`],
        ...['--seal-interval-ms', '300'],
      ]),
    ),
  );
  for (const gateway of gateways)
    for (const line of ['3', '4']) {
      const http = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
      const timeUnixNano = `${Date.now()}000000`;
      const attributes = [{ key: 'line', value: { stringValue: line } }];
      const metrics = [{ name: 'heat', gauge: { dataPoints: [{ timeUnixNano, asDouble: 1, attributes }] } }];
      const body = JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] });
      const sent = await fetch(`${http}/v1/metrics`, {
        method: 'POST',
        body,
        headers: { 'Content-Type': 'application/json' },
      });
      expect(sent.status).toBe(200);
      const push = { streams: [{ stream: { line }, values: [[timeUnixNano, 'hot']] }] };
      const pushed = await fetch(`${http}/loki/api/v1/push`, {
        method: 'POST',
        body: JSON.stringify(push),
        headers: { 'Content-Type': 'application/json' },
      });
      expect(pushed.status).toBe(204);
    }
  await waitFor('rows in the cloud', 60_000, async () => {
    const counts = await sql(
      url,
      "SELECT (SELECT count(*) FROM metrics WHERE name = 'heat'), (SELECT count(*) FROM logs)",
      owner,
    );
    return `${counts}` === '4,4' ? true : undefined;
  });
});
afterAll(async () => {
  for (const part of [...gateways, cloud]) await part?.stop();
  folder[Symbol.dispose]();
});

const status = async (path: string, key: Key | undefined, init?: RequestInit): Promise<number> =>
  (await call(`${url}${path}`, key, init)).status;

const queries = [
  '/api/v1/query?query=heat',
  '/api/v1/labels',
  '/api/v1/label/line/values',
  '/loki/api/v1/labels',
  '/loki/api/v1/query_range?query=%7Bline%3D%223%22%7D',
  '/api/v1/firn/completeness',
];
const ofAllRows = ['/api/v1/firn/quarantine', '/api/v1/firn/plan?table=metrics', '/iceberg/v1/config'];
const ofOperators = ['/api/v1/firn/admin/tenants', '/api/v1/firn/admin/audit'];
const ofAdmins = ['/api/v1/firn/admin/tenants/demo/keys'];
const ofOthers = ['/api/v1/firn/admin/tenants/other/keys', '/iceberg/v1/other/namespaces'];
const tried = [...queries, ...ofAllRows, ...ofOperators, ...ofAdmins, ...ofOthers];

describe('each door, by kind of key', () => {
  const expected = async (
    key: Key | undefined,
    open: readonly string[],
    otherwise: number,
  ): Promise<void> => {
    for (const door of tried)
      expect([door, await status(door, key)]).toEqual([door, open.includes(door) ? 200 : otherwise]);
  };

  test('none, and ones that are no keys', async () => {
    for (const key of [undefined, { id: owner.id, secret: 'wrong' }, { id: 'nobody', secret: owner.secret }])
      await expected(key, [], 401);
  });
  test('one that reads', async () => expected(await newKey(), [...queries, ...ofAllRows], 403));
  test('one that sends', async () => expected(await newKey('--scopes', 'ingest'), [], 403));
  test('one that manages keys', async () => expected(await newKey('--scopes', 'admin'), ofAdmins, 403));
  test('one that sees a site', async () => expected(await newKey('--sites', 'north'), queries, 403));
  test('one that is over', async () =>
    expected(await newKey('--expires-at', '2020-01-01T00:00:00Z'), [], 401));
  test('an operator’s', async () => {
    for (const door of [...ofOperators, ...ofAdmins])
      expect([door, await status(door, operator)]).toEqual([door, 200]);
    for (const door of queries) expect([door, await status(door, operator)]).toEqual([door, 403]);
  });
});

/** As an HTTP endpoint would answer. */
async function rpcAnswer(path: string, key: Key | undefined): Promise<{ status: number; text: string }> {
  const client = connect(`http://127.0.0.1:${cloud.port('cloudGrpc')}`);
  const authorization = key && `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`;
  const called = await callRpc(client, path, framed(Buffer.alloc(0)), {
    ...(authorization && { authorization }),
  });
  client.destroy();
  return { status: { 16: 401, 7: 403, 0: 200 }[called.status] ?? 500, text: called.message };
}

describe('every endpoint, by kind of key', () => {
  const answers = async (endpoint: string, key: Key | undefined, tenant: string) => {
    const [method = '', path = ''] = endpoint.split(' ');
    if (method === 'RPC') return rpcAnswer(path, key);
    const filled = path.replace(/:(tenant|prefix|namespace)/g, tenant).replaceAll(/:\w+/g, 'x');
    const answer = await call(`${url}${filled}`, key, { method, ...(method !== 'GET' && { body: '{}' }) });
    return { status: answer.status, text: await answer.text() };
  };
  /** What is not refused, of endpoints that take keys; and that nothing of the tenant demo is in any answer. */
  const open = async (key: Key | undefined, tenant: string, foreign: boolean): Promise<string[]> => {
    const found: string[] = [];
    for (const [endpoint, door] of doors) {
      const { status: code, text } = await answers(endpoint, key, tenant);
      if (door === 'anybody') continue;
      if (code !== 401 && code !== 403) found.push(endpoint);
      if (foreign)
        expect([endpoint, text]).not.toMatchObject([endpoint, expect.stringMatching(/gw-north|"hot"/)]);
    }
    return found;
  };
  const through = (...kinds: Door[]): string[] =>
    [...doors].filter(([, door]) => kinds.includes(door)).map(([endpoint]) => endpoint);

  test('is in the table of doors', () => {
    expect(cloud.ready.endpoints).toEqual([...doors.keys()].toSorted());
  });
  test('none, one that is wrong, and one that is over', async () => {
    const over = await newKey('--expires-at', '2020-01-01T00:00:00Z');
    for (const key of [undefined, { id: owner.id, secret: 'wrong' }, over])
      expect(await open(key, 'demo', true)).toEqual([]);
  });
  test.each<[string, string, Door[]]>([
    ['read', '', ['key', 'reads', 'whole']],
    ['read', 'north', ['key', 'reads']],
    ['ingest', '', ['key', 'sends']],
    ['ingest', 'north', ['key', 'sends']],
    ['admin', '', ['key', 'manages']],
    ['read,admin', '', ['key', 'manages', 'reads', 'whole', 'changes']],
    ['read,admin', 'north', ['key', 'reads']],
  ])('one with the scope %s and the site "%s"', async (scopes, site, kinds) => {
    const key = await newKey('--scopes', scopes, ...(site === '' ? [] : ['--sites', site]));
    expect((await open(key, 'demo', false)).toSorted()).toEqual(through(...kinds).toSorted());
  });
  test('an operator’s, which reaches no data', async () => {
    const kinds: Door[] = ['key', 'manages', 'operator'];
    expect((await open(operator, 'nobody', true)).toSorted()).toEqual(through(...kinds).toSorted());
  });
  test('one of another tenant, which sees what is its own', async () => {
    await firn(operator, 'tenants', 'create', 'third');
    const key = await firn<Key>(operator, 'keys', 'create', '--tenant', 'third', '--scopes', 'read,admin');
    const ofNobody = through('key', 'reads', 'whole', 'changes').filter((each) => !each.includes(':prefix'));
    expect((await open(key, 'demo', true)).toSorted()).toEqual(ofNobody.toSorted());
  });
});

test('another tenant’s key sees nothing of this one', async () => {
  await firn(operator, 'tenants', 'create', 'other');
  const other = await firn<Key>(operator, 'keys', 'create', '--tenant', 'other', '--scopes', 'read,admin');
  expect(await sql(url, 'SELECT count(*) FROM metrics', other)).toEqual([[0]]);
  expect(await status(ofAdmins[0] ?? '', other)).toBe(403);
  expect(await status('/api/v1/labels', other, { headers: { 'X-Scope-OrgID': 'demo' } })).toBe(403);
  expect(await status('/api/v1/labels', other, { headers: { 'X-Scope-OrgID': 'other' } })).toBe(200);
});

test.each([
  ['--labels', 'line=3', { metrics: 2, logs: 2, lines: ['3'] }],
  ['--sites', 'north', { metrics: 2, logs: 2, lines: ['3', '4'] }],
  ['--signals', 'logs', { metrics: 0, logs: 4, lines: [] }],
])('a key with %s %s sees these rows only, in every language', async (flag, value, seen) => {
  const key = await newKey(flag, value);
  const count = async (text: string): Promise<unknown> => (await sql(url, text, key))[0]?.[0];
  expect(await count("SELECT count(*) FROM metrics WHERE name = 'heat'")).toBe(seen.metrics);
  expect(await count('SELECT count(*) FROM logs')).toBe(seen.logs);
  const answer = async (path: string): Promise<unknown> => (await call(`${url}${path}`, key)).json();
  expect(await answer('/api/v1/query?query=count(heat)')).toMatchObject({
    data: { result: seen.metrics === 0 ? [] : [{ value: [expect.any(Number), `${seen.metrics}`] }] },
  });
  expect(await answer('/api/v1/label/line/values')).toMatchObject({ data: seen.lines });
  const found = (await answer(`/loki/api/v1/query_range?query=${encodeURIComponent('{line=~".+"}')}`)) as {
    data: { result: { values: unknown[] }[] };
  };
  expect(found.data.result.flatMap(({ values }) => values).length).toBe(seen.logs);
  const client = new pg.Client({
    host: '127.0.0.1',
    port: cloud.port('cloudPg'),
    database: 'demo',
    user: key.id,
    password: key.secret,
  });
  await client.connect();
  const rows = await client.query("SELECT count(*)::int AS n FROM metrics WHERE name = 'heat'");
  expect(rows.rows).toEqual([{ n: seen.metrics }]);
  await client.end();
});

test('a key is replaced, and revoked, without a restart; the log says who did it', async () => {
  const old = await newKey('--description', 'a dashboard');
  const next = await firn<Key>(
    owner,
    'keys',
    'rotate',
    old.id,
    '--tenant',
    'demo',
    '--overlap-seconds',
    '600',
  );
  expect([await status('/api/v1/labels', old), await status('/api/v1/labels', next)]).toEqual([200, 200]);
  for (const key of [old, next]) await firn(owner, 'keys', 'revoke', key.id, '--tenant', 'demo');
  expect([await status('/api/v1/labels', old), await status('/api/v1/labels', next)]).toEqual([401, 401]);
  const log = await firn<{ action: string; actor: string; subject: string }[]>(
    operator,
    'audit',
    '--limit',
    '3',
  );
  expect(log.map(({ action, actor, subject }) => [action, actor, subject])).toEqual([
    ['revoke key', owner.id, next.id],
    ['revoke key', owner.id, old.id],
    ['rotate key', owner.id, old.id],
  ]);
});

test('what a key has opened ends with it', async () => {
  const key = await newKey();
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port: cloud.port('cloudPg'), database: 'demo' },
    ...{ user: key.id, password: key.secret },
  });
  const ended = new Promise<Error>((resolve) => client.on('error', resolve));
  await client.connect();
  await client.query('SELECT 1');
  const authorization = `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`;
  const tail = new WebSocket(
    `${url.replace('http', 'ws')}/loki/api/v1/tail?query=${encodeURIComponent('{line=~".+"}')}`,
    {
      headers: { authorization },
    },
  );
  const closed = new Promise<number>((resolve) => tail.once('close', resolve));
  await new Promise((resolve) => tail.once('open', resolve));
  await firn(owner, 'keys', 'revoke', key.id, '--tenant', 'demo');
  expect(`${await ended}`).toMatch(/terminating connection/);
  expect(await closed).toBe(1008);
});

test('a suspended tenant’s keys are refused until it goes on', async () => {
  await firn(operator, 'tenants', 'create', 'late-payer');
  const key = await firn<Key>(operator, 'keys', 'create', '--tenant', 'late-payer');
  await firn(operator, 'tenants', 'suspend', 'late-payer');
  expect(await status('/api/v1/labels', key)).toBe(401);
  await firn(operator, 'tenants', 'resume', 'late-payer');
  expect(await status('/api/v1/labels', key)).toBe(200);
});

test.each([
  [['tenants', 'create', 'demo'], 'tenant demo exists'],
  [['tenants', 'create', 'Bad Name'], 'tenant id "Bad Name" is not valid'],
  [['tenants', 'suspend', '../demo'], 'there is no tenant ../demo'],
  [['keys', 'create', '--tenant', 'nobody'], 'there is no tenant nobody'],
  [['keys', 'create', '--tenant', 'demo', '--scopes', 'fly'], 'scopes.0: '],
  [['keys', 'create', '--tenant', 'demo', '--expires-at', 'soon'], 'expiresAt: '],
  [['keys', 'create', '--tenant', 'demo', '--labels', 'line'], '--labels: "line" is not NAME=VALUE'],
  [['keys', 'revoke', 'nothing', '--tenant', 'demo'], 'there is no key nothing'],
  [['keys', 'rotate', 'nothing', '--tenant', 'demo', '--overlap-seconds', '-1'], 'overlapSeconds: '],
])('firn %j says what is wrong', async (argv, message) => {
  await expect(firn(operator, ...argv)).rejects.toThrow(message);
});
