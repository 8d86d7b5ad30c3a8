import { Worker } from 'node:worker_threads';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { encodeBatch } from './batch-codec.ts';
import type { Wal } from './wal.ts';
import type { AppendMessage, WalCommand, WalReply, WorkerOptions } from './wal-messages.ts';
import { createWriter, unavailable } from './writer.ts';

export interface WalOptions {
  /** Path of wal.db; its folder exists. */
  readonly path: string;
  readonly clock: Clock;
  /** Longest wait for more appends before a commit; 0 commits at once whatever is queued. Each commit is an fsync. */
  readonly commitIntervalMs?: number;
  /** A commit is not held back any longer once it has so many payload bytes or rows. */
  readonly commitBytesMax?: number;
  readonly commitRowsMax?: number;
  /** Bytes waiting for the disk; beyond it appends are rejected with `limit`. */
  readonly walQueueBytesMax?: number;
  /** Size of wal.db; beyond it appends are rejected with `unavailable`, as on a full disk. 0: no limit. */
  readonly databaseBytesMax?: number;
  /** Called once when the writer dies unasked; every call is rejected with `unavailable` from then on. */
  readonly onFailure?: (error: FirnError) => void;
}

const walDefaults = {
  commitIntervalMs: 2,
  commitBytesMax: 4 * 1024 * 1024,
  commitRowsMax: 250_000,
  walQueueBytesMax: 64 * 1024 * 1024,
  databaseBytesMax: 0,
} as const;

/**
 * Opens or creates the log. The database lives in a worker thread of its own, so that an fsync on a slow card never
 * stalls the caller. Throws FirnError `unavailable` (not writable), `corrupt` or `unsupported` (a newer format).
 */
export async function openWal(options: WalOptions): Promise<Wal> {
  const { path, clock, onFailure, ...limits } = { ...walDefaults, ...options };
  const workerData: WorkerOptions = { path, newEpoch: Math.floor(clock.nowMs() / 1000), ...limits };
  const worker = new Worker(new URL('./wal-worker.ts', import.meta.url), { workerData });
  const epoch = await opened(worker, path);
  const listeners = new Set<(seq: number) => void>();
  const writer = createWriter(worker, path, {
    onCommit: (seq) => {
      for (const listener of listeners) listener(seq);
    },
    onFailure: (error) => onFailure?.(error),
  });
  const command = async (message: WalCommand): Promise<void> => void (await writer.request(message, 0));

  const append = async (batch: Batch): Promise<void> => {
    const { signal, rows, series } = batch;
    const metadata = batch.signal === 'metrics' ? batch.metadata : [];
    const payload = ownBytes(encodeBatch(batch));
    const bytes = payload.byteLength + textBytes(series.map(({ labels }) => labels));
    if (writer.queuedBytes() + bytes > limits.walQueueBytesMax) throw queueFull(limits.walQueueBytesMax);
    const receivedUs = Math.round(clock.nowMs() * 1000);
    const message: AppendMessage = { kind: 'append', signal, rows, receivedUs, payload, series, metadata };
    await writer.request(message, bytes, [payload.buffer]);
  };

  return {
    epoch,
    path,
    append,
    flush: () => writer.request({ kind: 'flush' }, 0),
    onCommit: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    commitSeal: (seal) => command({ kind: 'commitSeal', seal }),
    markShipped: (number, shippedUs) => command({ kind: 'markShipped', number, shippedUs }),
    replaceSegments: (removed, added) => command({ kind: 'replaceSegments', removed, added }),
    removeSegments: (paths) => command({ kind: 'removeSegments', paths }),
    [Symbol.asyncDispose]: () => writer.close(),
  };
}

/** Waits until the database is open and returns its epoch. */
function opened(worker: Worker, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(unavailable(path, messageOf(error), error));
    worker.once('error', failed);
    worker.once('message', (reply: WalReply) => {
      worker.off('error', failed);
      if (reply.kind === 'opened') return resolve(reply.epoch);
      reject(
        reply.kind === 'refused' ? new FirnError(reply.error) : unavailable(path, 'its writer is confused'),
      );
    });
  });
}

/** The bytes in a buffer of their own: small ones stand in Node's shared pool, which must not be transferred. */
function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(bytes);
}

const textBytes = (texts: readonly string[]): number =>
  texts.reduce((sum, text) => sum + text.length * 2 + 32, 0);

function queueFull(limit: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'append to WAL',
    subject: 'walQueueBytesMax',
    message: `${limit} bytes already wait for the disk`,
    hint: 'send again later; if it stays so, the disk is too slow for this load',
  });
}
