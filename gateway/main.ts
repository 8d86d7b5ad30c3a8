import { join } from 'node:path';
import { Hono } from 'hono';
import { buildInfo } from '../lake/api/build-info.ts';
import { startHttpServer } from '../lake/api/http-server.ts';
import { prometheusRoutes } from '../lake/api/prometheus/routes.ts';
import { type RemoteWriteOptions, remoteWriteRoutes } from '../lake/api/receive/remote-write.ts';
import { sqlRoutes } from '../lake/api/sql/routes.ts';
import { systemClock } from '../lake/base/clock.ts';
import { messageOf } from '../lake/base/errors.ts';
import { createLogger, type Logger } from '../lake/base/log.ts';
import { checkFolder, checkPorts } from '../lake/base/preflight.ts';
import { type Service, serviceCommand } from '../lake/base/service.ts';
import { gatewayId, siteId, tenantId } from '../lake/model/ids.ts';
import type { Labels } from '../lake/model/labels.ts';
import { openObjectStore } from '../lake/object-store/open.ts';
import { type PgServer, startPgServer } from '../lake/pgwire/server.ts';
import { defaultQueryLimits } from '../lake/promql/limits.ts';
import { remoteWriteLimits } from '../lake/receive/remote-write/limits.ts';
import { createSeriesCache } from '../lake/receive/series-cache.ts';
import { seriesScan } from '../lake/scan/series-scan.ts';
import { openEngine } from '../lake/sql/duckdb/engine.ts';
import { openSqlSession } from '../lake/sql/session.ts';
import { type Broker, startBroker } from './broker/broker.ts';
import { type GatewayConfig, gatewaySettings, loadGatewayConfig } from './config.ts';
import { lockFolder } from './folder-lock.ts';
import { startHealth } from './health/health.ts';
import { startMerger } from './seal/merger.ts';
import { startSealer } from './seal/sealer.ts';
import { startShipper } from './ship/shipper.ts';
import { createFilePins } from './tables/file-pins.ts';
import { openGatewayTables } from './tables/tables.ts';
import { openWal } from './wal/open-wal.ts';
import type { Wal } from './wal/wal.ts';

// The gateway process: joins the rooms beside it. What is opened is closed in reverse.

const clock = systemClock;

export function main(argv: readonly string[]): Promise<number> {
  const start = async (flags: readonly string[]): Promise<Service> => startGateway(loadGatewayConfig(flags));
  return serviceCommand(
    { name: 'firn gateway', about: 'Runs a gateway.', settings: gatewaySettings, start },
    argv,
  );
}

async function startGateway(config: GatewayConfig): Promise<Service> {
  checkFolder(config.dataDir, '--data-dir');
  await checkPorts(config.listen.host, {
    '--mqtt-port': config.mqtt.port,
    '--mqtt-web-socket-port': config.mqtt.webSocketPort,
    '--http-port': config.http.port,
    '--pgwire-port': config.pgwire.port,
  });
  const logger = createLogger(config.logLevel).with({ part: 'gateway' });
  await using stack = new AsyncDisposableStack();
  stack.use(lockFolder(config.dataDir));
  const storage = await openStorage(config, logger, stack);
  stack.defer(() => shipTheRest(storage));
  const ready = await openDoors(config, logger, storage, stack);
  logger.info('gateway is running', { dataDir: config.dataDir, ...ready });
  const open = stack.move();
  return { ready, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** How long a gateway that stops waits for its last rows to be shipped; what is not goes with the next start. */
const lastShipmentMsMax = 5000;

/** After the doors are closed: seals what came last, and ships it if the store can be reached. */
async function shipTheRest({ sealer, shipper }: Storage): Promise<void> {
  await sealer.sealNow().catch(() => undefined); // Logged by the sealer; the rows are in the WAL.
  const deadlineMs = clock.monotonicMs() + lastShipmentMsMax;
  const waiting = (): boolean =>
    shipper !== undefined && shipper.status.lastError === undefined && shipper.status.backlogShipments > 0;
  while (waiting() && clock.monotonicMs() < deadlineMs) await clock.sleep(20);
}

type Storage = Awaited<ReturnType<typeof openStorage>>;

/** The log, what becomes of it, and the tables over both. */
async function openStorage(config: GatewayConfig, logger: Logger, stack: AsyncDisposableStack) {
  const { dataDir, seal, ship } = config;
  const ids = {
    tenant: tenantId(config.tenant),
    site: siteId(config.site),
    gateway: gatewayId(config.gateway),
  };
  const walPath = join(dataDir, 'wal.db');
  const wal = stack.use(
    await openWal({
      path: walPath,
      clock,
      commitIntervalMs: config.wal.commitIntervalMs,
      walQueueBytesMax: config.wal.queueBytesMax,
      onFailure: (error) => logger.error('the WAL writer died; nothing more is accepted', { error }),
    }),
  );
  const sealer = stack.use(
    await startSealer({
      ...{ ...ids, wal, dataDir, clock, logger },
      writer: seal.writer,
      sealIntervalMs: seal.intervalMs,
      sealRowsMax: seal.rowsMax,
    }),
  );
  // Without a store, what is here is all there is: it is merged like what was shipped, but it never expires.
  const standalone = config.store.kind === 'none';
  const localRetentionHours = standalone ? Number.POSITIVE_INFINITY : seal.localRetentionHours;
  const pins = createFilePins(dataDir, logger);
  const { discard } = pins;
  stack.use(startMerger({ wal, dataDir, discard, clock, logger, localRetentionHours }));
  const shipper = standalone ? undefined : await openShipper();
  if (standalone) sealer.onSealed(({ number }) => keepHere(wal, number, logger));
  const engine = stack.use(
    await openEngine({
      directories: [join(dataDir, 'segments')],
      memoryBytesMax: config.query.memoryBytesMax,
      threads: config.query.threads,
    }),
  );
  const tables = stack.use(await openGatewayTables({ ...ids, walPath, dataDir, engine, pins, logger }));
  return { ids, wal, sealer, shipper, engine, tables };

  async function openShipper() {
    const { store } = await openObjectStore(config.store);
    stack.defer(() => store.close());
    return stack.use(startShipper({ wal, store, dataDir, seals: sealer, clock, logger, ...ship }));
  }
}

/** A gateway without a store has nowhere to ship to; a shipment counts as shipped, so that its files can be merged. */
function keepHere(wal: Wal, number: number, logger: Logger): void {
  wal.markShipped(number, Math.floor(clock.nowMs() * 1000)).catch((error: unknown) => {
    logger.warn('a local shipment stays as it is', { number, error: messageOf(error) });
  });
}

/** Everything that listens, and what it counts. Returns the ports. */
async function openDoors(
  config: GatewayConfig,
  logger: Logger,
  storage: Storage,
  stack: AsyncDisposableStack,
) {
  const { ids, wal, sealer, shipper } = storage;
  const { host } = config.listen;
  const { append } = wal;
  const identity: Labels = [
    ['gateway', ids.gateway],
    ['site', ids.site],
  ];
  const cache = createSeriesCache({ identity: config.identityLabels ? identity : [] });
  const written = { samples: 0, refused: 0 };
  const app = new Hono();
  app.route('/', remoteWrite(config, { append, cache }, written));
  const pg = await openQueries(config, logger, storage, app, stack);
  const broker = stack.use(await startBroker({ ...config.mqtt, host, append, cache, clock, logger }));
  const counters = () => countersOf(storage, broker, written);
  app.get('/api/v1/firn/status', (c) =>
    c.json({ ...ids, counters: counters(), sealer: sealer.status, shipper: shipper?.status ?? null }),
  );
  app.get('/ready', (c) => c.text('ready\n'));
  const { dataDir, health } = config;
  stack.use(startHealth({ append, cache, clock, logger, counters, dataDir, intervalMs: health.intervalMs }));
  const http = stack.use(await startHttpServer(app, { host, port: config.http.port }));
  return {
    mqtt: broker.port,
    mqttWebSocket: broker.webSocketPort,
    gatewayHttp: http.port,
    gatewayPg: pg.port,
  };
}

interface Written {
  samples: number;
  refused: number;
}

function remoteWrite(
  { http: { bodyBytesMax } }: GatewayConfig,
  to: Pick<RemoteWriteOptions, 'append' | 'cache'>,
  written: Written,
): Hono {
  return remoteWriteRoutes({
    ...to,
    limits: { ...remoteWriteLimits, bodyBytesMax, decodedBytesMax: 2 * bodyBytesMax },
    onAnswer: (answer) => {
      written.samples += answer.samples;
      written.refused += answer.status === 204 ? 0 : 1;
    },
  });
}

/** PromQL and SQL: adds their routes to the application, and listens for PostgreSQL clients. */
async function openQueries(
  config: GatewayConfig,
  logger: Logger,
  { ids, engine, tables }: Storage,
  app: Hono,
  stack: AsyncDisposableStack,
): Promise<PgServer> {
  const { timeoutMs, samplesMax } = config.query;
  const deployment = { tables, scan: seriesScan({ tables, engine }) };
  const limits = { ...defaultQueryLimits, timeoutMs, samplesMax };
  app.route('/', prometheusRoutes({ context: () => deployment, limits, clock, logger, buildInfo }));
  const openSession = (user: string, startParameters: ReadonlyMap<string, string> = new Map()) =>
    openSqlSession({
      ...{ engine, tables, clock, user, startParameters },
      database: ids.tenant,
      limits: { statementTimeoutMs: timeoutMs },
    });
  app.route('/', sqlRoutes({ openSession: () => openSession('firn') }));
  return stack.use(
    await startPgServer({
      ...{ host: config.listen.host, port: config.pgwire.port, logger },
      // Who can connect may read: config.ts refuses any address but loopback, unless it is opened on purpose.
      authenticate: { kind: 'trust' },
      openSession: ({ user, parameters }) => openSession(user, parameters),
      limits: { connectionsMax: config.pgwire.connectionsMax },
    }),
  );
}

/** The gateway's own counts, as health metrics and for the status page. */
function countersOf({ sealer, shipper }: Storage, broker: Broker, written: Written): Record<string, number> {
  const mqtt = broker.counters();
  return {
    mqtt_clients: mqtt.clients,
    mqtt_received_messages_total: mqtt.received,
    mqtt_dead_letters_total: mqtt.deadLetters,
    mqtt_dropped_messages_total: mqtt.dropped,
    remote_write_samples_total: written.samples,
    remote_write_refused_requests_total: written.refused,
    sealed_rows_total: sealer.status.rows,
    skipped_rows_total: sealer.status.skippedRows,
    ...(shipper && {
      ship_connected: shipper.status.connected ? 1 : 0,
      ship_backlog_shipments: shipper.status.backlogShipments,
      ship_backlog_bytes: shipper.status.backlogBytes,
      ship_lost_rows_total: shipper.status.lostRows,
    }),
  };
}
