import { join } from 'node:path';
import { type Context, Hono } from 'hono';
import { asOfOf } from '../lake/api/as-of.ts';
import { buildInfo } from '../lake/api/build-info.ts';
import { completenessRoutes } from '../lake/api/completeness/routes.ts';
import { startHttpServer } from '../lake/api/http-server.ts';
import { committedLogs, type LiveLogs } from '../lake/api/loki/live-logs.ts';
import { nowNs } from '../lake/api/loki/queries.ts';
import { lokiRoutes } from '../lake/api/loki/routes.ts';
import { openTail, tailPath } from '../lake/api/loki/tail.ts';
import { prometheusRoutes } from '../lake/api/prometheus/routes.ts';
import { sqlRoutes } from '../lake/api/sql/routes.ts';
import { systemClock } from '../lake/base/clock.ts';
import { messageOf } from '../lake/base/errors.ts';
import { createLogger, type Logger } from '../lake/base/log.ts';
import { checkFolder, checkPorts } from '../lake/base/preflight.ts';
import { type Service, serviceCommand } from '../lake/base/service.ts';
import type { CompletenessSource } from '../lake/completeness/completeness.ts';
import { gapRows } from '../lake/completeness/gap-rows.ts';
import { completenessWarning } from '../lake/completeness/warning.ts';
import { defaultLogqlLimits } from '../lake/logql/limits.ts';
import { type TenantId, tenantId } from '../lake/model/ids.ts';
import type { ObjectStore } from '../lake/object-store/object-store.ts';
import { openObjectStore } from '../lake/object-store/open.ts';
import { startPgServer } from '../lake/pgwire/server.ts';
import { defaultQueryLimits } from '../lake/promql/limits.ts';
import type { ReadRange } from '../lake/promql/read-range.ts';
import { type LogScan, logScan } from '../lake/scan/log-scan.ts';
import { type SeriesScan, seriesScan } from '../lake/scan/series-scan.ts';
import { type Engine, openEngine } from '../lake/sql/duckdb/engine.ts';
import { SqlError } from '../lake/sql/errors.ts';
import { openSqlSession } from '../lake/sql/session.ts';
import { type Tables, tablesAsOf } from '../lake/tables.ts';
import { headsOf } from './catalog/rest/heads.ts';
import type { HeadOf } from './catalog/table.ts';
import { type CloudConfig, cloudSettings, loadCloudConfig } from './config.ts';
import { fileConfigOf } from './iceberg-rest/file-config.ts';
import { icebergRestRoutes } from './iceberg-rest/routes.ts';
import { type ServedTablesOptions, servedTables } from './iceberg-rest/served-tables.ts';
import { type Ingest, startIngest } from './ingest/ingest.ts';
import { quarantineRoutes } from './ingest/quarantine-routes.ts';
import { startMaintain } from './maintain/maintain.ts';
import { type CloudTables, openCloudTables } from './tables/cloud-tables.ts';
import { tableRoutes } from './tables/routes.ts';
import { tenantOfHeader } from './tenants/http-credentials.ts';
import { openTenantStore, type TenantStore, writeSecretFile } from './tenants/tenant-store.ts';

// The cloud process: joins the rooms beside it. What is opened is closed in reverse.

const clock = systemClock;

export function main(argv: readonly string[]): Promise<number> {
  const start = async (flags: readonly string[]): Promise<Service> => startCloud(loadCloudConfig(flags));
  return serviceCommand(
    { name: 'firn cloud', about: 'Runs the cloud.', settings: cloudSettings, start },
    argv,
  );
}

async function startCloud(config: CloudConfig): Promise<Service> {
  checkFolder(config.dataDir, '--data-dir');
  await checkPorts(config.listen.host, {
    '--http-port': config.http.port,
    '--pgwire-port': config.pgwire.port,
  });
  const logger = createLogger(config.logLevel).with({ part: 'cloud' });
  await using stack = new AsyncDisposableStack();
  const tenants = openTenantStore(config.dataDir);
  const keyFile = makeTenants(config, tenants, logger);
  const { store, locationOf } = await openObjectStore(config.store);
  stack.defer(() => store.close());
  const headOf = headsOf(config.catalog, clock);
  const lake = { store, locationOf, headOf, tenants: tenants.tenants, clock, logger };
  const ingest = stack.use(startIngest({ ...lake, pollIntervalMs: config.ingest.pollIntervalMs }));
  stack.use(
    startMaintain({
      ...lake,
      workDirectory: join(config.dataDir, 'maintain'),
      intervalMs: config.maintain.intervalMs,
      limits: { writerMemoryBytesMax: config.maintain.memoryBytesMax },
    }),
  );
  const deployments = openDeployments(config, { store, locationOf, headOf, ingest }, logger, stack);
  const iceberg = await openIcebergRest(config, tenants, { store, locationOf, headOf }, stack);
  const ports = await openDoors(config, logger, tenants, { store, deployments, iceberg }, stack);
  logger.info('cloud is running', { store: store.description, ...ports });
  const open = stack.move();
  return { ready: { ...ports, keyFile }, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** Makes the configured tenants that do not exist; the key of each goes into a file of its own. Returns the first's. */
function makeTenants(config: CloudConfig, tenants: TenantStore, logger: Logger): string {
  const fileOf = (tenant: string): string => join(config.dataDir, 'keys', `${tenant}.key`);
  const { keyId, keySecret } = config.bootstrap;
  for (const [index, name] of config.tenants.entries()) {
    const given =
      index === 0 && keyId !== '' && keySecret !== '' ? { id: keyId, secret: keySecret } : undefined;
    const key = tenants.create(tenantId(name), given);
    if (!key) continue;
    writeSecretFile(fileOf(name), keyFileText(name, key.id, key.secret));
    logger.info('made a tenant; its key is in a file that only this user can read', {
      tenant: name,
      file: fileOf(name),
    });
  }
  return fileOf(config.tenants[0] ?? 'demo');
}

const keyFileText = (tenant: string, id: string, secret: string): string =>
  `# Key of tenant ${tenant}. To use it in a shell: . THIS_FILE
export FIRN_KEY='${id}:${secret}'
export PGUSER='${id}'
export PGPASSWORD='${secret}'
`;

/** What one tenant's queries are answered from. */
interface Deployment {
  readonly engine: Engine;
  readonly tables: CloudTables;
  readonly scan: SeriesScan;
  readonly logs: LogScan;
  readonly live: LiveLogs;
  readonly completeness: CompletenessSource;
}

/** Bytes of lines that one tail reads after a commit. */
const tailBytesMax = 256 * 1024 * 1024;

type Deployments = (tenant: TenantId) => Promise<Deployment>;

/** One engine a tenant, opened when it is first asked: it may read this tenant's files and no others. */
function openDeployments(
  config: CloudConfig,
  lake: {
    readonly store: ObjectStore;
    readonly locationOf: (key: string) => string;
    readonly headOf: HeadOf | undefined;
    readonly ingest: Pick<Ingest, 'shipping' | 'onCommit'>;
  },
  logger: Logger,
  stack: AsyncDisposableStack,
): Deployments {
  const { store, locationOf, headOf, ingest } = lake;
  const engines = stack.use(new AsyncDisposableStack());
  const open = async (tenant: TenantId): Promise<Deployment> => {
    const cacheDirectory = join(config.dataDir, 'cache', tenant);
    const engine = await openEngine({
      directories: [store.localPath(tenant) ?? cacheDirectory],
      memoryBytesMax: config.query.memoryBytesMax,
      threads: config.query.threads,
    });
    engines.use(engine);
    const tables = await openCloudTables({
      ...{ store, tenant, locationOf, headOf, clock },
      ...(store.localPath(tenant) === undefined && { cacheDirectory, cacheBytesMax: config.cache.bytesMax }),
    });
    const gaps = gapRows(tables, engine, clock);
    const completeness = { gateways: () => ingest.shipping(tenant), gaps };
    const logs = logScan({ tables, engine });
    const live = committedLogs({
      ...{ source: logs, nowNs: () => nowNs(clock), bytesMax: tailBytesMax },
      onCommit: (listener) =>
        ingest.onCommit((commit) => {
          if (commit.tenant === tenant && commit.table === 'logs') listener();
        }),
      onError: (error) => logger.warn('a tail could not read', { tenant, error: messageOf(error) }),
    });
    return { engine, tables, scan: seriesScan({ tables, engine }), logs, live, completeness };
  };
  const opened = new Map<TenantId, Promise<Deployment>>();
  return (tenant) => {
    const deployment = opened.get(tenant) ?? open(tenant);
    opened.set(tenant, deployment);
    deployment.catch(() => opened.delete(tenant));
    return deployment;
  };
}

/** The catalog for other engines. */
async function openIcebergRest(
  config: CloudConfig,
  keys: TenantStore,
  lake: Omit<ServedTablesOptions, 'clock'>,
  stack: AsyncDisposableStack,
) {
  const { vendRoleArn: roleArn, stsEndpoint, vendSeconds: durationSeconds } = config.iceberg;
  const { locationOf } = lake;
  // The SDK takes a while to load, and few need it.
  const vendor =
    roleArn === ''
      ? undefined
      : stack.use(
          (await import('./iceberg-rest/credentials.ts')).s3CredentialVendor({
            ...{ store: config.store, roleArn, stsEndpoint, durationSeconds, locationOf, clock },
          }),
        );
  const tables = servedTables({ ...lake, clock });
  return icebergRestRoutes({ tables, keys, clock, fileConfig: fileConfigOf(config.store), vendor });
}

/** The deployment as it was, where a request asks for that. */
function asAsked(deployment: Deployment, c: Context): Deployment {
  const asOf = asOfOf(c);
  if (!asOf) return deployment;
  const { engine } = deployment;
  const tables = { ...deployment.tables, ...tablesAsOf(deployment.tables, asOf) };
  return { ...deployment, tables, scan: seriesScan({ tables, engine }), logs: logScan({ tables, engine }) };
}

/** Opens SQL sessions over a tenant's tables, or over others that are given. */
const sqlSessions =
  (deployments: Deployments, statementTimeoutMs: number) =>
  async (
    tenant: TenantId,
    user: string,
    startParameters: ReadonlyMap<string, string> = new Map(),
    given?: Tables,
  ) => {
    const { engine, tables } = await deployments(tenant);
    return openSqlSession({
      ...{ startParameters, engine, tables: given ?? tables, clock, user, database: tenant },
      limits: { statementTimeoutMs },
    });
  };

/** Everything that listens. Returns the ports. */
async function openDoors(
  config: CloudConfig,
  logger: Logger,
  tenants: TenantStore,
  parts: {
    readonly store: ObjectStore;
    readonly deployments: Deployments;
    readonly iceberg: ReturnType<typeof icebergRestRoutes>;
  },
  stack: AsyncDisposableStack,
) {
  const { host } = config.listen;
  const { store, deployments } = parts;
  const app = new Hono<{ Variables: { tenant: TenantId } }>();
  app.get('/ready', (c) => c.text('ready\n'));
  // It has its own way to authenticate.
  app.route('/iceberg', parts.iceberg);
  app.use('*', async (c, next) => {
    const tenant = tenantOfHeader(c.req.header('authorization'), tenants);
    if (tenant === undefined) {
      c.header('WWW-Authenticate', 'Basic realm="firn"');
      const error =
        'give a key: basic authentication with its id and secret, or its secret as a bearer token';
      return c.json({ status: 'error', errorType: 'unauthorized', error }, 401);
    }
    c.set('tenant', tenant);
    return next();
  });
  const context = async (c: Context): Promise<Deployment> => asAsked(await deployments(c.get('tenant')), c);
  const { timeoutMs, samplesMax } = config.query;
  const limits = { ...defaultQueryLimits, timeoutMs, samplesMax };
  const rules = config.completeness;
  const completeness = async (c: Context, { fromMs, toMs, ...asked }: ReadRange) => {
    const range = { fromUs: fromMs * 1000, toUs: toMs * 1000, signal: 'metrics' as const, ...asked };
    return completenessWarning(range, (await context(c)).completeness, rules, clock);
  };
  app.route('/', prometheusRoutes({ context, limits, clock, logger, buildInfo, completeness }));
  const sourceOf = async (c: Context) => (await context(c)).completeness;
  app.route('/', completenessRoutes({ context: sourceOf, rules, clock, logger }));
  app.route('/', quarantineRoutes({ store, tenantOf: (c) => c.get('tenant') }));
  const openSession = sqlSessions(deployments, timeoutMs);
  const sessionOver = (c: Context, tables: Tables) => openSession(c.get('tenant'), 'firn', new Map(), tables);
  app.route('/', sqlRoutes({ openSession: async (c) => sessionOver(c, (await context(c)).tables) }));
  const tablesOf = async (c: Context) => (await deployments(c.get('tenant'))).tables;
  app.route('/', tableRoutes({ tablesOf, openSession: sessionOver }));
  const pg = stack.use(
    await startPgServer({
      ...{ host, port: config.pgwire.port, logger },
      authenticate: { kind: 'scram', keyOf: tenants.keyOf },
      openSession: async ({ user, database, key, parameters }) => {
        if (!key || database !== key.tenant)
          throw new SqlError('3D000', `database "${database}" does not exist`);
        return openSession(key.tenant, user, parameters);
      },
      limits: { connectionsMax: config.pgwire.connectionsMax },
    }),
  );
  const upgrades = openLogDoors(config, logger, tenants, deployments, app, stack);
  const http = stack.use(await startHttpServer(app, { host, port: config.http.port }, {}, upgrades));
  return { cloudHttp: http.port, cloudPg: pg.port };
}

/** LogQL: adds its routes to the application. Returns tail, which is a door of its own. */
function openLogDoors(
  { query: { timeoutMs, samplesMax } }: CloudConfig,
  logger: Logger,
  tenants: TenantStore,
  deployments: Deployments,
  app: Hono<{ Variables: { tenant: TenantId } }>,
  stack: AsyncDisposableStack,
) {
  const logql = { limits: { ...defaultLogqlLimits, timeoutMs, samplesMax }, clock, logger };
  const context = async (c: Context): Promise<Deployment> => asAsked(await deployments(c.get('tenant')), c);
  app.route('/', lokiRoutes({ ...logql, context, buildInfo }));
  const tail = stack.use(
    openTail({
      ...logql,
      context: async ({ headers }) => {
        const tenant = tenantOfHeader(headers.authorization, tenants);
        return tenant && deployments(tenant);
      },
    }),
  );
  return { [tailPath]: tail.upgrade };
}
