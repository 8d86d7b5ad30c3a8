import type { IncomingMessage } from 'node:http';
import { Hono } from 'hono';
import { buildInfo, firnVersion } from '../../lake/api/build-info.ts';
import { completenessRoutes } from '../../lake/api/completeness/routes.ts';
import { endpointsOf } from '../../lake/api/endpoints.ts';
import { startHttpServer } from '../../lake/api/http-server.ts';
import { lokiRoutes } from '../../lake/api/loki/routes.ts';
import { openTail, type Tail, tailPath } from '../../lake/api/loki/tail.ts';
import { prometheusRoutes } from '../../lake/api/prometheus/routes.ts';
import { createLanguages } from '../../lake/api/sql/languages.ts';
import { sqlRoutes } from '../../lake/api/sql/routes.ts';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import { completenessWarning } from '../../lake/completeness/warning.ts';
import { logqlLimits } from '../../lake/logql/limits.ts';
import { pgTls } from '../../lake/pgwire/encryption.ts';
import { type PgServer, startPgServer } from '../../lake/pgwire/server.ts';
import { createResultCache, type ResultCache } from '../../lake/promql/cache/result-cache.ts';
import { defaultQueryLimits } from '../../lake/promql/limits.ts';
import type { ReadRange } from '../../lake/promql/read-range.ts';
import { createSeriesGuard, type SeriesGuard } from '../../lake/receive/series-guard.ts';
import { createEvaluationPool } from '../../lake/scan/evaluation-pool.ts';
import { type LogScan, logScan } from '../../lake/scan/log-scan.ts';
import { createLogPool } from '../../lake/scan/log-threads/log-pool.ts';
import { seriesScan } from '../../lake/scan/series-scan.ts';
import { SqlError } from '../../lake/sql/errors.ts';
import type { GatewayReport } from '../../provisioning/contract.ts';
import type { Bridge } from '../bridge/bridge.ts';
import type { GatewayClock } from '../clock/gateway-clock.ts';
import type { GatewayConfig } from '../config.ts';
import { cardProbe } from '../health/card.ts';
import { type Health, type HealthOptions, startHealth } from '../health/health.ts';
import { systemProbes } from '../health/probes.ts';
import { askedBy } from '../security/gate.ts';
import { guarded, mount, userOf } from '../security/http-gate.ts';
import type { Security } from '../security/open-security.ts';
import { type Known, passwordIterations } from '../security/passwords.ts';
import { mayAct } from '../security/roles.ts';
import type { LocalUser } from '../security/users.ts';
import { localCompleteness } from '../tables/local-completeness.ts';
import { doorsOf, type Entrance, openEntrance } from './entrance.ts';
import { openExport } from './export.ts';
import { type LocalState, localPage } from './local-page.ts';
import { brokerCounters, openBridges, openBroker } from './mqtt.ts';
import { listenForOtlp } from './otlp.ts';
import { type HttpReceivers, openReceiving } from './receivers.ts';
import { openScraping } from './scraping.ts';
import { openGatewaySql } from './sql.ts';
import type { Storage } from './storage.ts';
import { openSyslog } from './syslog.ts';

/** What becomes of this gateway in its cloud. */
export interface CloudStatus extends NonNullable<LocalState['cloud']> {
  readonly config: GatewayReport['config'];
  readonly firmware: GatewayReport['firmware'];
}

/** Everything that listens, and what it counts. Returns the ports, and what the gateway says of itself. */
export async function openDoors(
  config: GatewayConfig,
  gatewayClock: GatewayClock,
  logger: Logger,
  storage: Storage,
  security: Security,
  cloudStatus: () => CloudStatus | undefined,
  stack: AsyncDisposableStack,
) {
  const { ids, disk } = storage;
  const { clock } = gatewayClock;
  const { append } = disk;
  const guard = createSeriesGuard(config.limits, clock.monotonicMs);
  const entrance = openEntrance(config, security, logger);
  const [sends, reads] = [new Hono(), new Hono()];
  const { cache, receivers } = openReceiving(config, gatewayClock, { ids, append, guard }, sends);
  const logs = openLogs(config, clock, logger, { ...storage, gate: entrance.gate }, reads, stack);
  const results = createResultCache(config.query.resultCacheBytesMax);
  const queried = { ...storage, logs: logs.logs, results };
  const pg = await openQueries(config, clock, logger, { ...queried, security, entrance }, reads, stack);
  const broker = stack.use(
    await openBroker(config, gatewayClock, logger, { ...storage, security, entrance }, cache),
  );
  const bridges = openBridges(config, gatewayClock, logger, broker, stack);
  const scraping = await openScraping(config, gatewayClock, logger, storage, cache, reads, stack);
  const syslog = await openSyslog(config, gatewayClock, logger, storage, cache, stack);
  const counters = () => ({
    ...countersOf(storage, receivers, guard, results),
    ...brokerCounters(broker, bridges),
    ...scraping.counters(),
    ...syslog.counters(),
    clock_trusted: gatewayClock.quality === 'trusted' ? 1 : 0,
  });
  const receivedBytes = (): number =>
    broker.counters().receivedBytes +
    receivers.receivedBytes() +
    scraping.receivedBytes() +
    syslog.receivedBytes();
  const measured = stack.use(
    measureHealth(config, { append, cache, clock, logger, counters }, receivedBytes),
  );
  sayStatus(reads, storage, gatewayClock, {
    counters,
    bridges,
    cloudStatus,
    measured,
    mqttPort: broker.port,
  });
  const exports = await openExport(config, gatewayClock, logger, storage, stack);
  const http = await openHttp(config, entrance, { sends, reads, exports, receivers, tail: logs.tail }, stack);
  stack.use(
    security.users.onChange(() => {
      pg.endSessions(({ name, stored }) => security.users.find(name)?.stored !== stored);
      void logs.tail.endRefused();
    }),
  );
  const otlp = await listenForOtlp(config, receivers.otlp, entrance, logger, stack);
  const ready = {
    mqtt: broker.port,
    mqttWebSocket: broker.webSocketPort,
    ...(broker.tlsPort !== undefined && { mqttTls: broker.tlsPort }),
    ...(broker.tlsWebSocketPort !== undefined && { mqttTlsWebSocket: broker.tlsWebSocketPort }),
    gatewayHttp: http.port,
    gatewayPg: pg.port,
    ...syslog.ports,
    ...otlp,
    endpoints: http.endpoints,
  };
  return {
    ready,
    report: () => reportOf(storage, gatewayClock, { ...measured.latest, ...counters() }),
    isHealthy: () => measured.isStoring,
    diagnostic: () => statusOf(storage, gatewayClock),
  };
}

/** HTTP: what each role may ask, and what anybody may. */
async function openHttp(
  { listen: { host }, http: { port } }: GatewayConfig,
  { gate, tls, ca }: Entrance,
  parts: {
    readonly sends: Hono;
    readonly reads: Hono;
    /** What `firn ship` asks: it takes data out of the gateway. */
    readonly exports: Hono;
    readonly receivers: HttpReceivers;
    readonly tail: Tail;
  },
  stack: AsyncDisposableStack,
) {
  const app = new Hono();
  app.get('/ready', (c) => c.text('ready\n'));
  app.get('/site-ca.crt', (c) => {
    const text = ca();
    return text === undefined ? c.text('this gateway has no certificate of its own\n', 404) : c.text(text);
  });
  mount(app, gate, 'ingest', parts.sends);
  mount(app, gate, 'read', parts.reads);
  mount(app, gate, 'admin', parts.exports);
  const write = 'POST /api/v1/write';
  const direct = { [write]: guarded(gate, 'ingest', parts.receivers.direct[write]) };
  const upgrades = { [tailPath]: parts.tail.upgrade };
  const server = stack.use(await startHttpServer(app, { host, port, tls }, direct, upgrades));
  return { port: server.port, endpoints: [...endpointsOf(app), write].toSorted() };
}

/** The gateway and the machine, into its own log. */
function measureHealth(
  { dataDir, health, disk: { cardTotalBytesWritten } }: GatewayConfig,
  parts: Pick<HealthOptions, 'append' | 'cache' | 'clock' | 'logger' | 'counters'>,
  receivedBytes: () => number,
): Health {
  const card = cardProbe({ dataDir, clock: parts.clock, receivedBytes, cardTotalBytesWritten });
  const probes = [...systemProbes(dataDir), card];
  return startHealth({ ...parts, dataDir, probes, intervalMs: health.intervalMs });
}

/** For the cloud. */
function reportOf(
  { shipper }: Storage,
  gatewayClock: GatewayClock,
  readings: Readonly<Record<string, number>>,
): GatewayReport {
  const { lastShippedUs, receipt } = shipper?.status ?? {};
  return {
    ...{ version: firnVersion, uptimeSeconds: process.uptime(), clock: gatewayClock.quality, readings },
    ...(lastShippedUs !== undefined && { shippedUs: lastShippedUs }),
    ...(receipt !== undefined && { committedUs: receipt.committedUs }),
  };
}

/** What the gateway says of itself: as a page for a person on site, and whole. */
function sayStatus(
  app: Hono,
  storage: Storage,
  gatewayClock: GatewayClock,
  about: {
    readonly counters: () => Readonly<Record<string, number>>;
    readonly bridges: readonly Bridge[];
    readonly cloudStatus: () => CloudStatus | undefined;
    readonly measured: Health;
    readonly mqttPort: number;
  },
): void {
  const { counters, bridges, cloudStatus, measured, mqttPort } = about;
  app.get('/', (c) => {
    const readings = { ...measured.latest, ...counters() };
    const { hostname } = new URL(c.req.url);
    const state = localState(storage, gatewayClock, cloudStatus());
    const page = localPage(
      { ...state, readings, isStoring: measured.isStoring, mqttPort },
      hostname,
      gatewayClock.clock.nowMs(),
    );
    return c.html(page);
  });
  app.get('/api/v1/firn/status', (c) =>
    c.json({
      ...{ ...storage.ids, counters: counters(), ...statusOf(storage, gatewayClock) },
      bridges: bridges.map(({ status }) => status),
      cloud: cloudStatus() ?? null,
    }),
  );
}

/** For the page that a person on site opens. */
function localState(
  { ids, shipper }: Storage,
  gatewayClock: GatewayClock,
  cloud: CloudStatus | undefined,
): Omit<LocalState, 'isStoring' | 'readings' | 'mqttPort'> {
  return {
    ...{ ...ids, version: firnVersion, uptimeSeconds: process.uptime(), clock: gatewayClock.quality },
    shipping: shipper && { ...shipper.status, backlogRows: shipper.status.backlog.rows },
    ...{ cloud, image: cloud?.firmware },
  };
}

/** What the parts say of themselves. */
function statusOf({ wal, recovery, sealer, shipper, disk }: Storage, gatewayClock: GatewayClock) {
  return {
    log: { epoch: wal.epoch, ...wal.start, recovery: recovery.status },
    clock: gatewayClock.state,
    disk: { ...disk.status, guard: disk.guard.status },
    sealer: sealer.status,
    shipper: shipper?.status ?? null,
  };
}

/** Everything that was received is here at once. */
const localRules = { toleranceMs: 1000, retiredAfterDays: 1 } as const;

/** LogQL: adds its routes to the application; tail is a door of its own. */
function openLogs(
  config: GatewayConfig,
  clock: Clock,
  logger: Logger,
  { tables, engine, live, gate }: Storage & Pick<Entrance, 'gate'>,
  app: Hono,
  stack: AsyncDisposableStack,
): { readonly tail: Tail; readonly logs: LogScan } {
  const pool = stack.use(createLogPool(config.logql));
  const deployment = { logs: logScan({ tables, engine, pool }), live };
  const options = {
    ...{ context: () => deployment, clock, logger, buildInfo },
    limits: logqlLimits(config),
  };
  app.route('/', lokiRoutes(options));
  const tailed = async (request: IncomingMessage) => {
    const admission = await gate(askedBy(request), 'read', `GET ${tailPath}`);
    return 'user' in admission ? deployment : undefined;
  };
  return { tail: stack.use(openTail({ ...options, context: tailed })), logs: deployment.logs };
}

/** PromQL and SQL: adds their routes to the application, and listens for PostgreSQL clients. */
async function openQueries(
  config: GatewayConfig,
  clock: Clock,
  logger: Logger,
  {
    ids,
    wal,
    engine,
    tables,
    logs,
    results,
    security,
    entrance,
  }: Storage & {
    readonly logs: LogScan;
    readonly results: ResultCache;
    readonly security: Security;
    readonly entrance: Entrance;
  },
  app: Hono,
  stack: AsyncDisposableStack,
): Promise<PgServer<LocalUser>> {
  const { timeoutMs, samplesMax, cacheBytesMax } = config.query;
  const evaluator = stack.use(createEvaluationPool({ clock, threads: 1, cacheBytesMax }));
  const deployment = { tables, scan: seriesScan({ tables, engine, pool: evaluator }) };
  const limits = { ...defaultQueryLimits, timeoutMs, samplesMax };
  const source = stack.use(localCompleteness({ ...ids, walPath: wal.path, tables, engine, clock }));
  const completeness = (_: unknown, { fromMs, toMs, ...asked }: ReadRange) => {
    const range = { fromUs: fromMs * 1000, toUs: toMs * 1000, signal: 'metrics' as const, ...asked };
    return completenessWarning(range, source, localRules, clock);
  };
  app.route(
    '/',
    prometheusRoutes({
      ...{ context: () => deployment, limits, clock, logger, buildInfo, completeness, evaluator },
      cache: results,
    }),
  );
  app.route('/', completenessRoutes({ context: () => source, rules: localRules, clock, logger }));
  const languages = createLanguages({
    ...{ scan: deployment.scan, logs, evaluator, clock, promqlLimits: limits },
    logqlLimits: logqlLimits(config),
  });
  const audit = async () => security.audit.lines(ids.tenant);
  const sql = openGatewaySql({ config, ids, engine, tables, languages, audit, clock, logger }, stack);
  const seesAudit = (user: Known | undefined): boolean =>
    user === undefined ? !doorsOf(config).isReachable : mayAct(user.roles, 'admin');
  app.route('/', sqlRoutes({ answer: (c, statement) => sql.answer(c, statement, seesAudit(userOf(c))) }));
  const own = config.pgwire.certFile === '' ? {} : pgTls(config.pgwire, logger);
  return stack.use(
    await startPgServer<LocalUser>({
      ...{ host: config.listen.host, port: config.pgwire.port, logger, tls: entrance.tls, ...own },
      requiresTls: entrance.requiresTls,
      authenticate: entrance.needsLogin
        ? {
            ...{ kind: 'scram', keyOf: security.users.find, iterations: passwordIterations },
            attempts: entrance.attemptsAt('sql'),
          }
        : { kind: 'trust' },
      openSession: (request) => {
        if (request.key && !mayAct(request.key.roles, 'read'))
          throw new SqlError('42501', `the user ${request.key.name} has not the role read`);
        return sql.openSession(request, seesAudit(request.key));
      },
      limits: { connectionsMax: config.pgwire.connectionsMax },
    }),
  );
}

/** The gateway's own counts, as health metrics and for the status page. */
function countersOf(
  { sealer, shipper, disk }: Storage,
  receivers: HttpReceivers,
  guard: SeriesGuard,
  results: ResultCache,
): Record<string, number> {
  const series = guard.counts();
  const cached = results.counters();
  return {
    ...receivers.counters(),
    series_active: series.active,
    series_new_total: series.admitted,
    series_refused_total: series.refused,
    sealed_rows_total: sealer.status.rows,
    skipped_rows_total: sealer.status.skippedRows,
    disk_budget_bytes: disk.status.pressure?.budgetBytes ?? 0,
    disk_used_bytes: disk.status.pressure?.ownBytes ?? 0,
    disk_refusing: disk.guard.status.refusing ? 1 : 0,
    disk_refused_batches_total: disk.guard.status.refusals,
    disk_rolled_up_rows_total: disk.status.rolledUpRows,
    disk_dropped_rows_total: disk.status.droppedRows,
    query_cache_reused_steps_total: cached.reusedSteps,
    query_cache_evaluated_steps_total: cached.evaluatedSteps,
    query_cache_outdated_blocks_total: cached.outdatedBlocks,
    query_cache_bytes: cached.bytes,
    ...(shipper && {
      ship_connected: shipper.status.connected ? 1 : 0,
      ship_backlog_segments: shipper.status.backlog.segments,
      ship_backlog_rows: shipper.status.backlog.rows,
      ship_backlog_bytes: shipper.status.backlog.bytes,
      ship_shipments_total: shipper.status.shipments,
      ship_sent_bytes_total: shipper.status.sentBytes,
      ship_requests_total: shipper.status.requests,
      ship_lost_rows_total: shipper.status.lostRows,
    }),
  };
}
