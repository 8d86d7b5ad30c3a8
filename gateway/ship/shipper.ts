import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { noFaults, type ReachFaultPoint } from '../../lake/base/fault-points.ts';
import type { Logger } from '../../lake/base/log.ts';
import { type Bell, backoffMs, createBell } from '../../lake/base/retry.ts';
import type { GatewayId, SiteId, TenantId } from '../../lake/model/ids.ts';
import { parseReceipt, type Receipt } from '../../lake/model/receipt.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { SegmentClaims } from '../seal/segment-claims.ts';
import type { Wal } from '../wal/wal.ts';
import { type Backlog, type BacklogSize, openBacklog } from './backlog.ts';
import { type Composer, createComposer } from './compose.ts';
import type { Link } from './link.ts';
import { type AppliedReceiptStatus, pollReceipts } from './receipts.ts';
import { createUploads, type Uploads } from './uploads.ts';

export interface ShipperOptions {
  readonly wal: Wal;
  readonly store: ObjectStore;
  readonly tenant: TenantId;
  readonly site: SiteId;
  readonly gateway: GatewayId;
  /** Absolute; the sealer's. */
  readonly dataDir: string;
  readonly claims: SegmentClaims;
  /** Says when there is something new to ship: the sealer. */
  readonly seals: { onSealed(listener: () => void): () => void };
  /** What the way to the store may carry, and when. */
  readonly link: Link;
  /** Makes few large files of many small ones that wait; `filesMin` neighbours are enough. */
  readonly consolidate?: (filesMin: number) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** From 0 up to 1, for the jitter of retries. */
  readonly random?: () => number;
  /** Wait after a failure, for as long as it takes. */
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
  /** Longest wait while the store can't be reached at all: trying costs nobody anything. */
  readonly unreachedRetryMaxMs?: number;
  /** Wait when the store refuses (`denied`, `invalid`): a person has to do something first. */
  readonly refusedRetryMs?: number;
  /** One put may take so long, and a second more for each `slowBytesPerSecond`. */
  readonly uploadTimeoutMs?: number;
  readonly slowBytesPerSecond?: number;
  /** A segment whose local file is damaged or gone is given up after so many tries. */
  readonly damagedTriesMax?: number;
  /** Segments sealed so lately are shipped before the others. */
  readonly newestMs?: number;
  /** How often the cloud's receipt is looked at while something waits for it. */
  readonly receiptIntervalMs?: number;
  /** How often it looks whether a window has opened, or something waits too long, while nothing else happens. */
  readonly lookIntervalMs?: number;
  /** Reads a receipt, if it counts; else throws FirnError `denied`. As it is when absent: who can write it is believed. */
  readonly openReceipt?: (text: string, key: string, signal: AbortSignal) => Promise<Receipt>;
  /** Told the cloud's time in each receipt, microseconds. */
  readonly onReceipt?: (cloudUs: number) => void;
  readonly reach?: ReachFaultPoint;
}

const shipperDefaults = {
  retryMinMs: 1000,
  retryMaxMs: 60_000,
  unreachedRetryMaxMs: 2_000,
  refusedRetryMs: 300_000,
  uploadTimeoutMs: 120_000,
  slowBytesPerSecond: 8 * 1024,
  damagedTriesMax: 3,
  newestMs: 60_000,
  receiptIntervalMs: 30_000,
  lookIntervalMs: 1_000,
} as const;

export interface Shipper extends AsyncDisposable {
  readonly status: ShipperStatus;
}

interface ShipperStatus {
  /** Whether the last try to reach the store succeeded; false before the first. */
  readonly connected: boolean;
  /** Sealed or composed, and not shipped. */
  readonly backlog: BacklogSize;
  readonly lastError: string | undefined;
  readonly lastShippedUs: number | undefined;
  /** The newest receipt of this epoch. */
  readonly receipt: AppliedReceiptStatus | undefined;
  /** Counted since the start. */
  readonly shipments: number;
  readonly sentBytes: number;
  readonly requests: number;
  /** What could not be shipped because its local file was damaged. */
  readonly lostSegments: number;
  readonly lostRows: number;
}

export type Settings = Required<ShipperOptions>;
type Status = { -readonly [K in keyof ShipperStatus]: ShipperStatus[K] };

/** What the shipper's parts share. */
export interface Shipping {
  readonly settings: Settings;
  readonly backlog: Backlog;
  readonly composer: Composer;
  readonly status: Status;
  readonly bell: Bell;
  readonly stop: AbortSignal;
}

/** Ships in the background until it is disposed. A store that is away changes nothing else on the gateway. */
export function startShipper(options: ShipperOptions): Shipper {
  const settings: Settings = {
    ...shipperDefaults,
    random: Math.random,
    reach: noFaults,
    consolidate: async () => undefined,
    onReceipt: () => undefined,
    openReceipt: async (text, key) => parseReceipt(text, key),
    ...options,
  };
  const backlog = openBacklog(settings.wal.path, settings.newestMs);
  const composer = createComposer(settings);
  const status: Status = {
    ...{ connected: false, backlog: backlog.size(), lastError: undefined, lastShippedUs: undefined },
    ...{ receipt: undefined, shipments: 0, sentBytes: 0, requests: 0, lostSegments: 0, lostRows: 0 },
  };
  const bell = createBell(settings.clock);
  const stop = new AbortController();
  const shipping: Shipping = { settings, backlog, composer, status, bell, stop: stop.signal };
  const unsubscribe = settings.seals.onSealed(() => {
    status.backlog = backlog.size();
    bell.ring();
  });
  const uploads = createUploads(shipping);
  const loops = Promise.all([shipInBackground(shipping, uploads), pollReceipts(shipping)]);
  return {
    status,
    [Symbol.asyncDispose]: async () => {
      unsubscribe();
      stop.abort();
      bell.ring();
      await loops;
      await uploads[Symbol.asyncDispose]();
      composer[Symbol.dispose]();
      backlog[Symbol.dispose]();
    },
  };
}

async function shipInBackground(shipping: Shipping, uploads: Uploads): Promise<void> {
  const { settings, status, bell, stop } = shipping;
  const { clock, logger, store } = settings;
  const retry = createRetry(settings);
  while (!stop.aborted) {
    try {
      const progressed = await uploads.step();
      if (progressed) {
        if (retry.logged !== undefined) logger.info('shipping again', { store: store.description });
        retry.reset();
        status.lastError = undefined;
        continue;
      }
      await bell.wait(stop, settings.lookIntervalMs);
    } catch (error) {
      if (stop.aborted) return;
      status.lastError = messageOf(error);
      if (!isDamage(error)) status.connected = false;
      const { kind, waitMs } = retry.failed(error);
      // By kind: messages of the same trouble differ from try to try.
      if (kind !== retry.logged) logFailure(settings, error, status);
      retry.logged = kind;
      await clock.sleep(waitMs, stop).catch(() => undefined); // aborted: the loop ends
    }
  }
}

const isDamage = (error: unknown): boolean => error instanceof FirnError && error.code === 'corrupt';

function createRetry(settings: Settings) {
  let failures = 0;
  const retry = {
    /** The kind of failure that was logged and still lasts. */
    logged: undefined as string | undefined,
    reset: (): void => {
      failures = 0;
      retry.logged = undefined;
    },
    /** What kind of failure this is, and how long to wait. */
    failed: (error: unknown): { kind: string; waitMs: number } => {
      failures++;
      const { retryMinMs, retryMaxMs, unreachedRetryMaxMs, refusedRetryMs, random } = settings;
      const kind = error instanceof FirnError ? error.code : 'unknown';
      if (kind === 'denied' || kind === 'invalid') return { kind, waitMs: refusedRetryMs };
      const unreached = error instanceof FirnError && error.answered === false;
      const limits = {
        retryMinMs,
        retryMaxMs: unreached ? Math.min(unreachedRetryMaxMs, retryMaxMs) : retryMaxMs,
      };
      const asked = error instanceof FirnError ? (error.retryAfterMs ?? 0) : 0;
      return { kind, waitMs: Math.max(asked, backoffMs(failures, limits, random())) };
    },
  };
  return retry;
}

function logFailure({ logger, store }: Settings, error: unknown, { backlog }: ShipperStatus): void {
  const fields = {
    store: store.description,
    error: messageOf(error),
    hint: error instanceof FirnError ? error.hint : undefined,
    backlogSegments: backlog.segments,
  };
  if (error instanceof FirnError && error.code === 'unavailable')
    logger.warn('the object store is away; shipping is tried again', fields);
  else logger.error('could not ship; trying again', fields);
}
