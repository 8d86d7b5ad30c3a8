import { setTimeout as delay } from 'node:timers/promises';
import type { DuckDBValue } from '@duckdb/node-api';
import { SqlError } from '../sql/errors.ts';
import { chunkOfRows } from '../sql/row-chunk.ts';
import type { SqlColumn, SqlResult, SqlSession, SqlStatement, StatementKind } from '../sql/sql-session.ts';

// A session for tests whose statements say what they do:
//   select <n>       n rows of (n BIGINT, word VARCHAR), in chunks of two, of 1000 when there are many
//   echo $1 ... $k   one row with its parameters as text
//   fetch forward 0 from "cursor"   describes a cursor that is declared; there is no other
//   set <name> <value> | wait | fail | bug | begin | commit | rollback | savepoint <name> | release <name> |
//   rollback to <name> | deallocate <name>|all | <command>

export interface FakeSession extends SqlSession {
  /** What happened, in order: statements that ran and results that were closed. */
  readonly events: string[];
  /** Rows that results have given. */
  rowsRead: number;
}

export interface FakeRow {
  readonly columns: readonly SqlColumn[];
  readonly values: readonly DuckDBValue[];
}

/** `rows` are further statements, by their text, that give one row. */
export function createFakeSession(rows: Readonly<Record<string, FakeRow>> = {}): FakeSession {
  const events: string[] = [];
  const parameters = new Map([
    ['server_version', '16.4'],
    ['client_encoding', 'UTF8'],
    ['DateStyle', 'ISO, MDY'],
    ['TimeZone', 'UTC'],
    ['standard_conforming_strings', 'on'],
    ['application_name', ''],
  ]);
  const session: FakeSession = {
    events,
    rowsRead: 0,
    parameters,
    parse: async (text) =>
      text
        .split(';')
        .map((part) => part.replaceAll(/--.*/g, '').trim())
        .filter((part) => part !== '')
        .map((part) => {
          if (part === 'syntax')
            throw new SqlError('42601', 'syntax error at or near "syntax"', { position: 1 });
          return part;
        })
        .map((part) => ({
          analyze: async (declaredTypes = []) => {
            if (declaredTypes.length > 0) events.push(`declared ${declaredTypes.join(', ')}`);
            return statementOf(part, session, parameters, rows);
          },
        })),
    transaction: async ({ kind }) => {
      events.push(`transaction ${kind}`);
    },
    [Symbol.asyncDispose]: async () => {
      events.push('disposed');
    },
  };
  return session;
}

const kinds: Readonly<Record<string, StatementKind>> = {
  select: 'select',
  echo: 'select',
  wait: 'select',
  begin: 'begin',
  commit: 'commit',
  rollback: 'rollback',
  savepoint: 'savepoint',
  release: 'release',
  'rollback to': 'rollback-to',
};

function statementOf(
  text: string,
  session: FakeSession,
  parameters: Map<string, string>,
  rows: Readonly<Record<string, FakeRow>>,
): SqlStatement {
  const [verb = '', argument = '', value = ''] = text.toLowerCase().split(' ');
  const cursor = text === 'FETCH FORWARD 0 FROM "cursor"';
  if (verb === 'fetch' && !cursor) throw new SqlError('34000', 'cursor does not exist');
  const point = /^(savepoint|release|rollback to) (\w+)$/.exec(text);
  const holes = verb === 'echo' ? (text.match(/\$\d+/g) ?? []) : [];
  const row = rows[text];
  const columns =
    row?.columns ??
    (verb === 'select' || cursor
      ? [
          { name: 'n', type: 'BIGINT' },
          { name: 'word', type: 'VARCHAR' },
        ]
      : verb === 'echo'
        ? holes.map((hole) => ({ name: hole, type: 'VARCHAR' }))
        : undefined);
  return {
    kind: row ? 'select' : (kinds[point?.[1] ?? text.toLowerCase()] ?? kinds[verb] ?? 'command'),
    ...(point && { savepoint: point[2] ?? '' }),
    parameterTypes: holes.map(() => null),
    ...(verb === 'deallocate' && { deallocates: argument === 'all' ? null : argument }),
    describe: async () => columns,
    execute: async (bound, signal) => {
      session.events.push(text);
      if (text === 'fail') throw new SqlError('22012', 'division by zero', { hint: 'Do not.' });
      if (text === 'bug') throw new TypeError('not a function');
      if (text === 'wait') await delay(60_000, undefined, { signal });
      if (verb === 'set') parameters.set(argument, value);
      if (row) return resultOf(text, columns, 1, () => row.values, session);
      if (verb === 'echo') return resultOf(text, columns, 1, () => [...bound], session);
      const count = verb === 'select' ? Number(argument) : 0;
      return resultOf(text, columns, count, (n) => [BigInt(n), `w${n}`], session);
    },
  };
}

function resultOf(
  text: string,
  columns: readonly SqlColumn[] | undefined,
  count: number,
  rowAt: (n: number) => readonly DuckDBValue[],
  session: FakeSession,
): SqlResult {
  const verb = text.split(' ')[0]?.toUpperCase() ?? '';
  const chunkRows = count > 100 ? 1000 : 2;
  return {
    columns,
    tag: columns ? 'SELECT' : verb,
    chunks: async function* () {
      for (let at = 0; at < count; at += chunkRows) {
        await delay(0);
        const rows = Math.min(chunkRows, count - at);
        session.rowsRead += rows;
        yield chunkOfRows(Array.from({ length: rows }, (_, n) => rowAt(at + n)));
      }
    },
    [Symbol.asyncDispose]: async () => {
      session.events.push(`closed ${text}`);
    },
  };
}
