import { crashAt, type ReachFaultPoint } from '../../lake/base/fault-points.ts';
import { openDatabase, type WalDatabase } from './database.ts';
import { errorDetail } from './error-detail.ts';
import type { AppendRequest, WalReply, WalRequest, WorkerOptions } from './wal-messages.ts';

/** The side that owns wal.db: answers requests in their order. In a worker thread, or beside its caller in a simulation. */
export interface WalServer {
  handle(request: WalRequest): void;
  /** Commits what has been collected. */
  commitGroup(): void;
}

/**
 * Opens the database and says so, or why not (then it is undefined). Appends are collected into groups: one group, one
 * transaction, one fsync. A group is committed commitIntervalMs after its first append, or at once when it is large or
 * when a command follows it (so commands see everything that was appended before them).
 */
export function openWalServer(
  options: WorkerOptions,
  reply: (message: WalReply, transfer?: readonly ArrayBuffer[]) => void,
  reach: ReachFaultPoint = crashAt(options.crashAt),
): WalServer | undefined {
  let database: WalDatabase;
  try {
    database = openDatabase(options, reach);
  } catch (error) {
    reply({ kind: 'refused', error: errorDetail('open WAL', options.path, error) });
    return undefined;
  }
  let group: AppendRequest[] = [];
  let groupBytes = 0;
  let groupRows = 0;
  let timer: NodeJS.Timeout | undefined;

  const attempt = createAttempt(database, options.path, reply);
  const commitGroup = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (group.length === 0) return;
    const appends = group;
    group = [];
    groupBytes = 0;
    groupRows = 0;
    const messages = appends.flatMap((request) => [request, ...(request.also ?? [])]);
    attempt(
      'append to WAL',
      appends.map(({ id }) => id),
      () => void database.append(messages),
      messages.map(({ payload }) => payload.buffer),
    );
  };
  /** Answered when it is done: the caller ends the thread then. */
  const close = (id: number): void => {
    try {
      const state = database.state();
      database.close();
      reply({ kind: 'done', ids: [id], state });
    } catch (error) {
      // A damaged database can't be closed in order; the thread ends all the same.
      reply({ kind: 'failed', ids: [id], error: errorDetail('close', options.path, error) });
    }
  };
  const collect = (request: AppendRequest): void => {
    group.push(request);
    for (const { payload, rows } of [request, ...(request.also ?? [])]) {
      groupBytes += payload.byteLength;
      groupRows += rows;
    }
    if (groupBytes >= options.commitBytesMax || groupRows >= options.commitRowsMax) commitGroup();
    else if (options.commitIntervalMs > 0) timer ??= setTimeout(commitGroup, options.commitIntervalMs);
  };
  reply({ kind: 'opened', state: database.state(), start: database.start });
  return {
    commitGroup,
    handle: (request) => {
      if (request.kind === 'append') {
        collect(request);
        return;
      }
      commitGroup();
      if (request.kind === 'close') close(request.id);
      else attempt(request.kind, [request.id], () => database.run(request));
    },
  };
}

type Attempt = (
  operation: string,
  ids: readonly number[],
  work: () => number | undefined,
  /** Given back when it is done. */
  spare?: readonly ArrayBuffer[],
) => void;

/** Does what was asked for and says so, or why not. */
function createAttempt(
  database: WalDatabase,
  path: string,
  reply: (message: WalReply, transfer?: readonly ArrayBuffer[]) => void,
): Attempt {
  return (operation, ids, work, spare = []) => {
    try {
      const value = work();
      const given = { ...(value !== undefined && { value }), ...(spare.length > 0 && { spare }) };
      reply({ kind: 'done', ids, state: database.state(), ...given }, spare);
    } catch (error) {
      reply({ kind: 'failed', ids, error: errorDetail(operation, path, error) });
    }
  };
}
