import type { SqlSource } from '../sql/session.ts';
import type { TableView } from '../tables.ts';
import type { FromEngine, OpenedView, SourceRequest, ToEngine } from './messages.ts';
import { sentError } from './sent-error.ts';

/** Answers what an engine asks of the sources of its sessions. Views that it leaves open are closed with their session. */
export interface SourceDesk {
  /** Lets a session ask of this source, under the number that it is given. */
  admit(source: SqlSource): number;
  /** The session has ended. */
  dismiss(id: number): void;
  receive(message: Extract<FromEngine, { kind: 'call' | 'abort' }>): void;
  /** The engine has ended. */
  close(): void;
}

interface Admitted {
  readonly source: SqlSource;
  readonly views: Map<number, TableView>;
}

export function createSourceDesk(
  send: (message: ToEngine) => void,
  /** A view could not be closed. */
  onError: (error: unknown) => void,
): SourceDesk {
  const admitted = new Map<number, Admitted>();
  const calls = new Map<number, AbortController>();
  let lastId = 0;
  let lastView = 0;

  const opened = async (id: number, view: TableView): Promise<OpenedView> => {
    const session = admitted.get(id);
    if (!session) {
      await view[Symbol.asyncDispose]();
      throw new Error('the session has ended');
    }
    const { from, filesConsidered, filesPruned } = view;
    session.views.set(++lastView, view);
    return { view: lastView, from, filesConsidered, filesPruned };
  };
  const answer = async (id: number, request: SourceRequest, signal: AbortSignal): Promise<unknown> => {
    const session = admitted.get(id);
    if (!session) throw new Error('the session has ended');
    const { views } = session;
    const { tables, languages } = session.source;
    switch (request.kind) {
      case 'open':
        return opened(id, await tables.open(request.table, request.prune, signal));
      case 'list-user':
        return (await tables.userTables?.list()) ?? [];
      case 'open-user':
        if (!tables.userTables) throw new Error(`there is no table ${request.name}`);
        return opened(id, await tables.userTables.open(request.name, signal));
      case 'language':
        if (!languages) throw new Error('there is no other language here');
        return languages.run(request.query, signal);
      case 'close': {
        const view = views.get(request.view);
        views.delete(request.view);
        await view?.[Symbol.asyncDispose]();
        return undefined;
      }
    }
  };
  return {
    admit: (source) => {
      admitted.set(++lastId, { source, views: new Map() });
      return lastId;
    },
    dismiss: (id) => {
      const session = admitted.get(id);
      admitted.delete(id);
      if (session) closeViews(session).catch(onError);
    },
    receive: (message) => {
      const { call } = message;
      if (message.kind === 'abort') return calls.get(call)?.abort();
      const controller = new AbortController();
      calls.set(call, controller);
      answer(message.source, message.request, controller.signal)
        .then(
          (value) => send({ kind: 'answer', call, value }),
          (error) => send({ kind: 'refusal', call, error: sentError(error) }),
        )
        .finally(() => calls.delete(call));
    },
    close: () => {
      for (const controller of calls.values()) controller.abort();
      for (const session of admitted.values()) closeViews(session).catch(onError);
      admitted.clear();
    },
  };
}

async function closeViews({ views }: Admitted): Promise<void> {
  const open = [...views.values()];
  views.clear();
  await Promise.all(open.map((view) => view[Symbol.asyncDispose]()));
}
