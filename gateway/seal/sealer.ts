import type { Clock } from '../../lake/base/clock.ts';
import { hasCode, messageOf } from '../../lake/base/errors.ts';
import { crashAt, type ReachFaultPoint } from '../../lake/base/fault-points.ts';
import type { Logger } from '../../lake/base/log.ts';
import { type Bell, backoffMs, createBell } from '../../lake/base/retry.ts';
import type { GatewayId, SiteId, TenantId } from '../../lake/model/ids.ts';
import type { MergeRequest } from '../../lake/parquet/merge-request.ts';
import { type SegmentFile, writerDefaults } from '../../lake/parquet/segment-writer.ts';
import { gapsBatch } from '../../lake/receive/gaps-builder.ts';
import { isDatabaseDamage } from '../wal/error-detail.ts';
import { openWalReader, type WalReader } from '../wal/reader.ts';
import type { SealRecord, Wal } from '../wal/wal.ts';
import type { SealWorkerOptions, segmentWriters } from './seal-messages.ts';
import type { SealOutcome } from './seal-range.ts';
import { createSealThread, type SealThread } from './seal-thread.ts';
import { gapsOfSkipped } from './skipped-gaps.ts';

export interface SealerOptions {
  readonly wal: Wal;
  /** Absolute; segments go below it. */
  readonly dataDir: string;
  readonly tenant: TenantId;
  readonly site: SiteId;
  readonly gateway: GatewayId;
  readonly writer: (typeof segmentWriters)[number];
  readonly clock: Clock;
  /** Untrusted rows that were received after this, by the monotonic clock, wait for the true time; none when absent. */
  readonly holdSinceMonoUs?: () => number;
  readonly logger: Logger;
  /** From 0 up to 1, for the jitter of retries. */
  readonly random?: () => number;
  /** The oldest row that is not sealed waits about this long. */
  readonly sealIntervalMs?: number;
  /** How often the size of the tail is looked at while it is younger than that. */
  readonly sealCheckMs?: number;
  /** One seal takes at most so many rows and bytes of WAL, so that its memory is bounded; it is due when they are there. */
  readonly sealRowsMax?: number;
  readonly sealBytesMax?: number;
  readonly writerMemoryBytesMax?: number;
  /** Wait after a seal that failed. */
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
  /** Told when the log's database turns out to be damaged. */
  readonly onDamage?: (error: unknown) => void;
  /** For tests: see lake/base/fault-points.ts. */
  readonly crashAt?: string;
  /** Called after each commit of a seal. */
  readonly reach?: ReachFaultPoint;
  /** Where segments are written; a worker thread when absent. */
  readonly openThread?: (options: SealWorkerOptions) => SealThread;
}

export const sealerDefaults = {
  crashAt: '',
  sealIntervalMs: 2000,
  sealCheckMs: 250,
  sealRowsMax: 125_000,
  sealBytesMax: 16 * 1024 * 1024,
  writerMemoryBytesMax: writerDefaults.writerMemoryBytesMax,
  retryMinMs: 1000,
  retryMaxMs: 60_000,
} as const;

export interface Sealer extends AsyncDisposable {
  /** Seals all that was appended before the call, whatever its age and size. Rejects when it can't. */
  sealNow(): Promise<void>;
  /** Writes one segment that holds the rows of several, where segments are written; see merge-in-memory.ts. */
  merge(request: MergeRequest): Promise<SegmentFile>;
  /** Called after each commit of a seal. Returns the function that unsubscribes. */
  onSealed(listener: (sealed: Sealed) => void): () => void;
  readonly status: SealerStatus;
}

interface Sealed {
  readonly toSeq: number;
  readonly rows: number;
  readonly bytes: number;
}

/** Counted since the start. */
interface SealerStatus {
  readonly seals: number;
  readonly rows: number;
  readonly skippedBatches: number;
  readonly skippedRows: number;
  /** Undefined while all is well. */
  readonly lastError: string | undefined;
}

type Settings = Required<SealerOptions>;

/** Seals in the background until it is disposed. What a crash left behind is gone already (wal/recovery). */
export async function startSealer(options: SealerOptions): Promise<Sealer> {
  const settings: Settings = {
    ...sealerDefaults,
    random: Math.random,
    holdSinceMonoUs: () => Number.POSITIVE_INFINITY,
    reach: crashAt(options.crashAt ?? ''),
    openThread: createSealThread,
    onDamage: () => undefined,
    ...options,
  };
  const { wal, logger, clock } = settings;
  const status: Writable<SealerStatus> = {
    ...{ seals: 0, rows: 0, skippedBatches: 0, skippedRows: 0 },
    lastError: undefined,
  };
  const listeners = new Set<(sealed: Sealed) => void>();
  const thread = openThread(settings);
  const turns = createTurns(settings, thread, (seal, outcome) => {
    count(status, outcome, logger);
    const bytes = seal.segments.reduce((sum, segment) => sum + segment.bytes, 0);
    for (const listener of listeners) listener({ toSeq: seal.toSeq, rows: outcome.rows, bytes });
  });
  const reader = openWalReader(wal.path);
  const bell = createBell(clock);
  const stop = new AbortController();
  const unsubscribe = wal.onCommit(() => bell.ring());
  const loop = sealInBackground(settings, turns, reader, bell, status, stop.signal);
  return {
    status,
    sealNow: async () => {
      const upto = await wal.flush();
      while (reader.sealedSeq() < upto) {
        const { seal } = await turns.take(false);
        if (seal === undefined) return;
      }
    },
    merge: thread.merge,
    onSealed: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    [Symbol.asyncDispose]: async () => {
      unsubscribe();
      stop.abort();
      await loop;
      await turns[Symbol.asyncDispose]();
      await thread[Symbol.asyncDispose]();
      reader[Symbol.dispose]();
    },
  };
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Seals that follow one another, whoever asks for them. */
interface Turns extends AsyncDisposable {
  /** Seals the oldest part of the tail, and commits it. */
  take(onlyWhenFull: boolean): Promise<SealOutcome>;
}

function openThread(settings: Settings): SealThread {
  const { wal, dataDir, tenant, site, gateway, writer, crashAt: crash, sealRowsMax } = settings;
  return settings.openThread({
    walPath: wal.path,
    dataDir,
    writer,
    crashAt: crash,
    identity: { tenant, site, gateway },
    writerMemoryBytesMax: settings.writerMemoryBytesMax,
    writerRowsMax: Math.max(sealRowsMax, writerDefaults.writerRowsMax),
  });
}

function createTurns(
  settings: Settings,
  thread: SealThread,
  committed: (seal: SealRecord, outcome: SealOutcome) => void,
): Turns {
  const { wal, gateway, clock, sealRowsMax, sealBytesMax, holdSinceMonoUs, reach } = settings;
  /** A seal that does not fit in the writer's memory is tried again with half as much. */
  let share = 1;
  let last: Promise<unknown> = Promise.resolve();
  const seal = async (onlyWhenFull: boolean): Promise<SealOutcome> => {
    const outcome = await thread.seal({
      epoch: wal.epoch,
      holdUntrustedSinceMonoUs: holdSinceMonoUs(),
      sealRowsMax: Math.max(1, Math.floor(sealRowsMax * share)),
      sealBytesMax: Math.max(1, Math.floor(sealBytesMax * share)),
      onlyWhenFull,
      nowUs: Math.round(clock.nowMs() * 1000),
    });
    if (outcome.seal === undefined) return outcome;
    const gaps = gapsOfSkipped(outcome.skipped);
    await wal.commitSeal(outcome.seal, gaps.length === 0 ? [] : [gapsBatch(gaps, gateway)]);
    reach('seal.committed');
    share = 1;
    committed(outcome.seal, outcome);
    return outcome;
  };
  return {
    take: (onlyWhenFull) => {
      const turn = last.then(() => seal(onlyWhenFull));
      last = turn.catch((error) => {
        if (hasCode(error, 'limit')) share /= 2;
      });
      return turn;
    },
    [Symbol.asyncDispose]: async () => void (await last),
  };
}

function count(status: Writable<SealerStatus>, { rows, skipped }: SealOutcome, logger: Logger): void {
  const lostRows = skipped.reduce((sum, batch) => sum + batch.rows, 0);
  status.seals++;
  status.rows += rows - lostRows;
  status.skippedBatches += skipped.length;
  status.skippedRows += lostRows;
  const [first] = skipped;
  if (first === undefined) return;
  const lost = { batches: skipped.length, rows: lostRows, first: first.seq, reason: first.reason };
  logger.error('damaged batches could not be sealed and are lost', lost);
}

async function sealInBackground(
  settings: Settings,
  turns: Turns,
  reader: WalReader,
  bell: Bell,
  status: Writable<SealerStatus>,
  stop: AbortSignal,
): Promise<void> {
  const { clock, logger, random } = settings;
  for (let failures = 0; !stop.aborted; ) {
    try {
      if (reader.lastSeq() <= reader.sealedSeq()) await bell.wait(stop);
      await sealWhenDue(settings, turns, stop);
      if (failures > 0) logger.info('sealing again');
      failures = 0;
      status.lastError = undefined;
    } catch (error) {
      failures++;
      const message = messageOf(error);
      if (message !== status.lastError) logger.error('could not seal; trying again', { error: message });
      status.lastError = message;
      const damaged = hasCode(error, 'corrupt') && error.subject === settings.wal.path;
      if (damaged || isDatabaseDamage(error)) settings.onDamage(error);
      await clock.sleep(backoffMs(failures, settings, random()), stop).catch(() => undefined);
    }
  }
}

/** Waits until the tail is old or large enough, and seals what is there. */
async function sealWhenDue(settings: Settings, turns: Turns, stop: AbortSignal): Promise<void> {
  const { clock, sealIntervalMs, sealCheckMs } = settings;
  const since = clock.monotonicMs();
  for (let more = false; !more && !stop.aborted; ) {
    const leftMs = sealIntervalMs - (clock.monotonicMs() - since);
    if (leftMs <= 0) break;
    more = (await turns.take(true)).more;
    if (!more) await clock.sleep(Math.min(leftMs, sealCheckMs), stop).catch(() => undefined);
  }
  for (let more = true; more && !stop.aborted; ) more = (await turns.take(false)).more;
}
