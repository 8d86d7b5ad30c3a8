import type { MessagePort } from 'node:worker_threads';
import { createWorkerPool } from '../../base/worker-pool.ts';
import { throwIfStopped } from '../../logql/budget.ts';
import type { LogqlEvaluator, LogqlTask, QueryResult } from '../../logql/query.ts';
import { type LineBatch, type LogSource, newStats } from '../../logql/source.ts';
import type { LogView, LogViews } from '../log-view.ts';
import {
  type Answer,
  type Ask,
  type FromThread,
  type LogWorkerData,
  type OpenView,
  type Read,
  receivedError,
  type SentBatch,
  type StartQuery,
  sentError,
  type ToThread,
  type ViewAnswer,
} from './messages.ts';

/** Threads that answer LogQL. */
export interface LogPool extends AsyncDisposable {
  /** Answers from these views; what an owner asks goes where its files are known. */
  evaluatorOf(views: LogViews, owner: string): LogqlEvaluator;
}

export interface LogPoolOptions {
  readonly threads: number;
  /** Memory for unpacked pages and what else is remembered of files, of all threads. */
  readonly cacheBytesMax: number;
}

export function createLogPool({ threads, cacheBytesMax }: LogPoolOptions): LogPool {
  const pool = createWorkerPool({
    module: new URL('./log-worker.ts', import.meta.url),
    workerData: { bytesMax: Math.floor(cacheBytesMax / threads) } satisfies LogWorkerData,
    threads,
  });
  return {
    evaluatorOf: (views, owner) => ({
      evaluate: async (task, limits, signal): Promise<QueryResult> => {
        throwIfStopped(signal, limits);
        await using helper = openHelper(views, signal);
        // Whoever has gone meanwhile gets that answer, and not what became of the view.
        const first = await helper.first(task).finally(() => throwIfStopped(signal, limits));
        using job = pool.start(owner, { task, limits, first } satisfies StartQuery);
        const { port } = job;
        const ended = Promise.withResolvers<QueryResult>();
        port.on('message', (message: FromThread) => {
          if (message.kind === 'answered') ended.resolve(message.result);
          else if (message.kind === 'failed') ended.reject(receivedError(message.error));
          else void reply(port, message.id, helper.answer(message.ask));
        });
        const onAbort = (): void => {
          port.postMessage({ kind: 'cancel' } satisfies ToThread);
          try {
            throwIfStopped(signal, limits);
          } catch (error) {
            ended.reject(error);
          }
        };
        signal.addEventListener('abort', onAbort, { once: true });
        try {
          return await Promise.race([ended.promise, job.failure]);
        } finally {
          signal.removeEventListener('abort', onAbort);
        }
      },
    }),
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}

async function reply(port: MessagePort, id: number, asked: Promise<Answer>): Promise<void> {
  const answer = await asked.catch((error: unknown) => ({
    kind: 'failed' as const,
    error: sentError(error),
  }));
  port.postMessage({ kind: 'reply', id, answer } satisfies ToThread);
}

/** Does for one query what its thread cannot: views and DuckDB are here. */
interface Helper extends AsyncDisposable {
  answer(ask: Ask): Promise<Answer>;
  /** The view of a query for lines. */
  first(task: LogqlTask): Promise<StartQuery['first']>;
}

function openHelper(views: LogViews, signal: AbortSignal): Helper {
  const opened = new Map<number, LogView>();
  const rests = new Map<number, LogSource>();
  const iterations = new Map<number, { next(): Promise<Answer>; close(): Promise<void> }>();
  let last = 0;
  const restHandle = (rest: LogSource | undefined): number | undefined => {
    if (rest === undefined) return undefined;
    rests.set(++last, rest);
    return last;
  };
  const openView = async ({ fromNs, toNs }: OpenView): Promise<ViewAnswer> => {
    const view = await views.open(fromNs, toNs, signal);
    const number = ++last;
    opened.set(number, view);
    const rest = restHandle(await view.rest([]));
    const { files, filesConsidered, filesPruned } = view;
    return { kind: 'view', view: number, files, rest, filesConsidered, filesPruned };
  };
  return {
    first: async (task) => {
      if (task.kind !== 'log' || task.log.toNs <= task.log.fromNs) return undefined;
      const ask: OpenView = { kind: 'open', fromNs: task.log.fromNs, toNs: task.log.toNs };
      return { ask, answer: await openView(ask) };
    },
    answer: async (ask) => {
      switch (ask.kind) {
        case 'open':
          return openView(ask);
        case 'close':
          await opened.get(ask.view)?.[Symbol.asyncDispose]();
          opened.delete(ask.view);
          return { kind: 'done' };
        case 'rest': {
          const handle = restHandle(await known(opened, ask.view).rest(ask.paths));
          return handle === undefined ? { kind: 'done' } : { kind: 'handle', handle };
        }
        case 'lines': {
          const stats = newStats();
          const lines = known(rests, ask.rest).lines({ ...ask.request, stats }, signal);
          iterations.set(++last, iterationOf(lines, stats));
          return { kind: 'handle', handle: last };
        }
        case 'next':
          return known(iterations, ask.lines).next();
        case 'counts': {
          const stats = newStats();
          const rows = await known(rests, ask.rest).counts({ ...ask.request, stats }, signal);
          return { kind: 'rows', rows, read: stats };
        }
      }
    },
    [Symbol.asyncDispose]: async () => {
      for (const iteration of iterations.values()) await iteration.close();
      for (const view of opened.values()) await view[Symbol.asyncDispose]();
    },
  };
}

function known<T>(map: ReadonlyMap<number, T>, handle: number): T {
  const found = map.get(handle);
  if (found === undefined) throw new Error(`a thread asks for ${handle}, which there is not`);
  return found;
}

function iterationOf(lines: AsyncIterable<LineBatch>, stats: Read) {
  const iterator = lines[Symbol.asyncIterator]();
  const streams = new Map<ReadonlyMap<string, string>, number>();
  return {
    next: async (): Promise<Answer> => {
      const { value, done } = await iterator.next();
      const batch = done ? undefined : sentBatch(value, streams);
      return { kind: 'batch', batch, read: { lines: stats.lines, bytes: stats.bytes } };
    },
    close: async () => {
      await iterator.return?.();
    },
  };
}

function sentBatch(batch: LineBatch, sent: Map<ReadonlyMap<string, string>, number>): SentBatch {
  const { rows, timestampNs, lines, metadata } = batch;
  const streams: ReadonlyMap<string, string>[] = [];
  const streamOf = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) {
    const { labels } = batch.stream(row);
    let number = sent.get(labels);
    if (number === undefined) {
      number = sent.size;
      sent.set(labels, number);
      streams.push(labels);
    }
    streamOf[row] = number;
  }
  return { rows, timestampNs, lines, metadata, streams, streamOf };
}
