import type { TenantId } from '../model/ids.ts';
import type { Tables, TableView } from '../tables.ts';
import type { FromEngine, OpenedView, TablesRequest, ToEngine, UserTableList } from './messages.ts';
import { receivedError } from './sent-error.ts';

/** The engine's side of the tables: every question goes to the process that has them. */
export interface RemoteTables {
  of(tables: number): Tables;
  receive(message: Extract<ToEngine, { kind: 'answer' | 'refusal' }>): void;
}

export function createRemoteTables(tenant: TenantId, send: (message: FromEngine) => void): RemoteTables {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let lastCall = 0;
  const ask = async (tables: number, request: TablesRequest, signal?: AbortSignal): Promise<unknown> => {
    signal?.throwIfAborted();
    const call = ++lastCall;
    const answer = Promise.withResolvers<unknown>();
    waiting.set(call, answer);
    const abort = (): void => send({ kind: 'abort', call });
    signal?.addEventListener('abort', abort);
    send({ kind: 'call', call, tables, request });
    try {
      return await answer.promise;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  };
  const open = async (tables: number, request: TablesRequest, signal?: AbortSignal): Promise<TableView> => {
    const { view, ...facts } = (await ask(tables, request, signal)) as OpenedView;
    return {
      ...facts,
      [Symbol.asyncDispose]: async () => {
        await ask(tables, { kind: 'close', view });
      },
    };
  };
  return {
    of: (tables) => ({
      tenant,
      open: (table, prune, signal) => open(tables, { kind: 'open', table, prune }, signal),
      metricMetadata: async () => [],
      userTables: {
        list: async () => (await ask(tables, { kind: 'list-user' })) as UserTableList,
        open: (name, signal) => open(tables, { kind: 'open-user', name }, signal),
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
