import type { TenantId } from '../model/ids.ts';
import type { LanguageRows } from '../sql/languages.ts';
import type { SqlSource } from '../sql/session.ts';
import type { TableView, UserTableInfo } from '../tables.ts';
import type { FromEngine, OpenedView, SourceRequest, ToEngine } from './messages.ts';
import { receivedError } from './sent-error.ts';

/** The engine's side of what statements are answered from: every question goes to the process that has it. */
export interface RemoteSources {
  of(source: number): SqlSource;
  receive(message: Extract<ToEngine, { kind: 'answer' | 'refusal' }>): void;
}

export function createRemoteSources(tenant: TenantId, send: (message: FromEngine) => void): RemoteSources {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let lastCall = 0;
  const ask = async (source: number, request: SourceRequest, signal?: AbortSignal): Promise<unknown> => {
    signal?.throwIfAborted();
    const call = ++lastCall;
    const answer = Promise.withResolvers<unknown>();
    waiting.set(call, answer);
    const abort = (): void => send({ kind: 'abort', call });
    signal?.addEventListener('abort', abort);
    send({ kind: 'call', call, source, request });
    try {
      return await answer.promise;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  };
  const open = async (source: number, request: SourceRequest, signal?: AbortSignal): Promise<TableView> => {
    const { view, ...facts } = (await ask(source, request, signal)) as OpenedView;
    return {
      ...facts,
      [Symbol.asyncDispose]: async () => {
        await ask(source, { kind: 'close', view });
      },
    };
  };
  return {
    of: (source) => ({
      tables: {
        tenant,
        open: (table, prune, signal) => open(source, { kind: 'open', table, prune }, signal),
        metricMetadata: async () => [],
        userTables: {
          list: async () => (await ask(source, { kind: 'list-user' })) as readonly UserTableInfo[],
          open: (name, signal) => open(source, { kind: 'open-user', name }, signal),
        },
      },
      languages: {
        run: async (query, signal) =>
          (await ask(source, { kind: 'language', query }, signal)) as LanguageRows,
      },
    }),
    receive: (message) => {
      const answer = waiting.get(message.call);
      waiting.delete(message.call);
      if (message.kind === 'answer') answer?.resolve(message.value);
      else answer?.reject(receivedError(message.error));
    },
  };
}
