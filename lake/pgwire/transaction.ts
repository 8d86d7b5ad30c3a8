import { SqlError } from '../sql/errors.ts';
import type { SqlStatement } from '../sql/sql-session.ts';
import { writeCommandComplete, writeError } from './messages.ts';
import { closePortals } from './portal.ts';
import type { SessionState } from './session.ts';

// Transactions of a session: the blocks that its client begins and ends, their savepoints, and the implicit ones, as which
// several statements of one text run, and those of the extended protocol up to Sync.
// https://www.postgresql.org/docs/16/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT

/** The statements from here on are one transaction, unless they are in one. */
export async function beginImplicit(state: SessionState): Promise<void> {
  if (state.transaction !== 'I' || state.implicit) return;
  await state.sql.transaction({ kind: 'begin' });
  state.implicit = true;
}

export async function endImplicit(state: SessionState, kind: 'commit' | 'rollback'): Promise<void> {
  if (!state.implicit) return;
  state.implicit = false;
  await state.sql.transaction({ kind });
}

/** An error fails a block, and takes back an implicit transaction. Portals end with both. */
export async function failTransaction(state: SessionState): Promise<void> {
  if (state.transaction === 'T') state.transaction = 'E';
  await endImplicit(state, 'rollback');
  await closePortals(state);
}

/** In a failed transaction only its end is accepted. */
export function refuseInFailed(state: SessionState, { kind }: SqlStatement): void {
  if (state.transaction !== 'E' || kind === 'commit' || kind === 'rollback' || kind === 'rollback-to') return;
  throw new SqlError(
    '25P02',
    'current transaction is aborted, commands ignored until end of transaction block',
  );
}

const savepointCommands: Readonly<Record<string, string>> = {
  savepoint: 'SAVEPOINT',
  release: 'RELEASE SAVEPOINT',
  'rollback-to': 'ROLLBACK TO SAVEPOINT',
};

export function checkSavepoint(
  { transaction, savepoints }: SessionState,
  { kind, savepoint }: SqlStatement,
): void {
  const command = savepointCommands[kind];
  if (command === undefined || savepoint === undefined) return;
  if (transaction === 'I') throw new SqlError('25P01', `${command} can only be used in transaction blocks`);
  if (kind !== 'savepoint' && !savepoints.includes(savepoint)) {
    throw new SqlError('3B001', `savepoint "${savepoint}" does not exist`);
  }
}

/** Tags that the count of rows belongs to, where there are rows. */
const counted = /^(SELECT|FETCH|INSERT 0|UPDATE|DELETE)$/;

/** What a command did to the transaction, and its CommandComplete. */
export async function moveTransaction(
  state: SessionState,
  statement: SqlStatement,
  tag: string,
  rows: number,
): Promise<void> {
  const { writer } = state.output;
  const before = state.transaction;
  const warn = (code: string, message: string): void =>
    writeError(writer, 'WARNING', new SqlError(code, message));
  let answer = counted.test(tag) ? `${statement.copy ? 'COPY' : tag} ${rows}` : tag;
  const depth = state.savepoints.lastIndexOf(statement.savepoint ?? '');
  switch (statement.kind) {
    case 'begin':
      if (before === 'T') warn('25001', 'there is already a transaction in progress');
      else await beginImplicit(state);
      // What the text has done before belongs to the block.
      state.implicit = false;
      state.transaction = 'T';
      break;
    case 'savepoint':
      state.savepoints.push(statement.savepoint ?? '');
      await state.sql.transaction({ kind: 'savepoint' });
      break;
    case 'release':
      state.savepoints.length = depth;
      await state.sql.transaction({ kind: 'release', depth });
      break;
    case 'rollback-to':
      state.savepoints.length = depth + 1;
      await state.sql.transaction({ kind: 'rollback-to', depth });
      state.transaction = 'T';
      break;
    case 'commit':
    case 'rollback':
      if (before === 'I') warn('25P01', 'there is no transaction in progress');
      if (before === 'E') answer = 'ROLLBACK';
      state.transaction = 'I';
      state.implicit = false;
      state.savepoints.length = 0;
      await state.sql.transaction({ kind: answer === 'ROLLBACK' ? 'rollback' : 'commit' });
      await closePortals(state);
      break;
    case 'select':
    case 'command':
      if (statement.deallocates !== undefined) deallocate(state, statement.deallocates);
  }
  writeCommandComplete(writer, answer);
}

function deallocate(state: SessionState, name: string | null): void {
  if (name === null) state.prepared.clear();
  else if (!state.prepared.delete(name)) {
    throw new SqlError('26000', `prepared statement "${name}" does not exist`);
  }
}
