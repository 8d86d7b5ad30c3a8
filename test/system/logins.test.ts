import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { call, type Part, readKey, startPart, temporaryFolder } from '../harness/firn.ts';

// Whoever guesses secrets of a cloud has to wait, and learns nothing meanwhile.

const folder = temporaryFolder();
const metricsToken = 'for-prometheus-0123456789';
type Key = ReturnType<typeof readKey>;
let cloud: Part;
let url: string;
let owner: Key;

beforeAll(async () => {
  cloud = await startPart('cloud', [
    ...['--data-dir', join(folder.path, 'cloud'), '--login-failures-per-name-max', '3'],
    ...['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')],
    ...['--metrics-token', metricsToken],
  ]);
  url = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
  owner = readKey(join(folder.path, 'cloud', 'keys', 'demo.key'));
});
afterAll(async () => {
  await cloud?.stop();
  folder[Symbol.dispose]();
});

const labels = (key: Key): Promise<Response> => call(`${url}/api/v1/labels`, key);
const sqlError = async ({ id: user, secret: password }: Key): Promise<{ code?: string; message: string }> => {
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port: cloud.port('cloudPg'), database: 'demo', user, password },
  });
  try {
    await client.connect();
    return { message: 'connected' };
  } catch (error) {
    return error as Error;
  } finally {
    await client.end().catch(() => undefined);
  }
};

test('a name that is guessed at is closed, whether there is such a key or not, and at every door', async () => {
  const said = [];
  for (const id of [owner.id, 'demo-00000000']) {
    const statuses = [];
    for (let time = 0; time < 3; time++)
      statuses.push((await labels({ id, secret: `guess-${time}` })).status);
    expect(statuses).toEqual([401, 401, 401]);
    const closed = await labels({ id, secret: owner.secret });
    expect([closed.status, Number(closed.headers.get('retry-after')) > 0]).toEqual([429, true]);
    const body = (await closed.json()) as { error: string };
    const { code, message } = await sqlError({ id, secret: owner.secret });
    const catalog = await fetch(`${url}/iceberg/v1/oauth/tokens`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: id,
        client_secret: owner.secret,
      }),
    });
    const tail = new WebSocket(`${url.replace('http', 'ws')}/loki/api/v1/tail?query={a="b"}`, {
      headers: { authorization: `Basic ${Buffer.from(`${id}:${owner.secret}`).toString('base64')}` },
    });
    const refused = await new Promise<string>((resolve) =>
      tail.once('error', ({ message: why }) => resolve(why)),
    );
    const words = [body.error, message, refused].map((text) => text.replace(/\d+ s$/, 'N s'));
    said.push([code, catalog.status, ...words]);
  }
  expect(said[0]).toEqual(said[1]);
  expect(said[0]).toEqual([
    ...['28000', 429, 'too many failed logins; try again in N s', 'too many failed logins; try again in N s'],
    expect.stringContaining('401'),
  ]);
  // The secret alone is another name, which nobody has guessed at.
  const bearer = await fetch(`${url}/api/v1/labels`, {
    headers: { authorization: `Bearer ${owner.secret}` },
  });
  expect(bearer.status).toBe(200);
  expect(cloud.output()).toContain('too many failed logins');
});

test('what was done and refused is the table audit, for keys with the scope admin', async () => {
  const admin = `${url}/api/v1/firn/admin/tenants/demo/keys`;
  const bearer = { authorization: `Bearer ${owner.secret}`, 'content-type': 'application/json' };
  const made = async (spec: object): Promise<Key> => {
    const answer = await fetch(admin, { method: 'POST', headers: bearer, body: JSON.stringify(spec) });
    return ((await answer.json()) as { data: Key }).data;
  };
  const hostile = `'); DROP TABLE x; --"`;
  const reader = await made({ description: hostile, scopes: ['read'] });
  const north = await made({ scopes: ['read', 'admin'], restriction: { sites: ['north'] } });
  for (let time = 0; time < 3; time++) expect((await call(admin, reader)).status).toBe(403);
  const asked = async (key: Pick<Key, 'secret'>, statement: string): Promise<Record<string, unknown>> => {
    const headers = { authorization: `Bearer ${key.secret}` };
    const answer = await fetch(`${url}/api/v1/firn/sql`, { method: 'POST', headers, body: statement });
    return (await answer.json()) as Record<string, unknown>;
  };
  const answer = await asked(
    owner,
    "SELECT actor, action, address, result FROM audit WHERE timestamp > now() - interval '1 hour' ORDER BY id",
  );
  expect(answer.rows, JSON.stringify(answer)).toEqual([
    ['cloud', 'create tenant', '', 'done'],
    ['cloud', 'create key', '', 'done'],
    [owner.id, 'log in, failed too often', '127.0.0.1', 'refused'],
    [owner.id, 'create key', '127.0.0.1', 'done'],
    [owner.id, 'create key', '127.0.0.1', 'done'],
    [reader.id, 'get /tenants/{tenant}/keys', '127.0.0.1', 'refused'],
  ]);
  const details = await asked(owner, "SELECT detail->>'description' FROM audit WHERE detail LIKE '%DROP%'");
  expect(details.rows).toEqual([[hostile]]);
  for (const key of [reader, north])
    expect(await asked(key, 'SELECT * FROM audit')).toMatchObject({ error: { code: '42P01' } });
  for (const statement of ['DELETE FROM audit', "INSERT INTO audit (actor) VALUES ('x')"])
    expect(await asked(owner, statement)).toMatchObject({ error: { code: '25006' } });
});

test('metrics of the cloud are for its operator and for the token, in words that Prometheus reads', async () => {
  const read = async (headers: Record<string, string>) => {
    const answer = await fetch(`${url}/metrics`, { headers });
    return { status: answer.status, text: await answer.text() };
  };
  const basic = ({ id, secret }: Key) => ({
    authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
  });
  const operator = readKey(join(folder.path, 'cloud', 'keys', '_operator.key'));
  const bearer = { authorization: `Bearer ${owner.secret}` };
  expect((await read({})).status).toBe(401);
  expect((await read({ authorization: 'Bearer no-token-of-this-cloud' })).status).toBe(401);
  expect((await read(bearer)).status).toBe(403);
  expect((await fetch(`${url}/api/v1/labels`, { headers: bearer })).status).toBe(200);
  const { status, text } = await read({ authorization: `Bearer ${metricsToken}` });
  expect(status).toBe(200);
  expect((await read(basic(operator))).status).toBe(200);
  for (const line of [
    /^firn_cloud_info\{version="[^"]+"\} 1$/m,
    /^# TYPE firn_cloud_ingest_commits_total counter$/m,
    /^firn_cloud_maintain_merges_total \d+$/m,
    /^firn_cloud_gateways_online 0$/m,
    /^firn_cloud_tenant_queries_total\{tenant="demo"\} [1-9]\d*$/m,
    /^firn_cloud_http_answers_total\{status="401"\} [1-9]\d*$/m,
    /^firn_cloud_event_loop_delay_seconds\{quantile="0.99"\} [\d.e-]+$/m,
    /^process_resident_memory_bytes \d+$/m,
  ])
    expect(text).toMatch(line);
  // The token opens nothing else.
  const elsewhere = await fetch(`${url}/api/v1/labels`, {
    headers: { authorization: `Bearer ${metricsToken}` },
  });
  expect(elsewhere.status).toBe(401);
});

test('guesses over SQL count like those over HTTP', async () => {
  const guessed = { id: 'demo-11111111', secret: 'guess' };
  for (let time = 0; time < 3; time++) expect((await sqlError(guessed)).code).toBe('28P01');
  expect((await sqlError(guessed)).code).toBe('28000');
  expect((await labels(guessed)).status).toBe(429);
});

test('an address that guesses at many names is closed to new ones', async () => {
  for (let time = 0; time < 60; time++) await labels({ id: `demo-${time}`, secret: 'x' });
  expect((await labels({ id: 'demo-99999999', secret: 'x' })).status).toBe(429);
});
