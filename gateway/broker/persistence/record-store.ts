import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../../lake/base/clock.ts';
import { messageOf } from '../../../lake/base/errors.ts';
import type { Logger } from '../../../lake/base/log.ts';
import { isDamage, openRecordDatabase, putAside } from './record-database.ts';
import type { RecordReply, RecordRequest, RecordWorkerOptions, StoredRecord } from './record-messages.ts';

/**
 * The broker's side of broker.db. The broker has everything in memory; what it changes is noted here and committed in
 * groups: one group on its way, the next one collecting. A record that changes twice meanwhile is written once.
 *
 * When the disk refuses, changes are not collected without end: after a while everything is written anew from memory
 * (`snapshot`). Until that has worked, nobody waits for the disk, `failing` is true, and only memory keeps the changes.
 */
export interface RecordStore extends AsyncDisposable {
  /** Notes a record; `undefined` removes it. */
  set(key: string, record: Omit<StoredRecord, 'key'> | undefined): void;
  /** Resolves when everything noted so far is on the disk, or at once while `failing`. Never rejects. */
  durable(): Promise<void>;
  readonly failing: boolean;
}

export interface RecordStoreOptions extends RecordWorkerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Everything that should be on the disk. */
  readonly snapshot: () => StoredRecord[];
  /** How long changes that nobody waits for may stay in memory only: fewer fsyncs, for cards. */
  readonly lazyMs?: number;
  /** Default: a thread, started by the first request. */
  readonly startPort?: StartRecordPort;
}

/** The way to the owner of broker.db. */
interface RecordPort {
  request(message: RecordRequest): Promise<RecordReply>;
  close(): Promise<void>;
}

export type StartRecordPort = (options: RecordWorkerOptions) => RecordPort;

const lazyMsDefault = 1000;
const retryMs = 5000;

/** Reads what an earlier run left. A file that can't be used is put aside, so that the gateway starts in any case. */
export function loadRecords(options: RecordWorkerOptions, logger: Logger): StoredRecord[] {
  if (!existsSync(options.path)) return [];
  try {
    using database = openRecordDatabase(options.path);
    return database.all();
  } catch (error) {
    const { path } = options;
    const aside = isDamage(error) ? moveAside(options) : undefined;
    logger.error('the MQTT sessions and retained messages of earlier runs cannot be read', {
      ...{ path, error: messageOf(error) },
      ...(aside && { aside }),
    });
    return [];
  }
}

function moveAside(options: RecordWorkerOptions): string | undefined {
  try {
    return putAside(options);
  } catch {
    return undefined; // The store says so when it writes.
  }
}

export function createRecordStore(options: RecordStoreOptions): RecordStore {
  const { clock, logger, snapshot, lazyMs = lazyMsDefault, startPort = threadPort } = options;
  const port = startPort({ path: options.path, damagedFolder: options.damagedFolder });
  const closing = new AbortController();
  const changes = createChanges();
  let waiting: (() => void)[] = [];
  let busy: Promise<void> | undefined;
  let lazyTimer: NodeJS.Timeout | undefined;
  let failing = false;

  /** Writes until nothing is noted, and nobody waits. */
  const run = async (): Promise<void> => {
    while (changes.size() > 0 || waiting.length > 0) {
      const released = waiting;
      waiting = [];
      const reply = changes.size() > 0 ? await port.request(changes.take()) : ({ ok: true } as const);
      if (!reply.ok) await recover(reply, released);
      for (const release of released) release();
    }
  };
  const recover = async (reply: RecordReply & { ok: false }, released: (() => void)[]): Promise<void> => {
    const { path } = options;
    logger.error('MQTT sessions and retained messages cannot be written', { path, error: reply.error });
    let again: RecordReply = reply;
    for (let wait = !reply.damaged; !again.ok; wait = true) {
      if (wait) {
        failing = true;
        for (const release of [...released, ...waiting]) release();
        waiting = [];
        await clock.sleep(retryMs, closing.signal).catch(() => undefined);
      }
      if (closing.signal.aborted && wait) return;
      changes.forget();
      again = await port.request({ kind: 'rebuild', puts: snapshot() });
    }
    failing = false;
    logger.info('MQTT sessions and retained messages are written again', { path });
  };
  const flush = (): void => {
    clearTimeout(lazyTimer);
    lazyTimer = undefined;
    busy ??= run().finally(() => {
      busy = undefined;
    });
  };

  return {
    get failing() {
      return failing;
    },
    set: (key, record) => {
      changes.set(key, record);
      lazyTimer ??= setTimeout(flush, lazyMs);
    },
    durable: () => {
      if (failing || (changes.size() === 0 && busy === undefined)) return Promise.resolve();
      return new Promise((resolve) => {
        waiting.push(resolve);
        // Those who come in one turn share a commit.
        setImmediate(flush);
      });
    },
    [Symbol.asyncDispose]: async () => {
      closing.abort();
      await busy;
      flush();
      await busy;
      await port.close();
    },
  };
}

/** What has been noted and is not on its way. */
function createChanges() {
  const changes = new Map<string, Omit<StoredRecord, 'key'> | undefined>();
  return {
    size: (): number => changes.size,
    set: (key: string, record: Omit<StoredRecord, 'key'> | undefined): void => void changes.set(key, record),
    forget: (): void => changes.clear(),
    take: (): RecordRequest => {
      const puts: StoredRecord[] = [];
      const deletes: string[] = [];
      for (const [key, record] of changes)
        if (record === undefined) deletes.push(key);
        else puts.push({ key, ...record });
      changes.clear();
      return { kind: 'commit', puts, deletes };
    },
  };
}

/** A thread that is started by the first request: most gateways have nothing to keep. */
function threadPort(options: RecordWorkerOptions): RecordPort {
  let worker: Worker | undefined;
  const answers: ((reply: RecordReply) => void)[] = [];
  const died = (error: string): void => {
    worker = undefined;
    for (const answer of answers.splice(0)) answer({ ok: false, error, damaged: false });
  };
  const start = (): Worker => {
    const started = new Worker(new URL('./record-worker.ts', import.meta.url), { workerData: options });
    started.on('message', (reply: RecordReply) => answers.shift()?.(reply));
    started.on('error', (error) => died(messageOf(error)));
    started.on('exit', (code) => died(`its thread ended with code ${code}`));
    return started;
  };
  const request = (message: RecordRequest): Promise<RecordReply> =>
    new Promise((resolve) => {
      worker ??= start();
      answers.push(resolve);
      worker.postMessage(message);
    });
  return {
    request,
    close: async (): Promise<void> => {
      if (worker === undefined) return;
      await request({ kind: 'close' });
      await worker?.terminate();
    },
  };
}
