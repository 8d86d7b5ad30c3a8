import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { AppendRequest, WalCommand, WalReply, WalRequest, WalState } from './wal-messages.ts';

/** What carries messages to the side that owns wal.db: a worker thread, or in-thread-port.ts. */
export interface WalPort {
  postMessage(request: WalRequest, transfer?: readonly ArrayBuffer[]): void;
  on(event: 'message', listener: (reply: WalReply) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
  terminate(): Promise<unknown>;
}

/** The caller's side of the port: pairs requests with replies. */
export interface Writer {
  /** Resolves when the request is done, with what it returns. `bytes` count as queued until then. */
  request(
    message: Omit<AppendRequest, 'id'> | WalCommand,
    bytes: number,
    transfer?: readonly ArrayBuffer[],
  ): Promise<Done>;
  queuedBytes(): number;
  readonly epoch: number;
  /** Waits for everything that was requested, then ends the thread. */
  close(): Promise<void>;
}

interface Done {
  readonly lastSeq: number;
  readonly value: number | undefined;
}

interface Waiting {
  readonly bytes: number;
  resolve(done: Done): void;
  reject(error: FirnError): void;
}

export interface WriterEvents {
  onCommit(seq: number): void;
  /** Buffers of payloads that are stored. */
  onSpare(buffers: readonly ArrayBuffer[]): void;
  onFailure(error: FirnError): void;
  onDamage(error: FirnError): void;
}

/** `port` has its database open. When it dies unasked, every request is rejected with `unavailable` from then on. */
export function createWriter(port: WalPort, path: string, opened: WalState, events: WriterEvents): Writer {
  const waiting = new Map<number, Waiting>();
  let queuedBytes = 0;
  let nextId = 1;
  let newestSeq = 0;
  let epoch = opened.epoch;
  let closed: FirnError | undefined;

  const settle = (ids: readonly number[], outcome: Done | FirnError): void => {
    for (const id of ids) {
      const request = waiting.get(id);
      waiting.delete(id);
      queuedBytes -= request?.bytes ?? 0;
      if (outcome instanceof FirnError) request?.reject(outcome);
      else request?.resolve(outcome);
    }
  };
  port.on('message', (reply) => {
    if (reply.kind === 'failed') {
      const error = new FirnError(reply.error);
      settle(reply.ids, error);
      if (error.code === 'corrupt') events.onDamage(error);
    }
    if (reply.kind !== 'done') return;
    const { lastSeq } = reply.state;
    epoch = reply.state.epoch;
    if (reply.spare !== undefined) events.onSpare(reply.spare);
    settle(reply.ids, { lastSeq, value: reply.value });
    if (lastSeq <= newestSeq) return;
    newestSeq = lastSeq;
    events.onCommit(newestSeq);
  });
  const died = (why: string): void => {
    if (closed !== undefined) return;
    closed = unavailable(path, why);
    settle([...waiting.keys()], closed);
    events.onFailure(closed);
  };
  port.on('error', (error) => died(messageOf(error)));
  port.on('exit', (code) => died(`its writer ended with code ${code}`));

  const request: Writer['request'] = (message, bytes, transfer = []) =>
    new Promise((resolve, reject) => {
      if (closed !== undefined) return reject(closed);
      const id = nextId++;
      waiting.set(id, { bytes, resolve, reject });
      queuedBytes += bytes;
      port.postMessage({ ...message, id } satisfies WalRequest, transfer);
    });

  return {
    request,
    queuedBytes: () => queuedBytes,
    get epoch() {
      return epoch;
    },
    close: async () => {
      if (closed !== undefined) return;
      const done = request({ kind: 'close' }, 0);
      closed = unavailable(path, 'it is closed');
      await done.catch(() => undefined);
      await port.terminate();
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
