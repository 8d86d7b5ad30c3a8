import type { Node } from 'libpg-query';
import { as, type Fields } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import { type RowChunk, sliceOf } from '../row-chunk.ts';
import type { SqlResult, SqlStatement } from '../sql-session.ts';
import { chunksResult, done } from './statement.ts';

// DECLARE, FETCH and MOVE, forward only, for clients that read a large result in parts. A cursor WITH HOLD just stays open
// after its transaction: it reads a pinned view, which nobody can change.

export interface Cursors extends AsyncDisposable {
  /** DECLARE, FETCH or MOVE; undefined for any other node. `select` makes the statement of a DECLARE. */
  statement(node: Node, select: (node: Node) => Promise<SqlStatement>): Promise<SqlStatement | undefined>;
  /** Closes one cursor, or all. Throws SqlError 34000. */
  close(name: string | undefined): void;
  /** Closes those that were declared without hold. */
  transactionEnded(): void;
}

interface Cursor {
  readonly hold: boolean;
  readonly result: SqlResult;
  /** The next rows, as many as there are up to `count`. */
  read(count: number, signal: AbortSignal): Promise<RowChunk[]>;
}

/** CURSOR_OPT_HOLD of PostgreSQL's parsenodes.h. */
const cursorHold = 0x20;

/** Rows that FETCH ALL may return at once; beyond it the client has to fetch in parts. */
const fetchRowsMax = 1_000_000;

export function createCursors(cursorsMax = 100): Cursors {
  const open = new Map<string, Cursor>();
  const cursorOf = (name: string): Cursor => {
    const cursor = open.get(name);
    if (!cursor) throw new SqlError('34000', `cursor "${name}" does not exist`);
    return cursor;
  };
  const drop = (name: string): void => {
    void cursorOf(name).result[Symbol.asyncDispose]();
    open.delete(name);
  };

  const declare = async (
    { portalname = '', query, options = 0 }: Fields<'DeclareCursorStmt'>,
    select: (node: Node) => Promise<SqlStatement>,
  ): Promise<SqlStatement> => {
    if (!query) throw notSupported('DECLARE without a query');
    const statement = await select(query);
    return {
      kind: 'command',
      parameterTypes: statement.parameterTypes,
      describe: async () => undefined,
      execute: async (parameters) => {
        if (open.has(portalname)) throw new SqlError('42P03', `cursor "${portalname}" already exists`);
        if (open.size >= cursorsMax)
          throw new SqlError('53400', `a session may have ${cursorsMax} cursors (cursorsMax)`);
        const hold = (options & cursorHold) !== 0;
        const controller = new AbortController();
        const result = await statement.execute(parameters, controller.signal);
        open.set(portalname, createCursor(result, hold, controller));
        return done('DECLARE CURSOR');
      },
    };
  };

  const fetch = (statement: Fields<'FetchStmt'>): SqlStatement => {
    const { portalname = '', ismove = false } = statement;
    const count = rowsOf(statement);
    return {
      kind: ismove ? 'command' : 'select',
      parameterTypes: [],
      describe: async () => (ismove ? undefined : cursorOf(portalname).result.columns),
      execute: async (_, signal) => {
        const cursor = cursorOf(portalname);
        const chunks = await cursor.read(count, signal);
        const rows = chunks.reduce((sum, { start, end }) => sum + end - start, 0);
        return ismove ? done(`MOVE ${rows}`) : chunksResult('FETCH', cursor.result.columns ?? [], chunks);
      },
    };
  };

  return {
    statement: async (node, select) => {
      const declared = as(node, 'DeclareCursorStmt');
      if (declared) return declare(declared, select);
      const fetched = as(node, 'FetchStmt');
      return fetched && fetch(fetched);
    },
    close: (name) => {
      if (name !== undefined) drop(name);
      else for (const each of [...open.keys()]) drop(each);
    },
    transactionEnded: () => {
      for (const [name, { hold }] of [...open]) if (!hold) drop(name);
    },
    [Symbol.asyncDispose]: async () => {
      const results = [...open.values()].map(({ result }) => result[Symbol.asyncDispose]());
      open.clear();
      await Promise.all(results);
    },
  };
}

/** How many rows FETCH asks for; ALL is as many as there may be. */
function rowsOf({ direction, howMany }: Fields<'FetchStmt'>): number {
  const count = Number(howMany ?? 0);
  if (direction === 'FETCH_FORWARD' && count >= 0) return Math.min(count, fetchRowsMax);
  throw new SqlError('55000', 'cursor can only scan forward', {
    hint: 'FETCH [FORWARD] n, NEXT and ALL are answered',
  });
}

/** `controller` aborts the query behind it: what cancels a FETCH ends the cursor. */
function createCursor(result: SqlResult, hold: boolean, controller: AbortController): Cursor {
  const chunks = result.chunks()[Symbol.asyncIterator]();
  let waiting: RowChunk | undefined;
  let ended = false;
  return {
    hold,
    result,
    read: async (count, signal) => {
      const abort = (): void => controller.abort(signal.reason);
      signal.addEventListener('abort', abort);
      const read: RowChunk[] = [];
      let missing = count;
      try {
        while (missing > 0) {
          if (!waiting && !ended) {
            const next = await chunks.next();
            ended = next.done === true;
            waiting = next.done ? undefined : next.value;
          }
          if (!waiting) break;
          const { start, end } = waiting;
          const until = Math.min(end, start + missing);
          read.push(sliceOf(waiting, start, until));
          missing -= until - start;
          waiting = until < end ? sliceOf(waiting, until, end) : undefined;
        }
      } finally {
        signal.removeEventListener('abort', abort);
      }
      return read;
    },
  };
}
