import type { Node } from 'libpg-query';
import { as, type Fields } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import type { SqlStatement } from '../sql-session.ts';
import { type Cursor, createCursor, rowsIn, type Step } from './cursor.ts';
import { chunksResult, done } from './statement.ts';

// DECLARE, FETCH and MOVE, for clients that read a large result in parts. A cursor WITH HOLD just stays open after its
// transaction: it reads a pinned view, which nobody can change.

export interface Cursors extends AsyncDisposable {
  /** DECLARE, FETCH or MOVE; undefined for any other node. `select` makes the statement of a DECLARE. */
  statement(node: Node, select: (node: Node) => Promise<SqlStatement>): Promise<SqlStatement | undefined>;
  /** Closes one cursor, or all. Throws SqlError 34000. */
  close(name: string | undefined): void;
  /** Closes those that were declared without hold. */
  transactionEnded(): void;
}

/** CURSOR_OPT_SCROLL and CURSOR_OPT_HOLD of PostgreSQL's parsenodes.h. */
const cursorScroll = 0x2;
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
        const scrolls = (options & cursorScroll) !== 0;
        open.set(portalname, createCursor(result, { hold, scrolls, controller }));
        return done('DECLARE CURSOR');
      },
    };
  };

  const fetch = (statement: Fields<'FetchStmt'>): SqlStatement => {
    const { portalname = '', ismove = false } = statement;
    const step = stepOf(statement);
    return {
      kind: ismove ? 'command' : 'select',
      parameterTypes: [],
      ...(step.kind === 'forward' && { fetches: { cursor: portalname, rows: step.rows, moves: ismove } }),
      describe: async () => (ismove ? undefined : cursorOf(portalname).result.columns),
      execute: async (_, signal) => {
        const cursor = cursorOf(portalname);
        const chunks = await cursor.read(step, signal);
        return ismove
          ? done(`MOVE ${rowsIn(chunks)}`)
          : chunksResult('FETCH', cursor.result.columns ?? [], chunks);
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

/** What FETCH asks for; ALL is as many as there may be. */
function stepOf({ direction, ...statement }: Fields<'FetchStmt'>): Step {
  const howMany = Number(statement.howMany ?? 0);
  const rows = Math.min(Math.abs(howMany), fetchRowsMax);
  switch (direction) {
    case 'FETCH_ABSOLUTE':
      return { kind: 'absolute', row: howMany };
    case 'FETCH_RELATIVE':
      return { kind: 'relative', rows: howMany };
    default: {
      if (howMany === 0) return { kind: 'relative', rows: 0 };
      const isForward = (direction === 'FETCH_FORWARD') === howMany > 0;
      return { kind: isForward ? 'forward' : 'backward', rows };
    }
  }
}
