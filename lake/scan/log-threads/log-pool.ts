import type { MessagePort } from 'node:worker_threads';
import { createWorkerPool, type WorkerPool } from '../../base/worker-pool.ts';
import { throwIfStopped } from '../../logql/budget.ts';
import type { LogqlLimits } from '../../logql/limits.ts';
import { firstAskedBy, type LogqlEvaluator, type QueryResult } from '../../logql/query.ts';
import { type LineBatch, newStats, type StoredLogs, type StreamVolume } from '../../logql/source.ts';
import type { LogView, LogViews } from '../log-view.ts';
import {
  type Answer,
  type Ask,
  type FromThread,
  type LogWorkerData,
  type OpenView,
  type QueryWork,
  type Read,
  receivedError,
  type SentBatch,
  type StartQuery,
  sentError,
  type Told,
  type ToThread,
  type ViewAnswer,
} from './messages.ts';

/** Threads that answer LogQL. */
export interface LogPool extends AsyncDisposable {
  /** Answers from these logs; what an owner asks goes where its files are known. */
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
        const asked = { views, owner, work: { kind: 'evaluate', task } as const, limits, signal };
        await using query = await startQuery(pool, asked);
        return expectTold(await query.told(), 'evaluated').result;
      },
      answer: async (task, limits, signal) => {
        const asked = { views, owner, work: { kind: 'answer', task } as const, limits, signal };
        const query = await startQuery(pool, asked);
        try {
          return restOf(query, expectTold(await query.told(), 'piece'));
        } catch (error) {
          await query[Symbol.asyncDispose]();
          throw error;
        }
      },
    }),
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}

/** A query that a thread works on. */
interface RunningQuery extends AsyncDisposable {
  /** What the thread says next. Throws what it fails with, and LogqlError when the query is stopped. */
  told(): Promise<Told>;
  more(): void;
}

/** It may fail when nobody waits for it. */
function awaited(): PromiseWithResolvers<Told> {
  const resolvers = Promise.withResolvers<Told>();
  resolvers.promise.catch(() => undefined);
  return resolvers;
}

interface Asked {
  readonly views: LogViews;
  readonly owner: string;
  readonly work: QueryWork;
  readonly limits: LogqlLimits;
  readonly signal: AbortSignal;
}

async function startQuery(
  pool: WorkerPool,
  { views, owner, work, limits, signal }: Asked,
): Promise<RunningQuery> {
  throwIfStopped(signal, limits);
  await using stack = new AsyncDisposableStack();
  const helper = stack.use(openHelper(views, signal));
  // Whoever has gone meanwhile gets that answer, and not what became of the view.
  const first = await helper.first(work).finally(() => throwIfStopped(signal, limits));
  const job = pool.start(owner, { work, limits, first } satisfies StartQuery);
  stack.move();
  const { port } = job;
  const send = (message: ToThread): void => port.postMessage(message);
  let next = awaited();
  port.on('message', (message: FromThread) => {
    if (message.kind === 'ask') void reply(port, message.id, helper.answer(message.ask));
    else if (message.kind === 'failed') next.reject(receivedError(message.error));
    else next.resolve(message);
  });
  let ended: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    signal.removeEventListener('abort', onAbort);
    using _job = job;
    await helper[Symbol.asyncDispose]();
  };
  const end = (): Promise<void> => {
    ended ??= close();
    return ended;
  };
  const onAbort = (): void => {
    send({ kind: 'cancel' });
    try {
      throwIfStopped(signal, limits);
    } catch (error) {
      next.reject(error);
    }
    // Whoever has the rest of an answer may never ask for it.
    void end();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  return {
    told: async () => {
      const told = await Promise.race([next.promise, job.failure]);
      next = awaited();
      return told;
    },
    more: () => send({ kind: 'more' }),
    [Symbol.asyncDispose]: end,
  };
}

type Piece = Told & { readonly kind: 'piece' };

async function* restOf(query: RunningQuery, first: Piece): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  await using _query = query;
  let piece = first;
  for (;;) {
    yield piece.bytes;
    if (piece.last) return;
    query.more();
    piece = expectTold(await query.told(), 'piece');
  }
}

function expectTold<Kind extends Told['kind']>(told: Told, kind: Kind): Told & { readonly kind: Kind } {
  if (told.kind === kind) return told as Told & { readonly kind: Kind };
  throw new Error(`a thread says ${told.kind} where ${kind} was asked for`);
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
  /** The view of what says its time. */
  first(work: QueryWork): Promise<StartQuery['first']>;
}

function openHelper(views: LogViews, clientSignal: AbortSignal): Helper {
  const ended = new AbortController();
  const signal = AbortSignal.any([clientSignal, ended.signal]);
  const opened = new Map<number, LogView>();
  const rests = new Map<number, StoredLogs>();
  const iterations = new Map<number, Iteration>();
  let last = 0;
  const restHandle = (rest: StoredLogs | undefined): number | undefined => {
    if (rest === undefined) return undefined;
    rests.set(++last, rest);
    return last;
  };
  const iterate = (iteration: Iteration): Answer => {
    iterations.set(++last, iteration);
    return { kind: 'handle', handle: last };
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
    first: async (work) => {
      const times = timesOf(work);
      if (times === undefined || times.toNs <= times.fromNs) return undefined;
      const ask: OpenView = { kind: 'open', fromNs: times.fromNs, toNs: times.toNs };
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
          return iterate(linesIteration(lines, stats));
        }
        case 'streams':
          return iterate(iterationOf(known(rests, ask.rest).streams(ask.request, signal), streamsAnswer));
        case 'volumes':
          return iterate(iterationOf(known(rests, ask.rest).volumes(ask.request, signal), volumesAnswer));
        case 'next':
          return known(iterations, ask.of).next();
        case 'counts': {
          const stats = newStats();
          const rows = await known(rests, ask.rest).counts({ ...ask.request, stats }, signal);
          return { kind: 'rows', rows, read: stats };
        }
      }
    },
    [Symbol.asyncDispose]: async () => {
      ended.abort();
      for (const iteration of iterations.values()) await iteration.close();
      for (const view of opened.values()) await view[Symbol.asyncDispose]();
    },
  };
}

const streamsAnswer = (labels: readonly string[] | undefined): Answer => ({ kind: 'streams', labels });
const volumesAnswer = (volumes: readonly StreamVolume[] | undefined): Answer => ({
  kind: 'volumes',
  volumes,
});

/** Of what time it wants lines or streams first. */
function timesOf({ kind, task }: QueryWork): Pick<OpenView, 'fromNs' | 'toNs'> | undefined {
  if (kind === 'evaluate') return firstAskedBy(task);
  if (task.kind === 'query') return firstAskedBy(task.task);
  return 'log' in task ? task.log : task;
}

function known<T>(map: ReadonlyMap<number, T>, handle: number): T {
  const found = map.get(handle);
  if (found === undefined) throw new Error(`a thread asks for ${handle}, which there is not`);
  return found;
}

interface Iteration {
  next(): Promise<Answer>;
  close(): Promise<void>;
}

function iterationOf<T>(items: AsyncIterable<T>, answerOf: (item: T | undefined) => Answer): Iteration {
  const iterator = items[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { value, done } = await iterator.next();
      return answerOf(done ? undefined : value);
    },
    close: async () => {
      await iterator.return?.();
    },
  };
}

function linesIteration(lines: AsyncIterable<LineBatch>, stats: Read): Iteration {
  const streams = new Map<ReadonlyMap<string, string>, number>();
  return iterationOf(lines, (batch) => ({
    kind: 'batch',
    batch: batch && sentBatch(batch, streams),
    read: { lines: stats.lines, bytes: stats.bytes },
  }));
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
