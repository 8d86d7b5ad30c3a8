import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Clock } from '../../lake/base/clock.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import type { ExistingTable } from '../catalog/table-head.ts';
import { isAccessToken, openAccessToken } from '../tenants/access-token.ts';
import type { Directory } from '../tenants/directory.ts';
import type { Logins } from '../tenants/logins.ts';
import type { CredentialVendor } from './credentials.ts';
import { errorResponse, noSuchNamespace, noSuchTable, RestError } from './errors.ts';
import { loadTableResult } from './load-table.ts';
import type { ServedTables } from './served-tables.ts';
import { tokenRoutes } from './tokens.ts';

// The Iceberg REST catalog protocol (rest-catalog-open-api.yaml), for other engines to read with: one namespace a tenant,
// named like it. They write nothing: the writes of the protocol answer 403.

export interface IcebergRestOptions {
  readonly tables: ServedTables;
  readonly keys: Directory;
  readonly logins: Logins;
  /** Address that a request came from. */
  readonly addressOf: (c: Context) => string;
  readonly clock: Clock;
  /** How clients reach the files, without secrets: `s3.endpoint` and the like. */
  readonly fileConfig: Readonly<Record<string, string>>;
  /** Absent: clients bring credentials of their own. */
  readonly vendor?: CredentialVendor | undefined;
}

type Env = { Variables: { tenant: TenantId } };

/** What clients may use; they keep to it exactly (`HEAD` is not tried where it isn't listed). */
const endpoints = [
  'GET /v1/{prefix}/namespaces',
  'GET /v1/{prefix}/namespaces/{namespace}',
  'HEAD /v1/{prefix}/namespaces/{namespace}',
  'GET /v1/{prefix}/namespaces/{namespace}/tables',
  'GET /v1/{prefix}/namespaces/{namespace}/tables/{table}',
  'HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}',
  'GET /v1/{prefix}/namespaces/{namespace}/tables/{table}/credentials',
  'POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics',
  'GET /v1/{prefix}/namespaces/{namespace}/views',
];

/** A metrics report that is larger is refused. */
const reportBytesMax = 1024 * 1024;

export function icebergRestRoutes(options: IcebergRestOptions): Hono<Env> {
  const app = new Hono<Env>();
  app.onError((error, c) => errorResponse(c, error));
  app.route('/', tokenRoutes(options));
  app.use('/v1/*', async (c, next) => {
    c.set('tenant', authenticated(c, options));
    return next();
  });
  app.get('/v1/config', (c) => {
    const tenant = c.get('tenant');
    const warehouse = c.req.query('warehouse') ?? '';
    if (warehouse !== '' && warehouse !== tenant)
      throw new RestError(
        404,
        'NoSuchWarehouseException',
        `there is no warehouse ${warehouse}; yours is ${tenant}`,
      );
    return c.json({ defaults: {}, overrides: { prefix: tenant }, endpoints });
  });
  namespaceRoutes(app);
  tableRoutes(app, options);
  app.on(['POST', 'PUT', 'PATCH', 'DELETE'], '/v1/*', () => {
    throw new RestError(
      403,
      'ForbiddenException',
      'this catalog is read-only: only Firn writes to its tables',
    );
  });
  app.all('*', (c) => {
    throw new RestError(404, 'NotFoundException', `this catalog has no ${c.req.method} ${c.req.path}`);
  });
  return app;
}

function authenticated(c: Context, { keys, logins, addressOf, clock }: IcebergRestOptions): TenantId {
  const header = c.req.header('authorization');
  const token = /^bearer +(.+)$/i.exec(header ?? '')?.[1]?.trim();
  // One that is over is nobody's guess.
  const access =
    token !== undefined && isAccessToken(token)
      ? openAccessToken(keys, token, clock.nowMs())
      : logins.ofHeader(header, addressOf(c));
  if (access?.tenant === undefined) {
    const message = 'give a key: its secret as a bearer token, or a token from /v1/oauth/tokens';
    throw new RestError(401, 'NotAuthorizedException', message);
  }
  // Files hold all rows.
  if (access.restriction !== undefined || !access.scopes.has('read')) {
    const message =
      'this key does not read whole tables: the catalog takes keys with the scope "read" and no restriction';
    throw new RestError(403, 'ForbiddenException', message);
  }
  return access.tenant;
}

/** Each tenant is its own prefix; whether another one exists is not told. */
function checkPrefix(c: Context<Env, '/v1/:prefix/*'>): void {
  const prefix = c.req.param('prefix');
  if (prefix !== c.get('tenant'))
    throw new RestError(403, 'ForbiddenException', `this key is not one of prefix ${prefix}`);
}

/** Levels of a namespace are separated by 0x1F; a tenant's has one. */
function checkNamespace(c: Context<Env>, namespace: string): void {
  if (namespace !== c.get('tenant')) throw noSuchNamespace(namespace.replaceAll('\u001f', '.'));
}

function namespaceRoutes(app: Hono<Env>): void {
  app.use('/v1/:prefix/*', async (c, next) => {
    if (c.req.param('prefix') !== 'oauth') checkPrefix(c);
    return next();
  });
  app.get('/v1/:prefix/namespaces', (c) => {
    // ClickHouse asks for the children of each namespace, and never comes to an end if these are the roots again.
    const parent = c.req.query('parent') ?? '';
    if (parent !== '') checkNamespace(c, parent);
    return c.json({ namespaces: parent === '' ? [[c.get('tenant')]] : [] });
  });
  app.get('/v1/:prefix/namespaces/:namespace', (c) => {
    checkNamespace(c, c.req.param('namespace'));
    if (c.req.method === 'HEAD') return c.body(null, 204);
    return c.json({ namespace: [c.get('tenant')], properties: {} });
  });
  app.get('/v1/:prefix/namespaces/:namespace/views', (c) => {
    checkNamespace(c, c.req.param('namespace'));
    return c.json({ identifiers: [] });
  });
  app.get('/v1/:prefix/namespaces/:namespace/views/:view', (c) => {
    checkNamespace(c, c.req.param('namespace'));
    throw new RestError(404, 'NoSuchViewException', `there is no view ${c.req.param('view')}`);
  });
}

function tableRoutes(app: Hono<Env>, { tables, vendor, fileConfig }: IcebergRestOptions): void {
  const path = '/v1/:prefix/namespaces/:namespace/tables/:table';
  const load = async (c: Context<Env, typeof path>): Promise<ExistingTable> => {
    checkNamespace(c, c.req.param('namespace'));
    const table = await tables.load(c.get('tenant'), c.req.param('table'));
    if (!table) throw noSuchTable(`${c.req.param('namespace')}.${c.req.param('table')}`);
    return table;
  };
  app.get('/v1/:prefix/namespaces/:namespace/tables', async (c) => {
    checkNamespace(c, c.req.param('namespace'));
    const tenant = c.get('tenant');
    const page = pageOf(await tables.names(tenant), c.req.query('pageToken'), c.req.query('pageSize'));
    const identifiers = page.names.map((name) => ({ namespace: [tenant], name }));
    return c.json({ identifiers, ...(page.next !== undefined && { 'next-page-token': page.next }) });
  });
  app.get(path, async (c) => {
    const table = await load(c);
    if (c.req.method === 'HEAD') return c.body(null, 204);
    const snapshots = c.req.query('snapshots') === 'refs' ? 'refs' : 'all';
    const etag = `"${table.metadata.tableUuid}-${table.version}-${snapshots}"`;
    c.header('ETag', etag);
    if (matches(c.req.header('if-none-match'), etag)) return c.body(null, 304);
    const wanted = /vended-credentials/i.test(c.req.header('x-iceberg-access-delegation') ?? '');
    const vended = wanted ? await vendor?.credentialsOf(c.get('tenant'), c.req.param('table')) : undefined;
    return c.body(loadTableResult(table, snapshots, fileConfig, vended), 200, {
      'Content-Type': 'application/json',
      // What was vended is this client's alone.
      'Cache-Control': 'private',
    });
  });
  app.get(`${path}/credentials`, async (c) => {
    await load(c);
    const vended = await vendor?.credentialsOf(c.get('tenant'), c.req.param('table'));
    return c.json({ 'storage-credentials': vended ? [vended] : [] });
  });
  const tooLarge = (): Response => {
    throw new RestError(
      413,
      'BadRequestException',
      `a metrics report has at most ${reportBytesMax} bytes (reportBytesMax)`,
    );
  };
  // What clients say of their scans is taken and not kept.
  app.post(`${path}/metrics`, bodyLimit({ maxSize: reportBytesMax, onError: tooLarge }), async (c) => {
    await load(c);
    return c.body(null, 204);
  });
}

/** Names after the token (`''` begins), as many as a page holds. */
function pageOf(
  names: readonly string[],
  token = '',
  size = '',
): { readonly names: readonly string[]; readonly next: string | undefined } {
  const rest = names.filter((name) => name > token);
  const pageSize = /^[1-9]\d*$/.test(size) ? Number(size) : rest.length;
  return { names: rest.slice(0, pageSize), next: rest.length > pageSize ? rest[pageSize - 1] : undefined };
}

const matches = (ifNoneMatch: string | undefined, etag: string): boolean =>
  (ifNoneMatch ?? '').split(',').some((each) => [etag, `W/${etag}`, '*'].includes(each.trim()));
