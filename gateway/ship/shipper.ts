import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { type Bell, backoffMs, createBell } from '../../lake/base/retry.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { Wal } from '../wal/wal.ts';
import { type Backlog, openBacklog, type SealedShipment } from './backlog.ts';
import { asSealed, type Outgoing, uploadManifest, uploadSegment, withoutDamaged } from './upload.ts';

export interface ShipperOptions {
  readonly wal: Wal;
  readonly store: ObjectStore;
  /** Absolute; the sealer's. */
  readonly dataDir: string;
  /** Says when there is something new to ship: the sealer. */
  readonly seals: { onSealed(listener: (sealed: { readonly bytes: number }) => void): () => void };
  readonly clock: Clock;
  readonly logger: Logger;
  /** From 0 up to 1, for the jitter of retries. */
  readonly random?: () => number;
  /** Wait after a failure, for as long as it takes. */
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
  /** Wait when the store refuses (`denied`, `invalid`): a person has to do something first. */
  readonly refusedRetryMs?: number;
  /** One put may take so long. */
  readonly uploadTimeoutMs?: number;
  /** Shipments whose segments are uploaded side by side; their manifests follow in order. */
  readonly shipmentsInFlightMax?: number;
  /** A segment whose local file is damaged or gone is left out of its shipment after so many tries. */
  readonly damagedTriesMax?: number;
}

const shipperDefaults = {
  retryMinMs: 1000,
  retryMaxMs: 60_000,
  refusedRetryMs: 300_000,
  uploadTimeoutMs: 120_000,
  shipmentsInFlightMax: 8,
  damagedTriesMax: 3,
} as const;

export interface Shipper extends AsyncDisposable {
  readonly status: ShipperStatus;
}

interface ShipperStatus {
  /** Whether the last try to reach the store succeeded; false before the first. */
  readonly connected: boolean;
  readonly backlogShipments: number;
  readonly backlogBytes: number;
  readonly lastError: string | undefined;
  readonly lastShippedUs: number | undefined;
  /** Counted since the start: what could not be shipped because its local file was damaged. */
  readonly lostSegments: number;
  readonly lostRows: number;
}

type Settings = Required<ShipperOptions>;
type Status = { -readonly [K in keyof ShipperStatus]: ShipperStatus[K] };

/** Ships in the background until it is disposed. A store that is away changes nothing else on the gateway. */
export function startShipper(options: ShipperOptions): Shipper {
  const settings: Settings = { ...shipperDefaults, random: Math.random, ...options };
  const backlog = openBacklog(settings.wal.path);
  const size = backlog.size();
  const status: Status = {
    connected: false,
    backlogShipments: size.shipments,
    backlogBytes: size.bytes,
    lastError: undefined,
    lastShippedUs: undefined,
    lostSegments: 0,
    lostRows: 0,
  };
  const bell = createBell(settings.clock);
  const stop = new AbortController();
  const unsubscribe = settings.seals.onSealed(({ bytes }) => {
    status.backlogShipments++;
    status.backlogBytes += bytes;
    bell.ring();
  });
  const loop = shipInBackground(settings, backlog, bell, status, stop.signal);
  return {
    status,
    [Symbol.asyncDispose]: async () => {
      unsubscribe();
      stop.abort();
      await loop;
      backlog[Symbol.dispose]();
    },
  };
}

async function shipInBackground(
  settings: Settings,
  backlog: Backlog,
  bell: Bell,
  status: Status,
  stop: AbortSignal,
): Promise<void> {
  const { clock, logger, random, store, damagedTriesMax } = settings;
  let failures = 0;
  let damagedTries = 0;
  let logged: string | undefined;
  while (!stop.aborted) {
    try {
      const shipments = backlog.next(settings.shipmentsInFlightMax);
      if (shipments.length === 0) await bell.wait(stop);
      else await shipAll(settings, shipments, status, damagedTries >= damagedTriesMax, stop);
      if (logged !== undefined) logger.info('shipping again', { store: store.description });
      [failures, damagedTries, logged, status.lastError] = [0, 0, undefined, undefined];
    } catch (error) {
      if (stop.aborted) return;
      failures++;
      if (hasCode(error, 'corrupt')) damagedTries++;
      else status.connected = false;
      status.lastError = messageOf(error);
      // By code: messages of the same trouble differ from try to try.
      const kind = error instanceof FirnError ? error.code : 'unknown';
      if (kind !== logged) logFailure(logger, store, error, status);
      logged = kind;
      const refused = kind === 'denied' || kind === 'invalid';
      const waitMs = refused ? settings.refusedRetryMs : backoffMs(failures, settings, random());
      await clock.sleep(waitMs, stop).catch(() => undefined); // aborted: the loop ends
    }
  }
}

function logFailure(logger: Logger, store: ObjectStore, error: unknown, status: ShipperStatus): void {
  const fields = {
    store: store.description,
    error: messageOf(error),
    hint: error instanceof FirnError ? error.hint : undefined,
    backlogShipments: status.backlogShipments,
  };
  if (hasCode(error, 'unavailable')) logger.warn('the object store is away; shipping is tried again', fields);
  else logger.error('could not ship; trying again', fields);
}

/** Uploads the segments of all, then the manifests in order of number. `leaveOut`: see `withoutDamaged`. */
async function shipAll(
  settings: Settings,
  sealed: readonly SealedShipment[],
  status: Status,
  leaveOut: boolean,
  stop: AbortSignal,
): Promise<void> {
  const { wal, store, dataDir, clock } = settings;
  const outgoing = await Promise.all(
    sealed.map((shipment) => (leaveOut ? withoutDamaged(dataDir, shipment) : asSealed(shipment))),
  );
  await allOrFirstError(
    outgoing
      .flatMap(({ manifest }) => manifest.segments)
      .map((segment) =>
        withTimeout(settings, stop, (signal) => uploadSegment(store, dataDir, segment, signal)),
      ),
  );
  for (const shipment of outgoing) {
    await withTimeout(settings, stop, (signal) => uploadManifest(store, shipment, signal));
    const nowUs = Math.round(clock.nowMs() * 1000);
    await wal.markShipped(shipment.manifest.number, nowUs);
    status.connected = true;
    status.lastShippedUs = nowUs;
    count(status, shipment, settings.logger);
  }
}

function count(status: Status, { manifest, lost }: Outgoing, logger: Logger): void {
  status.backlogShipments--;
  for (const { bytes } of [...manifest.segments, ...lost]) status.backlogBytes -= bytes;
  for (const { key, rows } of lost) {
    status.lostSegments++;
    status.lostRows += rows;
    logger.error('a damaged segment was left out of its shipment; its rows are lost', { key, rows });
  }
}

/** Waits for all, also after a failure, so that nothing runs on into the next try. */
async function allOrFirstError(uploads: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(uploads);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function withTimeout(
  { clock, uploadTimeoutMs, store }: Settings,
  stop: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const done = new AbortController();
  const late = new AbortController();
  const timer = clock.sleep(uploadTimeoutMs, done.signal).then(
    () => late.abort(tooSlow(store, uploadTimeoutMs)),
    () => undefined, // done in time
  );
  try {
    await work(AbortSignal.any([stop, late.signal]));
  } catch (error) {
    throw late.signal.aborted ? late.signal.reason : error;
  } finally {
    done.abort();
    await timer;
  }
}

function tooSlow(store: ObjectStore, uploadTimeoutMs: number): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'ship',
    subject: 'uploadTimeoutMs',
    message: `${store.description} took longer than ${uploadTimeoutMs} ms for one upload`,
  });
}
