import type { Worker } from 'node:worker_threads';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { AppendMessage, WalCommand, WalReply, WalRequest } from './wal-messages.ts';

/** The caller's side of the worker thread: pairs requests with replies. */
export interface Writer {
  /** Resolves with the newest seq when the request is done. `bytes` count as queued until then. */
  request(message: AppendMessage | WalCommand, bytes: number, transfer?: ArrayBuffer[]): Promise<number>;
  queuedBytes(): number;
  /** Waits for everything that was requested, then ends the thread. */
  close(): Promise<void>;
}

interface Waiting {
  readonly bytes: number;
  resolve(lastSeq: number): void;
  reject(error: FirnError): void;
}

/** `worker` has its database open. When it dies unasked, every request is rejected with `unavailable` from then on. */
export function createWriter(
  worker: Worker,
  path: string,
  events: { onCommit(seq: number): void; onFailure(error: FirnError): void },
): Writer {
  const waiting = new Map<number, Waiting>();
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
    events.onCommit(newestSeq);
  });
  const died = (why: string): void => {
    if (closed !== undefined) return;
    closed = unavailable(path, why);
    settle([...waiting.keys()], closed);
    events.onFailure(closed);
  };
  worker.on('error', (error) => died(messageOf(error)));
  worker.on('exit', (code) => died(`its writer ended with code ${code}`));

  const request: Writer['request'] = (message, bytes, transfer = []) =>
    new Promise((resolve, reject) => {
      if (closed !== undefined) return reject(closed);
      const id = nextId++;
      worker.postMessage({ ...message, id } satisfies WalRequest, transfer);
      waiting.set(id, { bytes, resolve, reject });
      queuedBytes += bytes;
    });

  return {
    request,
    queuedBytes: () => queuedBytes,
    close: async () => {
      if (closed !== undefined) return;
      const done = request({ kind: 'close' }, 0);
      closed = unavailable(path, 'it is closed');
      await done;
      await worker.terminate();
    },
  };
}

export function unavailable(path: string, why: string, cause?: unknown): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'write WAL',
    subject: path,
    message: `the write-ahead log ${path} is not available: ${why}`,
    cause,
  });
}
