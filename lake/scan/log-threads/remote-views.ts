import type { MessagePort } from 'node:worker_threads';
import type { CountRow, LineBatch, LogIndex, ReadStats, StoredLogs, Stream } from '../../logql/source.ts';
import type { LogView, LogViews } from '../log-view.ts';
import {
  type Answer,
  type Ask,
  type FromThread,
  type Read,
  type Reply,
  receivedError,
  type StartQuery,
  type ViewAnswer,
} from './messages.ts';

/** Views that are with the thread which asks for a query. */
export interface RemoteLogs {
  readonly views: LogViews;
  /** Replies come in here. */
  receive(reply: Reply): void;
}

/** `first` is a view that is there already, for whoever asks for its time. */
export function remoteLogs(port: MessagePort, first: StartQuery['first']): RemoteLogs {
  let ready = first;
  const waiting = new Map<number, PromiseWithResolvers<Answer>>();
  let last = 0;
  const ask: AskFor = async (what, signal) => {
    signal.throwIfAborted();
    const answer = Promise.withResolvers<Answer>();
    const id = ++last;
    waiting.set(id, answer);
    const giveUp = (): void => answer.reject(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    port.postMessage({ kind: 'ask', id, ask: what } satisfies FromThread);
    try {
      return await answer.promise;
    } finally {
      signal.removeEventListener('abort', giveUp);
      waiting.delete(id);
    }
  };
  // It will not be answered any more when the other side has gone.
  port.on('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('nobody waits for the query any more'));
  });
  return {
    receive: ({ id, answer }) => {
      if (answer.kind === 'failed') waiting.get(id)?.reject(receivedError(answer.error));
      else waiting.get(id)?.resolve(answer);
    },
    views: {
      open: async (fromNs, toNs, signal) => {
        const isReady = ready?.ask.fromNs === fromNs && ready.ask.toNs === toNs;
        const answer = isReady ? ready?.answer : await ask({ kind: 'open', fromNs, toNs }, signal);
        ready = undefined;
        return viewOf(expectKind(answer, 'view'), ask, signal);
      },
    },
  };
}

/** Rejects when the signal is aborted: what is asked for may take long, and is ended when the query has. */
type AskFor = (what: Ask, signal: AbortSignal) => Promise<Answer>;

function viewOf(
  { view, files, rest, filesConsidered, filesPruned }: ViewAnswer,
  ask: AskFor,
  signal: AbortSignal,
): LogView {
  return {
    ...{ files, filesConsidered, filesPruned },
    rest: async (paths) => {
      if (paths.length === 0) return rest === undefined ? undefined : remoteRest(ask, rest);
      const answer = await ask({ kind: 'rest', view, paths }, signal);
      return answer.kind === 'done' ? undefined : remoteRest(ask, expectKind(answer, 'handle').handle);
    },
    // Nobody waits for it: when the query ends it is closed at the latest.
    [Symbol.asyncDispose]: async () => void ask({ kind: 'close', view }, signal).catch(() => undefined),
  };
}

const remoteIndex = (ask: AskFor, rest: number): LogIndex => ({
  streams: async function* (request, signal) {
    const { handle } = expectKind(await ask({ kind: 'streams', rest, request }, signal), 'handle');
    for (;;) {
      const { labels } = expectKind(await ask({ kind: 'next', of: handle }, signal), 'streams');
      if (labels === undefined) return;
      yield labels;
    }
  },
  volumes: async function* (request, signal) {
    const { handle } = expectKind(await ask({ kind: 'volumes', rest, request }, signal), 'handle');
    for (;;) {
      const { volumes } = expectKind(await ask({ kind: 'next', of: handle }, signal), 'volumes');
      if (volumes === undefined) return;
      yield volumes;
    }
  },
});

function expectKind<Kind extends Answer['kind']>(
  answer: Answer | undefined,
  kind: Kind,
): Answer & { readonly kind: Kind } {
  if (answer?.kind === kind) return answer as Answer & { readonly kind: Kind };
  throw new Error(`${answer?.kind} where ${kind} was asked for`);
}

/** What has been read there counts here; `bytesMax` is what is left of it. */
const onlyLeft = <Request extends { readonly bytesMax: number; readonly stats: ReadStats }>(
  request: Request,
): Request => ({ ...request, bytesMax: request.bytesMax - request.stats.bytes });

const remoteRest = (ask: AskFor, rest: number): StoredLogs => ({
  ...remoteIndex(ask, rest),
  lines: async function* (request, signal): AsyncGenerator<LineBatch> {
    const { handle } = expectKind(
      await ask({ kind: 'lines', rest, request: onlyLeft(request) }, signal),
      'handle',
    );
    const streams: Stream[] = [];
    let before: Read = { lines: 0, bytes: 0 };
    for (;;) {
      const { batch, read } = expectKind(await ask({ kind: 'next', of: handle }, signal), 'batch');
      request.stats.lines += read.lines - before.lines;
      request.stats.bytes += read.bytes - before.bytes;
      before = read;
      if (batch === undefined) return;
      for (const labels of batch.streams) streams.push({ labels });
      yield {
        ...batch,
        stream: (row) => {
          const stream = streams[batch.streamOf[row] ?? 0];
          if (stream === undefined) throw new RangeError(`no row ${row} in a batch of ${batch.rows}`);
          return stream;
        },
      };
    }
  },
  counts: async (request, signal): Promise<readonly CountRow[]> => {
    const { rows, read } = expectKind(
      await ask({ kind: 'counts', rest, request: onlyLeft(request) }, signal),
      'rows',
    );
    request.stats.lines += read.lines;
    request.stats.bytes += read.bytes;
    return rows;
  },
});
