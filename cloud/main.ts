import { join } from 'node:path';
import { type Context, Hono } from 'hono';
import { buildInfo } from '../lake/api/build-info.ts';
import { completenessRoutes } from '../lake/api/completeness/routes.ts';
import { endpointsOf } from '../lake/api/endpoints.ts';
import { startHttpServer } from '../lake/api/http-server.ts';
import { lokiRoutes } from '../lake/api/loki/routes.ts';
import { openTail, tailPath } from '../lake/api/loki/tail.ts';
import { prometheusRoutes } from '../lake/api/prometheus/routes.ts';
import { startOtlpGrpc } from '../lake/api/receive/otlp-grpc.ts';
import { createLanguages } from '../lake/api/sql/languages.ts';
import { type HttpStatement, sqlRoutes } from '../lake/api/sql/routes.ts';
import { auditLinesMax } from '../lake/audit/audit-line.ts';
import { withAuditTable } from '../lake/audit/audit-table.ts';
import { systemClock } from '../lake/base/clock.ts';
import { hasCode } from '../lake/base/errors.ts';
import { createLogger, type Logger } from '../lake/base/log.ts';
import { checkFolder, checkPorts } from '../lake/base/preflight.ts';
import { type ListenerTls, openServerTls } from '../lake/base/server-tls.ts';
import { type Service, serviceCommand } from '../lake/base/service.ts';
import { isOwn } from '../lake/base/settings.ts';
import { completenessWarning } from '../lake/completeness/warning.ts';
import { logqlLimits } from '../lake/logql/limits.ts';
import type { TenantId } from '../lake/model/ids.ts';
import { type RollupTable, rollupTables } from '../lake/model/table-name.ts';
import type { ObjectStore } from '../lake/object-store/object-store.ts';
import { openObjectStore } from '../lake/object-store/open.ts';
import { pgTls } from '../lake/pgwire/encryption.ts';
import { startPgServer } from '../lake/pgwire/server.ts';
import { createResultCache } from '../lake/promql/cache/result-cache.ts';
import { defaultQueryLimits } from '../lake/promql/limits.ts';
import type { ReadRange } from '../lake/promql/read-range.ts';
import { otlpLimits } from '../lake/receive/otlp/limits.ts';
import { createEvaluationPool, type EvaluationPool } from '../lake/scan/evaluation-pool.ts';
import { SqlError } from '../lake/sql/errors.ts';
import type { SqlSource } from '../lake/sql/session.ts';
import type { Tables } from '../lake/tables.ts';
import type { OpenVirtualGateway } from '../lake/virtual-gateway.ts';
import { type Authority, openAuthority } from '../provisioning/authority-files.ts';
import { headsOf } from './catalog/rest/heads.ts';
import { storedBytes } from './catalog/stored-bytes.ts';
import { type CloudConfig, cloudSettings, loadCloudConfig } from './config.ts';
import { directReceivers, rpcEndpoints } from './direct/grpc.ts';
import { directRoutes } from './direct/routes.ts';
import { openVirtualGateways, type VirtualGateways } from './direct/virtual-gateways.ts';
import { fleetRoutes } from './fleet/admin-routes.ts';
import { type Fleet, openFleet } from './fleet/open-fleet.ts';
import { receiptsSignedBy } from './fleet/receipts.ts';
import { openUploads } from './fleet/uploads.ts';
import { fileConfigOf } from './iceberg-rest/file-config.ts';
import { type IcebergRestOptions, icebergRestRoutes } from './iceberg-rest/routes.ts';
import { type ServedTablesOptions, servedTables } from './iceberg-rest/served-tables.ts';
import { startIngest } from './ingest/ingest.ts';
import { quarantineRoutes } from './ingest/quarantine-routes.ts';
import { type Callers, openCallers } from './main/callers.ts';
import { asAsked, type Deployment, type Deployments, openDeployments } from './main/deployments.ts';
import { type CloudMetrics, openCloudMetrics } from './main/metrics.ts';
import { startMaintain } from './maintain/maintain.ts';
import { maintainRoutes } from './maintain/routes.ts';
import { meteredSession } from './metering/metered-source.ts';
import { type Metering, openMetering } from './metering/open-metering.ts';
import { queryGate } from './metering/query-gate.ts';
import { meteringAdminRoutes, meteringRoutes } from './metering/routes.ts';
import { tableRoutes } from './tables/routes.ts';
import type { Access, TenantAccess } from './tenants/access.ts';
import { adminRoutes } from './tenants/admin-routes.ts';
import { keepAuditFor } from './tenants/audit-retention.ts';
import {
  accessOf,
  type GateEnv,
  keyGate,
  scopeGate,
  tenantAccessOf,
  wholeTenantGate,
} from './tenants/gate.ts';
import { makeTenants } from './tenants/make-tenants.ts';
import { openTenantStore, type TenantStore } from './tenants/tenant-store.ts';
import { userTableRoutes } from './user-tables/routes.ts';
import { type UserTableStore, userTableStores } from './user-tables/user-table-store.ts';

// The cloud process: joins the rooms beside it. What is opened is closed in reverse.

const clock = systemClock;

/** `openVirtualGateway`: receives in the cloud itself. */
export function main(argv: readonly string[], openVirtualGateway: OpenVirtualGateway): Promise<number> {
  const start = async (flags: readonly string[]): Promise<Service> =>
    startCloud(loadCloudConfig(flags), openVirtualGateway);
  return serviceCommand(
    { name: 'firn cloud', about: 'Runs the cloud.', settings: cloudSettings, start },
    argv,
  );
}

async function startCloud(config: CloudConfig, openVirtualGateway: OpenVirtualGateway): Promise<Service> {
  checkFolder(config.dataDir, '--data-dir');
  await checkPorts(config.listen.host, {
    '--http-port': config.http.port,
    '--pgwire-port': config.pgwire.port,
    ...(config.direct.enabled && { '--direct-grpc-port': config.direct.grpcPort }),
  });
  const logger = createLogger(config.logLevel).with({ part: 'cloud' });
  await using stack = new AsyncDisposableStack();
  const { dataDir, tenantsDatabase: database } = config;
  const tenants = stack.use(await openTenantStore({ directory: dataDir, database, clock, logger }));
  const keyFile = await makeTenants(config, tenants, logger);
  const { store, locationOf } = await openObjectStore(config.store);
  stack.defer(() => store.close());
  const headOf = headsOf(config.catalog, clock);
  const authority = await openAuthority(config.fleet.authorityDir, clock.nowMs(), logger);
  const receipts = receiptsSignedBy(authority);
  const lake = { store, locationOf, headOf, tenants: tenants.tenants, clock, logger };
  const { pollIntervalMs } = config.ingest;
  const ingest = stack.use(startIngest({ ...lake, pollIntervalMs, receipts }));
  const maintain = stack.use(
    startMaintain({
      ...lake,
      workDirectory: join(config.dataDir, 'maintain'),
      intervalMs: config.maintain.intervalMs,
      rollups: rollupsMade[config.rollups],
      limits: maintainLimits(config.maintain),
    }),
  );
  const metering = stack.use(
    await openMetering({ store: tenants, defaults: config.limits, storedBytesOf: storedBytes(lake), logger }),
  );
  ingest.onCommit(({ tenant, rows, bytes }) => metering.meterOf(tenant).ingested(rows, bytes));
  const userTablesOf = userTableStores({ store, locationOf, headOf, clock });
  const { threads, cacheBytesMax } = config.query;
  const evaluator = stack.use(createEvaluationPool({ clock, threads, cacheBytesMax }));
  const { meterOf } = metering;
  const { enabled, bodyBytesMax, ...settings } = config.direct;
  const virtual = enabled
    ? stack.use(
        openVirtualGateways({
          ...{ open: openVirtualGateway, directory: join(dataDir, 'direct'), store: config.store },
          ...{ bodyBytesMax, settings, meterOf, receipts, clock, logger },
        }),
      )
    : undefined;
  const parts = { store, locationOf, headOf, ingest, userTablesOf, evaluator, meterOf, virtual };
  const deployments = openDeployments(config, parts, logger, stack);
  stack.use(keepAuditFor(config.audit.keepDays, tenants.context, logger));
  const callers = openCallers(config, tenants, logger);
  const asked = { ...callers, keys: tenants };
  const iceberg = await openIcebergRest(config, asked, { store, locationOf, headOf }, stack);
  const fleet = stack.use(
    await openGateways(config, authority, { ...callers, store: tenants, logger }, stack),
  );
  const { online } = fleet;
  const metrics = stack.use(openCloudMetrics({ ingest, maintain, metering, virtual, online, clock }));
  const served = {
    ...callers,
    metrics,
    store,
    deployments,
    evaluator,
    iceberg,
    fleet,
    userTablesOf,
    metering,
    virtual,
  };
  const { ports, endpoints } = await openDoors(config, logger, tenants, served, stack);
  logger.info('cloud is running', { store: store.description, ...ports });
  const open = stack.move();
  return { ready: { ...ports, keyFile, endpoints }, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

const rollupsMade = {
  ...{ off: [], '1h': ['metrics_rollup_1h'], '1m': rollupTables },
} as const satisfies Record<CloudConfig['rollups'], readonly RollupTable[]>;

const maintainLimits = (settings: CloudConfig['maintain']) => ({
  memoryBytesMax: settings.memoryBytesMax,
  pastCompressionLevel: settings.pastCompressionLevel,
  snapshotAgeMsMin: settings.snapshotAgeSeconds * 1000,
  orphanGraceMs: settings.orphanGraceSeconds * 1000,
});

/** The catalog for other engines. */
async function openIcebergRest(
  config: CloudConfig,
  asked: Pick<IcebergRestOptions, 'keys' | 'logins' | 'addressOf'>,
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
  return icebergRestRoutes({ ...asked, tables, clock, fileConfig: fileConfigOf(config.store), vendor });
}

/** Everything about gateways. */
async function openGateways(
  { store, iceberg, fleet }: CloudConfig,
  authority: Authority,
  asked: Callers & { readonly store: TenantStore; readonly logger: Logger },
  stack: AsyncDisposableStack,
): Promise<Fleet> {
  const { uploadRoleArn: roleArn, uploadSeconds: durationSeconds, presignedSeconds } = fleet;
  const { stsEndpoint } = iceberg;
  const role = { roleArn, stsEndpoint, durationSeconds, clock };
  const uploads = stack.use(await openUploads({ store, ...role, presignedSeconds }));
  return openFleet({ ...fleet, ...asked, authority, uploads, accessOf });
}

/** What is about all rows of a tenant, so that keys that see some of them can't have it. */
const wholeTenantPaths = [
  ...['/api/v1/firn/quarantine', '/api/v1/firn/plan', '/api/v1/firn/tables/*'],
  ...['/api/v1/firn/retention', '/api/v1/firn/deletes', '/api/v1/firn/tables'],
];

/** What the doors open to. */
interface Served extends Callers {
  readonly metrics: CloudMetrics;
  readonly evaluator: EvaluationPool;
  readonly store: ObjectStore;
  readonly deployments: Deployments;
  readonly iceberg: ReturnType<typeof icebergRestRoutes>;
  readonly fleet: Fleet;
  readonly metering: Metering;
  /** Receives without a gateway; undefined: this cloud does not. */
  readonly virtual: VirtualGateways | undefined;
  readonly userTablesOf: (tenant: TenantId) => UserTableStore;
}

/** Everything that listens. Returns the ports. */
async function openDoors(
  config: CloudConfig,
  logger: Logger,
  tenants: TenantStore,
  parts: Served,
  stack: AsyncDisposableStack,
) {
  const { host } = config.listen;
  const { store, deployments, evaluator, userTablesOf, metering, addressOf } = parts;
  const { bodyBytesMax } = config.http;
  const app = new Hono<GateEnv>();
  app.use('*', parts.metrics.counting);
  app.get('/ready', (c) => c.text('ready\n'));
  // They have their own ways to authenticate.
  app.route('/iceberg', parts.iceberg);
  app.route('/', parts.fleet.devices);
  parts.metrics.serve(app, { ...parts, token: config.metrics.token });
  app.use('*', keyGate(parts.logins, addressOf));
  app.route('/', parts.fleet.admin);
  const asking = { accessOf, addressOf, onRefused: parts.onRefused };
  app.route('/', meteringAdminRoutes({ metering, clock, ...asking }));
  const documented = { ...fleetRoutes, ...meteringRoutes };
  app.route('/', adminRoutes({ store: tenants, documented, ...asking }));
  const tls = listenerTls(config, logger);
  const grpc = await openDirect(config, logger, tls, parts, app, stack);
  app.use('*', scopeGate('read'));
  app.use('*', queryGate(metering.meterOf));
  for (const path of wholeTenantPaths) app.use(path, wholeTenantGate);
  app.on(['POST', 'PUT', 'DELETE'], '/api/v1/firn/tables/:table/tags/*', scopeGate('admin'));
  const changing = ['/api/v1/firn/retention', '/api/v1/firn/deletes', '/api/v1/firn/tables/:name'];
  app.on(['POST', 'PUT', 'DELETE'], changing, scopeGate('admin'));
  const context = async (c: Context): Promise<Deployment> => asAsked(await deployments(tenantAccessOf(c)), c);
  const { timeoutMs, samplesMax, resultCacheBytesMax } = config.query;
  const limits = { ...defaultQueryLimits, timeoutMs, samplesMax };
  const rules = config.completeness;
  const completeness = async (c: Context, { fromMs, toMs, ...asked }: ReadRange) => {
    const range = { fromUs: fromMs * 1000, toUs: toMs * 1000, signal: 'metrics' as const, ...asked };
    return completenessWarning(range, (await context(c)).completeness, rules, clock);
  };
  const cache = createResultCache(resultCacheBytesMax);
  const asked = { context, limits, clock, logger, buildInfo, bodyBytesMax };
  app.route('/', prometheusRoutes({ ...asked, completeness, evaluator, cache }));
  const sourceOf = async (c: Context) => (await context(c)).completeness;
  app.route('/', completenessRoutes({ context: sourceOf, rules, clock, logger }));
  const tenantOf = (c: Context): TenantId => tenantAccessOf(c).tenant;
  app.route('/', quarantineRoutes({ store, tenantOf }));
  app.route(
    '/',
    userTableRoutes({
      tablesOf: (c) => userTablesOf(tenantOf(c)),
      workDirectory: join(config.dataDir, 'uploads'),
    }),
  );
  app.route('/', maintainRoutes({ store, clock, bodyBytesMax, tenantOf }));
  const pg = await openSqlDoors(config, logger, tenants, { ...parts, context }, app, stack);
  const tail = openLogDoors(config, logger, parts, app, stack);
  tenants.onLook(() => {
    pg.endSessions(({ access }) => !tenants.counts(access.keyId));
    void tail.endRefused();
  });
  const http = stack.use(
    await startHttpServer(app, { host, port: config.http.port, ...tls }, {}, { [tailPath]: tail.upgrade }),
  );
  const ports = { cloudHttp: http.port, cloudPg: pg.port, ...grpc.ports };
  return { ports, endpoints: [...endpointsOf(app), ...grpc.endpoints].toSorted() };
}

const listenerTls = ({ tls: { require, ...files } }: CloudConfig, logger: Logger): ListenerTls =>
  files.certFile === ''
    ? {}
    : { tls: openServerTls(files, logger), requiresTls: (address) => require && !isOwn(address) };

/** What is sent without a gateway: adds its routes to the application, and listens for calls. */
async function openDirect(
  { direct, listen: { host } }: CloudConfig,
  logger: Logger,
  tls: ListenerTls,
  { virtual: gateways, logins, clientOf }: Served,
  app: Hono<GateEnv>,
  stack: AsyncDisposableStack,
) {
  if (gateways === undefined) return { ports: {}, endpoints: [] };
  const { site, grpcPort: port, grpcConnectionsMax: connectionsMax, bodyBytesMax } = direct;
  app.route('/', directRoutes({ gateways, site }));
  const receiverFor = directReceivers({ gateways, site, logins, clientOf });
  const limits = { ...otlpLimits, bodyBytesMax, decodedBytesMax: 2 * bodyBytesMax };
  const { port: cloudGrpc } = stack.use(
    await startOtlpGrpc({ host, port, ...tls, receiverFor, limits, connectionsMax, logger }),
  );
  return { ports: { cloudGrpc }, endpoints: rpcEndpoints };
}

/** SQL: adds its routes to the application, and listens for PostgreSQL clients. */
async function openSqlDoors(
  config: CloudConfig,
  logger: Logger,
  tenants: TenantStore,
  parts: Served & { readonly context: (c: Context) => Promise<Deployment> },
  app: Hono<GateEnv>,
  stack: AsyncDisposableStack,
) {
  const { deployments, context, evaluator, metering } = parts;
  const { timeoutMs, samplesMax } = config.query;
  const promqlLimits = { ...defaultQueryLimits, timeoutMs, samplesMax };
  const auditLines = ({ tenant }: Tables) => tenants.auditLog({ tenant, limit: auditLinesMax });
  const sourceOf = (access: TenantAccess, { tables, scan, logs }: Deployment): SqlSource => ({
    tables: managesTenant(access) ? withAuditTable(tables, () => auditLines(tables)) : tables,
    languages: createLanguages({
      ...{ scan, logs, evaluator, clock, promqlLimits },
      logqlLimits: logqlLimits(config),
    }),
  });
  const runSql = async (c: Context, source: SqlSource, statement: HttpStatement): Promise<Response> => {
    const access = tenantAccessOf(c);
    const { sql } = await deployments(access);
    return sql.statement(source, { user: 'firn', database: access.tenant }, statement);
  };
  const { bodyBytesMax } = config.http;
  app.route(
    '/',
    sqlRoutes({
      bodyBytesMax,
      answer: async (c, statement) => runSql(c, sourceOf(tenantAccessOf(c), await context(c)), statement),
    }),
  );
  const tablesOf = async (c: Context) => (await deployments(tenantAccessOf(c))).tables;
  app.route(
    '/',
    tableRoutes({
      bodyBytesMax,
      tablesOf,
      runSql: (c, tables, statement) => runSql(c, { tables }, statement),
    }),
  );
  return stack.use(
    await startPgServer({
      ...{ host: config.listen.host, port: config.pgwire.port, logger, ...pgTls(config.pgwire, logger) },
      authenticate: {
        ...{ kind: 'scram', keyOf: tenants.keyOf, attempts: parts.attempts },
        plainInTls: config.pgwire.plainPassword,
      },
      openSession: async ({ user, database, key, parameters, processId, secret }) => {
        const access = sqlAccess(key?.access, database);
        const deployment = await deployments(access);
        const settings = { parameters: [...parameters], secret: secret.toString('hex') };
        const source = meteredSession(sourceOf(access, deployment), metering.meterOf(database));
        return deployment.sql.session(source, { ...settings, user, database, processId });
      },
      limits: { connectionsMax: config.pgwire.connectionsMax },
    }),
  );
}

/** Whether a key may see who has done what about its tenant. */
const managesTenant = ({ scopes, restriction }: Access): boolean =>
  scopes.has('admin') && restriction === undefined;

const readsTenant = (access: Access | undefined): access is TenantAccess =>
  access?.tenant !== undefined && access.scopes.has('read');

/** Throws SqlError: a key that is not one for this database. */
function sqlAccess(access: Access | undefined, database: string): TenantAccess {
  if (access?.tenant === undefined || database !== access.tenant)
    throw new SqlError('3D000', `database "${database}" does not exist`);
  if (!readsTenant(access)) throw new SqlError('42501', 'this key has not the scope "read"');
  return access;
}

/** LogQL: adds its routes to the application. Returns tail, which is a door of its own. */
function openLogDoors(
  config: CloudConfig,
  logger: Logger,
  { logins, deployments, clientOf }: Served,
  app: Hono<GateEnv>,
  stack: AsyncDisposableStack,
) {
  const shared = { limits: logqlLimits(config), clock, logger };
  const context = async (c: Context): Promise<Deployment> => asAsked(await deployments(tenantAccessOf(c)), c);
  const { bodyBytesMax } = config.http;
  app.route('/', lokiRoutes({ ...shared, context, buildInfo, bodyBytesMax }));
  return stack.use(
    openTail({
      ...shared,
      context: async ({ headers, socket }) => {
        try {
          const forwardedFor = headers['x-forwarded-for']?.toString();
          const address = clientOf(socket.remoteAddress ?? '', forwardedFor);
          const access = logins.ofHeader(headers.authorization, address);
          return readsTenant(access) ? await deployments(access) : undefined;
        } catch (error) {
          if (hasCode(error, 'limit')) return undefined;
          throw error;
        }
      },
    }),
  );
}
