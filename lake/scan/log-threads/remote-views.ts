import type { MessagePort } from 'node:worker_threads';
import type { CountRow, LineBatch, LogSource, ReadStats, Stream } from '../../logql/source.ts';
import type { LogView, LogViews } from '../log-view.ts';
import {
  type Answer,
  type Ask,
  type FromThread,
  type Read,
  type Reply,
  receivedError,
  type StartQuery,
} from './messages.ts';

/** Views that the thread which asks for a query opens. */
export interface RemoteViews extends LogViews {
  /** Replies come in here. */
  receive(reply: Reply): void;
}

/** `first` is a view that is there already, for whoever asks for its time. */
export function remoteViews(port: MessagePort, first: StartQuery['first']): RemoteViews {
  let ready = first;
  const waiting = new Map<number, PromiseWithResolvers<Answer>>();
  let last = 0;
  const ask = (what: Ask): Promise<Answer> => {
    const answer = Promise.withResolvers<Answer>();
    waiting.set(++last, answer);
    port.postMessage({ kind: 'ask', id: last, ask: what } satisfies FromThread);
    return answer.promise;
  };
  // It will not be answered any more when the other side has gone.
  port.on('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('nobody waits for the query any more'));
  });
  return {
    receive: ({ id, answer }) => {
      if (answer.kind === 'failed') waiting.get(id)?.reject(receivedError(answer.error));
      else waiting.get(id)?.resolve(answer);
      waiting.delete(id);
    },
    open: async (fromNs, toNs) => {
      const isReady = ready?.ask.fromNs === fromNs && ready.ask.toNs === toNs;
      const answer = isReady ? ready?.answer : await ask({ kind: 'open', fromNs, toNs });
      ready = undefined;
      const { view, files, rest, filesConsidered, filesPruned } = expectKind(answer, 'view');
      const opened: LogView = {
        ...{ files, filesConsidered, filesPruned },
        rest: async (paths) => {
          if (paths.length === 0) return rest === undefined ? undefined : remoteLogs(ask, rest);
          const answer = await ask({ kind: 'rest', view, paths });
          return answer.kind === 'done' ? undefined : remoteLogs(ask, expectKind(answer, 'handle').handle);
        },
        // Nobody waits for it: when the query ends it is closed at the latest.
        [Symbol.asyncDispose]: async () => void ask({ kind: 'close', view }).catch(() => undefined),
      };
      return opened;
    },
  };
}

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

const remoteLogs = (ask: (what: Ask) => Promise<Answer>, rest: number): LogSource => ({
  lines: async function* (request): AsyncGenerator<LineBatch> {
    const { handle } = expectKind(await ask({ kind: 'lines', rest, request: onlyLeft(request) }), 'handle');
    const streams: Stream[] = [];
    let before: Read = { lines: 0, bytes: 0 };
    for (;;) {
      const { batch, read } = expectKind(await ask({ kind: 'next', lines: handle }), 'batch');
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
  counts: async (request): Promise<readonly CountRow[]> => {
    const { rows, read } = expectKind(
      await ask({ kind: 'counts', rest, request: onlyLeft(request) }),
      'rows',
    );
    request.stats.lines += read.lines;
    request.stats.bytes += read.bytes;
    return rows;
  },
});
