import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { publishedLogs } from '../../lake/api/loki/live-logs.ts';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { crashAt } from '../../lake/base/fault-points.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Gap } from '../../lake/model/gap.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { openObjectStore } from '../../lake/object-store/open.ts';
import { gapsBatch } from '../../lake/receive/gaps-builder.ts';
import { type Engine, lazyEngine } from '../../lake/sql/duckdb/engine.ts';
import type { GatewayClock } from '../clock/gateway-clock.ts';
import { recordedTimes } from '../clock/recorded-times.ts';
import type { GatewayConfig } from '../config.ts';
import { openDiskLadder } from '../disk/open-disk-ladder.ts';
import { cloudStore } from '../fleet/cloud-store.ts';
import type { CloudSession } from '../fleet/session.ts';
import { startGapLog } from '../gaps/gap-log.ts';
import { startMerger } from '../seal/merger.ts';
import { startSealer } from '../seal/sealer.ts';
import { createSegmentClaims } from '../seal/segment-claims.ts';
import { createLink } from '../ship/link.ts';
import { type ShipperOptions, startShipper } from '../ship/shipper.ts';
import { createFilePins } from '../tables/file-pins.ts';
import { openGatewayTables } from '../tables/tables.ts';
import { openWal } from '../wal/open-wal.ts';
import { openWalReader } from '../wal/reader.ts';
import { startRecovery } from '../wal/recovery/run-recovery.ts';
import type { Wal } from '../wal/wal.ts';
import { sqlTailFolder } from './sql.ts';

export type Storage = Awaited<ReturnType<typeof openStorage>>;

/** What is known of the cloud that ships are for. */
interface ShipsTo {
  /** Of an enrolled gateway. */
  readonly session: CloudSession | undefined;
  /** Tells its receipts from forged ones; undefined: who can write them is believed. */
  readonly openReceipt: ShipperOptions['openReceipt'] | undefined;
}

/** The log, what becomes of it, and the tables over both. What is opened is closed in reverse by the stack. */
export async function openStorage(
  config: GatewayConfig,
  gatewayClock: GatewayClock,
  logger: Logger,
  cloud: ShipsTo,
  onDamage: () => void,
  stack: AsyncDisposableStack,
) {
  const { dataDir, seal, ship } = config;
  const { clock } = gatewayClock;
  const ids = {
    tenant: tenantId(config.tenant),
    site: siteId(config.site),
    gateway: gatewayId(config.gateway),
  };
  const crash = config.test.crashAt;
  const walPath = join(dataDir, 'wal.db');
  const condemn = condemnOnce(logger, onDamage);
  const wal = await openLog(config, walPath, gatewayClock, logger, (error) => condemn(wal, error), stack);
  const write = (gaps: readonly Gap[]): Promise<void> => wal.append(gapsBatch(gaps, ids.gateway));
  const gaps = stack.use(startGapLog({ write, clock, logger }));
  const shared = { ...ids, wal, dataDir, clock, logger, reach: crashAt(crash) };
  const recovery = stack.use(await startRecovery(shared));
  const sealer = stack.use(
    await startSealer({
      ...shared,
      writer: seal.writer,
      holdSinceMonoUs: gatewayClock.holdSinceMonoUs,
      onDamage: (error) => condemn(wal, error),
      sealIntervalMs: seal.intervalMs,
      sealRowsMax: seal.rowsMax,
      sealBytesMax: seal.bytesMax,
      crashAt: crash,
    }),
  );
  const pins = createFilePins(dataDir, logger);
  const claims = createSegmentClaims();
  const merger = stack.use(
    startMerger({
      ...shared,
      claims,
      discard: pins.discard,
      mergeInMemory: sealer.merge,
      localRetentionHours: seal.localRetentionHours,
      mergeRowsMax: seal.mergeRowsMax,
      writerMemoryBytesMax: seal.mergeMemoryBytesMax,
    }),
  );
  const rollUp = { rollUpRowsMax: seal.mergeRowsMax, writerMemoryBytesMax: seal.mergeMemoryBytesMax };
  const reader = stack.use(openWalReader(walPath));
  const live = publishedLogs(reader.labelsOf);
  const ladder = { ...shared, ...config.disk, ...rollUp, claims, discard: pins.discard };
  const disk = stack.use(await openDiskLadder({ ...ladder, onAppended: live.publish }));
  // Without a store, what is here is all there is: it waits, and is merged, as in an outage without end.
  const shipper = config.store.kind === 'none' ? undefined : await openShipper();
  const engine = stack.use(queryEngine(config));
  const tables = stack.use(openGatewayTables({ ...ids, walPath, dataDir, engine, pins, logger }));
  return { ids, wal, recovery, sealer, merger, claims, shipper, engine, tables, disk, gaps, live };

  async function openShipper() {
    const store = await openShippingStore(config, cloud.session, stack);
    gatewayClock.ask(() => store.serverTime?.());
    const link = createLink(ship, clock, shipDayOf(walPath));
    const { retryMinMs, retryMaxMs, newestMs, receiptIntervalMs } = ship;
    const waits = { retryMinMs, retryMaxMs, newestMs, receiptIntervalMs };
    return stack.use(
      startShipper({
        ...{ ...shared, ...waits, store, claims, seals: sealer, link },
        ...(cloud.openReceipt && { openReceipt: cloud.openReceipt }),
        consolidate: merger.runNow,
        onReceipt: gatewayClock.notBefore,
      }),
    );
  }
}

/** The next start puts a condemned log aside and saves what can be read; `onDamage` brings it about. */
function condemnOnce(logger: Logger, onDamage: () => void): (wal: Wal, error: unknown) => void {
  let condemned = false;
  return (wal, error) => {
    if (condemned) return;
    condemned = true;
    logger.error('the log is damaged; it is put aside and what can be read is saved', {
      error: messageOf(error),
    });
    wal.condemn().then(onDamage, onDamage);
  };
}

export async function openLog(
  config: GatewayConfig,
  walPath: string,
  gatewayClock: GatewayClock,
  logger: Logger,
  onDamage: (error: unknown) => void,
  stack: AsyncDisposableStack,
): Promise<Wal> {
  const { clock, bootId, quality, monotonicUs } = gatewayClock;
  const wal = stack.use(
    await openWal({
      ...{ path: walPath, clock, monotonicUs, boot: { bootId, clock: quality } },
      alarmSelectors: config.classes.alarms,
      commitIntervalMs: config.wal.commitIntervalMs,
      walQueueBytesMax: config.wal.queueBytesMax,
      crashAt: config.test.crashAt,
      onFailure: (error) => logger.error('the WAL writer died; nothing more is accepted', { error }),
      onDamage,
    }),
  );
  const { setClock } = wal;
  stack.use(await gatewayClock.follow({ setClock, recorded: recordedTimes(walPath, bootId) }));
  return wal;
}

/** The shipper waits between tries itself; over a slow link a part must not take long. */
const shippingLimits = { requestAttemptsMax: 1, partBytes: 5 * 1024 * 1024, idleMsMax: 20_000 } as const;

async function openShippingStore(
  { store: settings, proxy }: GatewayConfig,
  cloud: CloudSession | undefined,
  stack: AsyncDisposableStack,
): Promise<ObjectStore> {
  const store =
    settings.kind === 'cloud'
      ? cloudStore({ session: enrolled(cloud), limits: shippingLimits, proxy })
      : (await openObjectStore(settings, shippingLimits, proxy)).store;
  stack.defer(() => store.close());
  return store;
}

function enrolled(cloud: CloudSession | undefined): CloudSession {
  if (cloud !== undefined) return cloud;
  throw new FirnError({
    ...{ code: 'invalid', operation: 'open object store', subject: 'store.kind' },
    message: 'store.kind: a gateway that is not enrolled has no cloud that says where to ship to',
    hint: 'enroll it (--cloud-claim), or use another kind',
  });
}

function shipDayOf(walPath: string) {
  using reader = openWalReader(walPath);
  return reader.shipDay();
}

/** How long a gateway that stops waits for its last rows to be shipped; what is not goes with the next start. */
const lastShipmentMsMax = 5000;

/** After the doors are closed: seals what came last, and ships it if the store can be reached. */
export async function shipTheRest({ sealer, shipper }: Storage, clock: Clock): Promise<void> {
  await sealer.sealNow().catch(() => undefined); // Logged by the sealer; the rows are in the WAL.
  const deadlineMs = clock.monotonicMs() + lastShipmentMsMax;
  const waiting = (): boolean =>
    shipper !== undefined && shipper.status.lastError === undefined && shipper.status.backlog.segments > 0;
  while (waiting() && clock.monotonicMs() < deadlineMs) await clock.sleep(20);
}

/** May read the segments; what does not fit into its memory has some disk, in a folder that begins empty. */
function queryEngine({ dataDir, query, sql }: GatewayConfig): Engine {
  const { memoryBytesMax, threads, spillBytesMax: bytesMax } = query;
  const spill = { directory: join(dataDir, 'spill', 'query'), bytesMax };
  rmSync(spill.directory, { recursive: true, force: true });
  const directories = [join(dataDir, 'segments')];
  // It writes the newest rows there, for a process that answers SQL.
  if (sql.process === 'own') directories.push(sqlTailFolder(dataDir));
  return lazyEngine({ directories, memoryBytesMax, threads, spill });
}
