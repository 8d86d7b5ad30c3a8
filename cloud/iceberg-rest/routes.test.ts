import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { noLoginLimits } from '../../lake/base/login-attempts.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { locationOf, someFile, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { memoryStore } from '../../test/contract/memory-store.ts';
import { changeMetadata, commit } from '../catalog/commit.ts';
import { openTable } from '../catalog/table.ts';
import { openLogins } from '../tenants/logins.ts';
import { openTenantStore } from '../tenants/tenant-store.ts';
import { icebergRestRoutes } from './routes.ts';
import { servedTables } from './served-tables.ts';

// Requests as pyiceberg, Spark, Trino, DuckDB and ClickHouse send them.

const folder = mkdtempSync(join(tmpdir(), 'firn-iceberg-rest-'));
afterAll(async () => {
  await keys[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});
const keys = await openTenantStore({ directory: folder });
const by = { name: 'test', address: '' };
const keyFor = async (name: string, more: object = {}) => {
  await keys.createTenant(tenantId(name), by).catch(() => undefined); // it is there
  return keys.createKey(tenantId(name), { description: '', scopes: ['read'], ...more }, by);
};
const key = await keyFor(tenant);
const otherKey = await keyFor('other');
const clock = stillClock();
const store = memoryStore();
const open = (signal: 'metrics' | 'logs') => openTable({ store, tenant, signal, locationOf, clock });
const app = icebergRestRoutes({
  tables: servedTables({ store, locationOf, clock, maxAgeMs: 0 }),
  keys,
  logins: openLogins(keys, noLoginLimits),
  addressOf: () => '127.0.0.1',
  clock,
  fileConfig: { 's3.region': 'us-east-1' },
  vendor: {
    credentialsOf: async (of, table) => ({
      prefix: locationOf(`${of}/`),
      config: { 's3.access-key-id': `session-of-${table}` },
    }),
    [Symbol.dispose]: () => undefined,
  },
});
const bearer = { Authorization: `Bearer ${key.secret}` };
const get = (path: string, headers: Record<string, string> = bearer) => app.request(path, { headers });

beforeAll(async () => {
  for (const signal of ['metrics', 'logs'] as const)
    for (const name of ['a', 'b'])
      await commit(open(signal), () => ({ added: [someFile(name, tableSchemas[signal])], summary: {} }));
});

test('config: defaults, overrides and endpoints are there, and another warehouse is none', async () => {
  const answer = await get('/v1/config?warehouse=acme');
  expect(await answer.json()).toEqual({
    defaults: {},
    overrides: { prefix: 'acme' },
    endpoints: expect.arrayContaining(['HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}']),
  });
  expect((await get('/v1/config')).status).toBe(200);
  expect((await get('/v1/config?warehouse=other')).status).toBe(404);
});

test('every endpoint that is advertised answers, and no write is among them', async () => {
  const { endpoints } = (await (await get('/v1/config')).json()) as { endpoints: string[] };
  for (const endpoint of endpoints) {
    const [method = '', template = ''] = endpoint.split(' ');
    const path = template
      .replace('{prefix}', 'acme')
      .replace('{namespace}', 'acme')
      .replace('{table}', 'metrics');
    const answer = await app.request(path, {
      method,
      headers: bearer,
      ...(method === 'POST' && { body: '{}' }),
    });
    expect(answer.ok, endpoint).toBe(true);
    if (method === 'HEAD') expect(answer.status, endpoint).toBe(204);
  }
  expect(endpoints.filter((each) => !/^(GET|HEAD) /.test(each))).toEqual([
    'POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics',
  ]);
});

test('namespaces: one, and it has no children', async () => {
  const list = async (query: string) => (await get(`/v1/acme/namespaces${query}`)).json();
  expect(await list('')).toEqual({ namespaces: [['acme']] });
  expect(await list('?pageToken=&pageSize=100&parent=')).toMatchObject({ namespaces: [['acme']] });
  expect(await list('?parent=acme')).toMatchObject({ namespaces: [] });
  expect(await list('?parent=acme%1Fx')).toMatchObject({
    error: { type: 'NoSuchNamespaceException', code: 404 },
  });
  expect(await (await get('/v1/acme/namespaces/acme')).json()).toEqual({
    namespace: ['acme'],
    properties: {},
  });
});

test('tables are listed in pages', async () => {
  const list = async (query: string) => (await get(`/v1/acme/namespaces/acme/tables${query}`)).json();
  const [logs, metrics] = ['logs', 'metrics'].map((name) => ({ namespace: ['acme'], name }));
  expect(await list('?pageToken=')).toEqual({ identifiers: [logs, metrics] });
  expect(await list('?pageToken=&pageSize=1')).toEqual({ identifiers: [logs], 'next-page-token': 'logs' });
  expect(await list('?pageToken=logs&pageSize=1')).toEqual({
    identifiers: [metrics],
  });
});

interface Loaded {
  readonly 'metadata-location': string;
  readonly metadata: { readonly snapshots: readonly unknown[]; readonly 'current-snapshot-id': number };
  readonly config: Readonly<Record<string, string>>;
  readonly 'storage-credentials'?: readonly unknown[];
}
const path = '/v1/acme/namespaces/acme/tables/metrics';
const load = async (query = '', headers: Record<string, string> = {}): Promise<Loaded> =>
  (await (await get(`${path}${query}`, { ...bearer, ...headers })).json()) as Loaded;

test('a table is loaded with all snapshots or those that are referred to, and with credentials when asked', async () => {
  const all = await load();
  expect(all['metadata-location']).toBe('file:///lake/acme/lake/metrics/metadata/v2.metadata.json');
  expect(all.metadata.snapshots).toHaveLength(2);
  expect(all.config).toEqual({ 's3.region': 'us-east-1' });
  expect(all['storage-credentials']).toBeUndefined();
  const { metadata } = await load('?snapshots=refs');
  expect(metadata.snapshots).toEqual([
    expect.objectContaining({ 'snapshot-id': metadata['current-snapshot-id'] }),
  ]);
  const vended = await load('', { 'X-Iceberg-Access-Delegation': 'vended-credentials,remote-signing' });
  expect(vended.config).toMatchObject({ 's3.access-key-id': 'session-of-metrics', 's3.region': 'us-east-1' });
  expect(vended['storage-credentials']).toEqual([
    { prefix: 'file:///lake/acme/', config: { 's3.access-key-id': 'session-of-metrics' } },
  ]);
});

test('an ETag saves the second load, until something is committed', async () => {
  const first = await get(path);
  const etag = first.headers.get('etag') ?? '';
  expect(etag).toMatch(/^"[^"]+"$/);
  const unchanged = await get(path, { ...bearer, 'If-None-Match': etag });
  expect([unchanged.status, await unchanged.text()]).toEqual([304, '']);
  expect((await get(`${path}?snapshots=refs`, { ...bearer, 'If-None-Match': etag })).status).toBe(200);
  await changeMetadata(open('metrics'), (metadata) => ({
    ...metadata,
    properties: { ...metadata.properties, x: '1' },
  }));
  expect((await get(path, { ...bearer, 'If-None-Match': etag })).status).toBe(200);
});

test.each([
  ['GET', '/v1/acme/namespaces/nowhere', 404, 'NoSuchNamespaceException'],
  ['GET', '/v1/acme/namespaces/nowhere/tables', 404, 'NoSuchNamespaceException'],
  ['GET', '/v1/acme/namespaces/acme/tables/nothing', 404, 'NoSuchTableException'],
  ['GET', '/v1/acme/namespaces/acme/tables/..%2F..%2Fother', 404, 'NoSuchTableException'],
  ['GET', '/v1/acme/namespaces/acme/views/nothing', 404, 'NoSuchViewException'],
  ['GET', '/v1/other/namespaces', 403, 'ForbiddenException'],
  ['GET', '/v1/other/namespaces/other/tables/metrics', 403, 'ForbiddenException'],
  ['GET', '/v1/acme/functions', 404, 'NotFoundException'],
  ['POST', '/v1/acme/namespaces', 403, 'ForbiddenException'],
  ['DELETE', '/v1/acme/namespaces/acme', 403, 'ForbiddenException'],
  ['POST', '/v1/acme/namespaces/acme/tables', 403, 'ForbiddenException'],
  ['POST', '/v1/acme/namespaces/acme/tables/metrics', 403, 'ForbiddenException'],
  ['DELETE', '/v1/acme/namespaces/acme/tables/metrics?purgeRequested=true', 403, 'ForbiddenException'],
  ['POST', '/v1/acme/tables/rename', 403, 'ForbiddenException'],
  ['POST', '/v1/acme/transactions/commit', 403, 'ForbiddenException'],
])('%s %s is answered with %i %s', async (method, url, status, type) => {
  const answer = await app.request(url, { method, headers: bearer });
  expect([answer.status, await answer.json()]).toEqual([
    status,
    { error: { message: expect.any(String), type, code: status } },
  ]);
});

test('HEAD of what is not there is 404 without a body', async () => {
  const answer = await app.request('/v1/acme/namespaces/acme/tables/nothing', {
    method: 'HEAD',
    headers: bearer,
  });
  expect([answer.status, await answer.text()]).toEqual([404, '']);
});

const token = (form: Record<string, string>, headers: Record<string, string> = {}) =>
  app.request('/v1/oauth/tokens', { method: 'POST', body: new URLSearchParams(form), headers });

test('client credentials make a token, which can be exchanged, and ends', async () => {
  const form = {
    grant_type: 'client_credentials',
    client_id: key.id,
    client_secret: key.secret,
    scope: 'catalog',
  };
  const answer = await token(form);
  const { access_token: first, ...rest } = (await answer.json()) as { access_token: string };
  expect(rest).toEqual({
    token_type: 'bearer',
    expires_in: 3600,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    scope: 'catalog',
  });
  const config = (bearerToken: string) => get('/v1/config', { Authorization: `Bearer ${bearerToken}` });
  expect((await config(first)).status).toBe(200);
  const basic = Buffer.from(`${key.id}:${key.secret}`).toString('base64');
  const byHeader = await token({ grant_type: 'client_credentials' }, { Authorization: `Basic ${basic}` });
  expect(byHeader.status).toBe(200);

  clock.advance(1_800_000);
  const exchanged = await token({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: first,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  });
  const { access_token: second } = (await exchanged.json()) as { access_token: string };
  clock.advance(1_800_000);
  expect((await config(first)).status).toBe(401);
  expect((await config(second)).status).toBe(200);
});

test.each([
  [
    { grant_type: 'client_credentials', client_id: key.id, client_secret: otherKey.secret },
    401,
    'invalid_client',
  ],
  [{ grant_type: 'client_credentials' }, 401, 'invalid_client'],
  [{ grant_type: 'password' }, 400, 'unsupported_grant_type'],
  [
    { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token: 'x' },
    401,
    'invalid_client',
  ],
])('a token is refused for %j', async (form, status, error) => {
  const answer = await token(form);
  expect([answer.status, await answer.json()]).toEqual([
    status,
    { error, error_description: expect.any(String) },
  ]);
});

test('without credentials, and with tampered ones, nothing is told', async () => {
  const made = await token({
    grant_type: 'client_credentials',
    client_id: key.id,
    client_secret: key.secret,
  });
  const { access_token: good } = (await made.json()) as { access_token: string };
  const claims = Buffer.from(JSON.stringify({ key: otherKey.id, expiresMs: 9e15 })).toString('base64url');
  const forged = `fat_${claims}.${good.split('.')[1]}`;
  for (const bad of ['', 'x', `${good}x`, good.replace('.', '.A'), forged, 'fat_', 'fat_e30.']) {
    const answer = await get('/v1/config', bad === '' ? {} : { Authorization: `Bearer ${bad}` });
    expect([answer.status, await answer.json()]).toMatchObject([
      401,
      { error: { type: 'NotAuthorizedException' } },
    ]);
  }
});

const openApi = join(import.meta.dirname, '../../../shared/corpora/iceberg/spec/rest-catalog-open-api.yaml');

/** A validator of one of the specification's own schemas. */
function specSchema(name: string): z.ZodType {
  const { components } = parse(
    readFileSync(openApi, 'utf8').replaceAll('#/components/schemas/', '#/$defs/'),
    {
      merge: true,
    },
  ) as { components: { schemas: Record<string, unknown> } };
  const schema = { $ref: `#/$defs/${name}`, $defs: components.schemas };
  return z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
}

test.skipIf(!existsSync(openApi))(
  "answers are valid by the specification's schemas (skipped without the corpora)",
  async () => {
    const valid = async (name: string, url: string): Promise<void> => {
      const result = specSchema(name).safeParse(await (await get(url)).json());
      expect(result.error?.issues, `${name} ${url}`).toBeUndefined();
    };
    await valid('CatalogConfig', '/v1/config');
    await valid('ListNamespacesResponse', '/v1/acme/namespaces');
    await valid('GetNamespaceResponse', '/v1/acme/namespaces/acme');
    await valid('ListTablesResponse', '/v1/acme/namespaces/acme/tables');
    await valid('LoadTableResult', path);
    await valid('LoadTableResult', '/v1/acme/namespaces/acme/tables/logs');
    await valid('IcebergErrorResponse', '/v1/acme/namespaces/acme/tables/nothing');
    // And it sees what is wrong.
    const loaded = await load();
    for (const wrong of [
      { ...loaded.metadata, 'format-version': 'two' },
      { ...loaded.metadata, snapshots: [{ 'snapshot-id': 1 }] },
      { ...loaded.metadata, schemas: [{ type: 'list', fields: [] }] },
    ])
      expect(specSchema('TableMetadata').safeParse(wrong).success).toBe(false);
  },
);

test.each([
  ['without the scope read', { scopes: ['ingest'] }],
  ['that sees some rows only', { restriction: { sites: ['north'] } }],
])('a key %s reads no whole tables', async (_, more) => {
  const { id, secret } = await keyFor(tenant, more);
  expect((await get('/v1/config', { Authorization: `Bearer ${secret}` })).status).toBe(403);
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: id,
    client_secret: secret,
  });
  const token = await app.request('/v1/oauth/tokens', { method: 'POST', body: form });
  const { access_token } = (await token.json()) as { access_token: string };
  expect((await get('/v1/config', { Authorization: `Bearer ${access_token}` })).status).toBe(403);
});
