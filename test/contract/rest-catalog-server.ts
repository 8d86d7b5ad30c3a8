import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';

// An Iceberg REST catalog that keeps its tables, after the specification: it checks the requirements of a commit, applies
// its updates, writes the metadata file and answers with it. It shares no code with Firn. Ids are below 2^53 here.

type Json = Record<string, unknown>;
interface Snapshot extends Json {
  'snapshot-id': number;
  'sequence-number': number;
  'timestamp-ms': number;
}
interface Metadata extends Json {
  location: string;
  'table-uuid': string;
  'last-sequence-number': number;
  'last-updated-ms': number;
  'last-column-id': number;
  schemas: (Json & { 'schema-id': number })[];
  'current-schema-id': number;
  'partition-specs': (Json & { 'spec-id': number; fields: { 'field-id': number }[] })[];
  'default-spec-id': number;
  'sort-orders': (Json & { 'order-id': number })[];
  'default-sort-order-id': number;
  properties: Record<string, string>;
  snapshots: Snapshot[];
  refs: Record<string, Json & { 'snapshot-id': number }>;
  'snapshot-log': { 'timestamp-ms': number; 'snapshot-id': number }[];
  'metadata-log': Json[];
}
interface Table {
  readonly location: string;
  readonly version: number;
  readonly metadata: Metadata;
}

export interface RestCatalogServer extends AsyncDisposable {
  readonly uri: string;
  /** Bodies of the commits that were tried. */
  readonly commits: readonly Json[];
  readonly tokens: () => number;
  /** The next commit is made and answered with 503, or answered so without being made. */
  failNextCommit(how: 'after' | 'before'): void;
  /** Tokens that were given are no longer valid. */
  forgetTokens(): void;
}

export interface RestCatalogOptions {
  readonly store: ObjectStore;
  readonly keyOf: (location: string) => string;
  readonly client?: { readonly id: string; readonly secret: string };
}

class Refused extends Error {
  readonly status: 400 | 401 | 404 | 409 | 503;
  readonly type: string;
  constructor(status: Refused['status'], type: string, message = type) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

export async function startRestCatalog({
  store,
  keyOf,
  client,
}: RestCatalogOptions): Promise<RestCatalogServer> {
  const namespaces = new Map<string, Map<string, Table>>();
  const commits: Json[] = [];
  let tokens = new Set<string>();
  let given = 0;
  let failing: 'after' | 'before' | undefined;
  const app = new Hono();
  app.onError((error, c) => {
    const { status, type } = error instanceof Refused ? error : new Refused(400, 'BadRequestException');
    return c.json({ error: { message: error.message, type, code: status } }, status);
  });
  app.post('/v1/oauth/tokens', async (c) => {
    const form = new URLSearchParams(await c.req.text());
    if (form.get('client_id') !== client?.id || form.get('client_secret') !== client?.secret)
      return c.json({ error: 'invalid_client' }, 401);
    const token = randomUUID();
    tokens.add(token);
    given++;
    return c.json({ access_token: token, token_type: 'bearer', expires_in: 3600 });
  });
  app.use('/v1/*', async (c, next) => {
    const token = (c.req.header('authorization') ?? '').replace('Bearer ', '');
    if (client && !tokens.has(token)) throw new Refused(401, 'NotAuthorizedException');
    return next();
  });
  app.get('/v1/config', (c) =>
    c.json({ defaults: {}, overrides: { prefix: `w/${c.req.query('warehouse')}` } }),
  );
  const spaceOf = (c: Context): Map<string, Table> => {
    const space = namespaces.get(c.req.param('namespace') ?? '');
    if (!space) throw new Refused(404, 'NoSuchNamespaceException');
    return space;
  };
  app.post('/v1/w/lake/namespaces', async (c) => {
    const { namespace } = await c.req.json<{ namespace: string[] }>();
    const name = namespace.join('\u001f');
    if (namespaces.has(name)) throw new Refused(409, 'AlreadyExistsException');
    namespaces.set(name, new Map());
    return c.json({ namespace, properties: {} });
  });
  const path = '/v1/w/lake/namespaces/:namespace/tables/:table';
  const answer = (c: Context, table: Table): Response => {
    const etag = `"${table.version}"`;
    c.header('ETag', etag);
    if (c.req.method === 'GET' && c.req.header('if-none-match') === etag) return c.body(null, 304);
    return c.json({ 'metadata-location': table.location, metadata: table.metadata, config: {} });
  };
  app.get(path, (c) => {
    const table = spaceOf(c).get(c.req.param('table'));
    if (!table) throw new Refused(404, 'NoSuchTableException');
    return answer(c, table);
  });
  app.post(path, async (c) => {
    const body = await c.req.json<{ requirements: Json[]; updates: Json[] }>();
    commits.push(body);
    const space = spaceOf(c);
    const name = c.req.param('table');
    const fail = failing;
    failing = undefined;
    if (fail === 'before') throw new Refused(503, 'ServiceUnavailableException');
    const base = space.get(name);
    for (const requirement of body.requirements) check(requirement, base?.metadata);
    const metadata = applied(base, body.updates);
    const version = (base?.version ?? -1) + 1;
    const location = `${metadata.location}/metadata/${String(version).padStart(5, '0')}-${randomUUID()}.metadata.json`;
    const table = { location, version, metadata };
    await store.put(keyOf(location), Buffer.from(JSON.stringify(metadata)));
    // Another one may have been quicker while the file was written.
    if (space.get(name) !== base) throw new Refused(409, 'CommitFailedException');
    space.set(name, table);
    if (fail === 'after') throw new Refused(503, 'ServiceUnavailableException');
    return answer(c, table);
  });
  const { promise: listening, resolve } = Promise.withResolvers<AddressInfo>();
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, resolve);
  const { port } = await listening;
  return {
    uri: `http://127.0.0.1:${port}`,
    commits,
    tokens: () => given,
    failNextCommit: (how) => {
      failing = how;
    },
    forgetTokens: () => {
      tokens = new Set();
    },
    [Symbol.asyncDispose]: () =>
      new Promise((done) => {
        if ('closeAllConnections' in server) server.closeAllConnections();
        server.close(() => done());
      }),
  };
}

function check(requirement: Json, metadata: Metadata | undefined): void {
  if (!metadata && requirement.type !== 'assert-create') throw new Refused(404, 'NoSuchTableException');
  if (!holds(requirement, metadata))
    throw new Refused(409, 'CommitFailedException', `Requirement failed: ${JSON.stringify(requirement)}`);
}

function holds(requirement: Json, metadata: Metadata | undefined): boolean {
  switch (requirement.type) {
    case 'assert-create':
      return metadata === undefined;
    case 'assert-table-uuid':
      return requirement.uuid === metadata?.['table-uuid'];
    case 'assert-ref-snapshot-id':
      return (
        requirement['snapshot-id'] === (metadata?.refs[String(requirement.ref)]?.['snapshot-id'] ?? null)
      );
    case 'assert-last-assigned-field-id':
      return requirement['last-assigned-field-id'] === metadata?.['last-column-id'];
    case 'assert-current-schema-id':
      return requirement['current-schema-id'] === metadata?.['current-schema-id'];
    default:
      throw new Refused(400, 'BadRequestException', `unknown requirement ${String(requirement.type)}`);
  }
}

const empty = (): Metadata => ({
  'format-version': 1,
  'table-uuid': '',
  location: '',
  'last-sequence-number': 0,
  'last-updated-ms': 0,
  'last-column-id': 0,
  schemas: [],
  'current-schema-id': -1,
  'partition-specs': [],
  'default-spec-id': -1,
  'last-partition-id': 999,
  'sort-orders': [],
  'default-sort-order-id': -1,
  properties: {},
  'current-snapshot-id': null,
  snapshots: [],
  refs: {},
  'snapshot-log': [],
  'metadata-log': [],
});

function applied(base: Table | undefined, updates: readonly Json[]): Metadata {
  const metadata = base ? structuredClone(base.metadata) : empty();
  const updatedMs = Math.max(Date.now(), metadata['last-updated-ms']);
  if (base)
    metadata['metadata-log'].push({
      'metadata-file': base.location,
      'timestamp-ms': base.metadata['last-updated-ms'],
    });
  for (const update of updates) apply(metadata, update);
  metadata['last-updated-ms'] = updatedMs;
  const kept = new Set(metadata.snapshots.map((snapshot) => snapshot['snapshot-id']));
  const last = metadata['snapshot-log'].findLastIndex((entry) => !kept.has(entry['snapshot-id']));
  metadata['snapshot-log'] = metadata['snapshot-log'].slice(last + 1);
  return metadata;
}

/** -1 stands for what was added last. */
const idOf = (id: unknown, added: readonly number[]): number =>
  id === -1 ? (added.at(-1) ?? -1) : Number(id);

function apply(metadata: Metadata, update: Json): void {
  switch (update.action) {
    case 'assign-uuid':
      metadata['table-uuid'] = String(update.uuid);
      return;
    case 'upgrade-format-version':
      metadata['format-version'] = update['format-version'];
      return;
    case 'set-location':
      metadata.location = String(update.location);
      return;
    case 'add-schema': {
      const schema = update.schema as Metadata['schemas'][number] & { fields: { id: number }[] };
      if (metadata.schemas.some((each) => each['schema-id'] === schema['schema-id']))
        throw new Refused(400, 'BadRequestException', 'schema exists');
      metadata.schemas.push(schema);
      metadata['last-column-id'] = Math.max(metadata['last-column-id'], ...schema.fields.map(({ id }) => id));
      return;
    }
    case 'set-current-schema':
      metadata['current-schema-id'] = idOf(
        update['schema-id'],
        metadata.schemas.map((each) => each['schema-id']),
      );
      return;
    case 'add-spec': {
      const spec = update.spec as Metadata['partition-specs'][number];
      metadata['partition-specs'].push(spec);
      metadata['last-partition-id'] = Math.max(999, ...spec.fields.map((field) => field['field-id']));
      return;
    }
    case 'set-default-spec':
      metadata['default-spec-id'] = idOf(
        update['spec-id'],
        metadata['partition-specs'].map((each) => each['spec-id']),
      );
      return;
    case 'add-sort-order':
      metadata['sort-orders'].push(update['sort-order'] as Metadata['sort-orders'][number]);
      return;
    case 'set-default-sort-order':
      metadata['default-sort-order-id'] = idOf(
        update['sort-order-id'],
        metadata['sort-orders'].map((each) => each['order-id']),
      );
      return;
    case 'set-properties':
      Object.assign(metadata.properties, update.updates);
      return;
    case 'remove-properties':
      for (const name of update.removals as string[]) delete metadata.properties[name];
      return;
    default:
      applyToSnapshots(metadata, update);
  }
}

function applyToSnapshots(metadata: Metadata, update: Json): void {
  switch (update.action) {
    case 'add-snapshot': {
      const snapshot = update.snapshot as Snapshot;
      if (snapshot['sequence-number'] <= metadata['last-sequence-number'])
        throw new Refused(400, 'BadRequestException', 'Cannot add snapshot with an older sequence number');
      metadata.snapshots.push(snapshot);
      metadata['last-sequence-number'] = snapshot['sequence-number'];
      return;
    }
    case 'set-snapshot-ref': {
      const { action: _, 'ref-name': name, ...ref } = update as Json & { 'snapshot-id': number };
      const snapshot = metadata.snapshots.find((each) => each['snapshot-id'] === ref['snapshot-id']);
      if (!snapshot) throw new Refused(400, 'BadRequestException', 'unknown snapshot');
      metadata.refs[String(name)] = ref;
      if (name !== 'main') return;
      metadata['current-snapshot-id'] = ref['snapshot-id'];
      metadata['snapshot-log'].push({
        'timestamp-ms': snapshot['timestamp-ms'],
        'snapshot-id': ref['snapshot-id'],
      });
      return;
    }
    case 'remove-snapshot-ref':
      delete metadata.refs[String(update['ref-name'])];
      return;
    case 'remove-snapshots': {
      const ids = new Set(update['snapshot-ids'] as number[]);
      metadata.snapshots = metadata.snapshots.filter((each) => !ids.has(each['snapshot-id']));
      return;
    }
    default:
      throw new Refused(400, 'BadRequestException', `unknown update ${String(update.action)}`);
  }
}
