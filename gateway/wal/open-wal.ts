import { Worker } from 'node:worker_threads';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { encodeBatch } from './batch-codec.ts';
import { createSpareBuffers } from './spare-buffers.ts';
import type { Wal } from './wal.ts';
import type {
  AppendMessage,
  WalCommand,
  WalReply,
  WalStart,
  WalState,
  WorkerOptions,
} from './wal-messages.ts';
import { createWriter, unavailable, type WalPort } from './writer.ts';

export interface WalOptions extends Partial<Omit<WorkerOptions, 'path'>> {
  /** Path of wal.db; its folder exists. */
  readonly path: string;
  readonly clock: Clock;
  /** Microseconds since the machine's boot; never jumps. */
  readonly monotonicUs?: () => number;
  /** Bytes waiting for the disk; beyond it appends are rejected with `limit`. */
  readonly walQueueBytesMax?: number;
  /** Called once when the writer dies unasked; every call is rejected with `unavailable` from then on. */
  readonly onFailure?: (error: FirnError) => void;
  /** Called each time the database turns out to be damaged: see `Wal.condemn`. */
  readonly onDamage?: (error: FirnError) => void;
  /** Where the database lives; a worker thread when absent. */
  readonly startPort?: (options: WorkerOptions) => WalPort;
}

const walDefaults = {
  boot: { bootId: 'unknown', clock: 'trusted' },
  alarmSelectors: [],
  /** Longest wait for more appends before a commit; 0 commits at once whatever is queued. Each commit is an fsync. */
  commitIntervalMs: 2,
  /** A commit is not held back any longer once it has so many payload bytes or rows. */
  commitBytesMax: 4 * 1024 * 1024,
  commitRowsMax: 250_000,
  walQueueBytesMax: 64 * 1024 * 1024,
  /** Size of wal.db; beyond it appends are rejected with `unavailable`, as on a full disk. 0: no limit. */
  databaseBytesMax: 0,
  crashAt: '',
} as const;

const systemMonotonicUs = (): number => Number(process.hrtime.bigint() / 1000n);

const startWorker = (options: WorkerOptions): WalPort =>
  new Worker(new URL('./wal-worker.ts', import.meta.url), { workerData: options });

/**
 * Opens or creates the log. The database lives in a worker thread of its own, so that an fsync on a slow card never
 * stalls the caller. Throws FirnError `unavailable` (not writable), `corrupt` or `unsupported` (a newer format).
 */
export async function openWal(options: WalOptions): Promise<Wal> {
  const { path, clock, onFailure, onDamage, walQueueBytesMax, ...rest } = { ...walDefaults, ...options };
  const { monotonicUs = systemMonotonicUs, startPort = startWorker, ...given } = rest;
  const newEpoch = given.newEpoch ?? Math.max(1, Math.floor(clock.nowMs() / 1000));
  const nowUs = Math.ceil(clock.nowMs() * 1000);
  const port = startPort({ nowUs, ...given, path, newEpoch });
  const { state, start } = await opened(port, path);
  const listeners = new Set<(seq: number) => void>();
  const buffers = createSpareBuffers();
  const writer = createWriter(port, path, state, {
    onSpare: buffers.give,
    onCommit: (seq) => {
      for (const listener of listeners) listener(seq);
    },
    onFailure: (error) => onFailure?.(error),
    onDamage: (error) => onDamage?.(error),
  });
  const command = async (message: WalCommand): Promise<void> => void (await writer.request(message, 0));
  const messageOfBatch = (batch: Batch): AppendMessage => {
    const { signal, rows } = batch;
    const series = 'series' in batch ? batch.series : [];
    const metadata = batch.signal === 'metrics' ? batch.metadata : [];
    const receivedUs = Math.round(clock.nowMs() * 1000);
    const payload = encodeBatch(batch, buffers.take);
    const message = { kind: 'append', signal, rows, receivedUs, monoUs: monotonicUs(), payload } as const;
    if (batch.signal !== 'gaps') return { ...message, series, metadata };
    const sinceUs = Number(batch.fromUs.reduce((oldest, us) => (us < oldest ? us : oldest)));
    return { ...message, series, metadata, sinceUs };
  };

  const append = async (...batches: readonly Batch[]): Promise<void> => {
    const [message, ...also] = batches.map(messageOfBatch);
    if (message === undefined) return;
    const bytes = [message, ...also].reduce((sum, each) => sum + bytesOf(each), 0);
    if (writer.queuedBytes() + bytes > walQueueBytesMax) throw queueFull(walQueueBytesMax);
    const payloads = [message, ...also].map(({ payload }) => payload.buffer);
    await writer.request(also.length === 0 ? message : { ...message, also }, bytes, payloads);
  };

  return {
    get epoch() {
      return writer.epoch;
    },
    path,
    append,
    flush: async () => (await writer.request({ kind: 'flush' }, 0)).lastSeq,
    onCommit: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    setClock: (quality, offsetUs) => command({ kind: 'setClock', clock: quality, offsetUs }),
    commitSeal: (seal, gaps = []) => command({ kind: 'commitSeal', seal, gaps: gaps.map(messageOfBatch) }),
    replaceSegments: (removed, added, gaps = []) =>
      command({ kind: 'replaceSegments', removed, added, gaps: gaps.map(messageOfBatch) }),
    removeSegments: (paths, gaps = []) =>
      command({ kind: 'removeSegments', paths, gaps: gaps.map(messageOfBatch) }),
    saveUpload: (segmentPath, uploadState) =>
      command({ kind: 'saveUpload', path: segmentPath, state: uploadState }),
    markUploaded: (paths) => command({ kind: 'markUploaded', paths }),
    compose: async (plan) => (await writer.request({ kind: 'compose', plan }, 0)).value ?? 0,
    amendShipment: (number, without, gaps) =>
      command({ kind: 'amendShipment', number, without, gaps: gaps.map(messageOfBatch) }),
    markShipped: (number, shippedUs, spent) => command({ kind: 'markShipped', number, shippedUs, spent }),
    applyReceipt: (receipt, gaps = []) =>
      command({ kind: 'applyReceipt', receipt, gaps: gaps.map(messageOfBatch) }),
    beginEpoch: (epoch) => command({ kind: 'beginEpoch', epoch }),
    start,
    restore: async ({ gaps = [], ...part }) => {
      const payloads = (part.batches ?? []).map(({ payload }) => payload.buffer as ArrayBuffer);
      await writer.request({ kind: 'restore', part, gaps: gaps.map(messageOfBatch) }, 0, payloads);
    },
    condemn: () => command({ kind: 'condemn' }),
    [Symbol.asyncDispose]: () => writer.close(),
  };
}

/** Waits until the database is open and returns what it holds, and how it was found. */
function opened(port: WalPort, path: string): Promise<{ state: WalState; start: WalStart }> {
  return new Promise((resolve, reject) => {
    port.on('error', (error) => reject(unavailable(path, messageOf(error), error)));
    port.on('message', (reply: WalReply) => {
      if (reply.kind === 'opened') resolve(reply);
      else if (reply.kind === 'refused') reject(new FirnError(reply.error));
    });
  });
}

const bytesOf = ({ payload, series }: AppendMessage): number =>
  series.reduce((sum, { labels }) => sum + labels.length * 2 + 32, payload.byteLength);

function queueFull(limit: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'append to WAL',
    subject: 'walQueueBytesMax',
    message: `${limit} bytes already wait for the disk`,
    hint: 'send again later; if it stays so, the disk is too slow for this load',
  });
}
