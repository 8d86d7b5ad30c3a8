import { Worker } from 'node:worker_threads';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { encodeBatch } from './batch-codec.ts';
import type { Wal } from './wal.ts';
import type { WalCommand, WalReply, WalRequest, WorkerOptions } from './wal-messages.ts';

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

export const walDefaults = {
  commitIntervalMs: 2,
  commitBytesMax: 4 * 1024 * 1024,
  commitRowsMax: 250_000,
  walQueueBytesMax: 64 * 1024 * 1024,
  databaseBytesMax: 0,
} as const;

interface Waiting {
  readonly bytes: number;
  resolve(lastSeq: number): void;
  reject(error: FirnError): void;
}

/**
 * Opens or creates the log. The database lives in a worker thread of its own, so that an fsync on a slow card never
 * stalls the caller. Throws FirnError `unavailable` (not writable), `corrupt` or `unsupported` (a newer format).
 */
export async function openWal(options: WalOptions): Promise<Wal> {
  const { path, clock, onFailure, ...limits } = { ...walDefaults, ...options };
  const workerData: WorkerOptions = { path, newEpoch: Math.floor(clock.nowMs() / 1000), ...limits };
  const worker = new Worker(new URL('./wal-worker.ts', import.meta.url), { workerData });
  const epoch = await opened(worker, path);

  const waiting = new Map<number, Waiting>();
  const listeners = new Set<(seq: number) => void>();
  let queuedBytes = 0;
  let nextId = 1;
  let newestSeq = 0;
  let closed: FirnError | undefined;

  const settle = (ids: readonly number[], outcome: number | FirnError): void => {
    for (const id of ids) {
      const request = waiting.get(id);
      waiting.delete(id);
      queuedBytes -= request?.bytes ?? 0;
      if (outcome instanceof FirnError) request?.reject(outcome);
      else request?.resolve(outcome);
    }
  };
  worker.on('message', (reply: WalReply) => {
    if (reply.kind === 'failed') settle(reply.ids, new FirnError(reply.error));
    if (reply.kind !== 'done') return;
    settle(reply.ids, reply.lastSeq);
    if (reply.lastSeq <= newestSeq) return;
    newestSeq = reply.lastSeq;
    for (const listener of listeners) listener(newestSeq);
  });
  const died = (why: string): void => {
    if (closed !== undefined) return;
    closed = unavailable(path, why);
    settle([...waiting.keys()], closed);
    onFailure?.(closed);
  };
  worker.on('error', (error) => died(messageOf(error)));
  worker.on('exit', (code) => died(`its writer ended with code ${code}`));

  const request = (message: WalRequest, bytes: number, transfer: ArrayBuffer[] = []): Promise<number> =>
    new Promise((resolve, reject) => {
      if (closed !== undefined) return reject(closed);
      waiting.set(message.id, { bytes, resolve, reject });
      queuedBytes += bytes;
      worker.postMessage(message, transfer);
    });
  const command = (message: WalCommand): Promise<number> => request({ ...message, id: nextId++ }, 0);

  const append = async (batch: Batch): Promise<void> => {
    const metadata = batch.signal === 'metrics' ? batch.metadata : [];
    const payload = ownBytes(encodeBatch(batch));
    const bytes = payload.byteLength + textBytes(batch.series.map(({ labels }) => labels));
    if (queuedBytes + bytes > limits.walQueueBytesMax) throw queueFull(limits.walQueueBytesMax);
    const receivedUs = Math.round(clock.nowMs() * 1000);
    const { signal, rows, series } = batch;
    await request(
      { kind: 'append', id: nextId++, signal, rows, receivedUs, payload, series, metadata },
      bytes,
      [payload.buffer],
    );
  };

  return {
    epoch,
    path,
    append,
    flush: () => command({ kind: 'flush' }),
    onCommit: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    commitSeal: async (seal) => void (await command({ kind: 'commitSeal', seal })),
    markShipped: async (number, shippedUs) =>
      void (await command({ kind: 'markShipped', number, shippedUs })),
    replaceSegments: async (removed, added) =>
      void (await command({ kind: 'replaceSegments', removed, added })),
    removeSegments: async (paths) => void (await command({ kind: 'removeSegments', paths })),
    [Symbol.asyncDispose]: async () => {
      if (closed !== undefined) return;
      const done = command({ kind: 'close' });
      closed = unavailable(path, 'it is closed');
      await done;
      await worker.terminate();
    },
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

function unavailable(path: string, why: string, cause?: unknown): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'write WAL',
    subject: path,
    message: `the write-ahead log ${path} is not available: ${why}`,
    cause,
  });
}
