import type { Node } from 'libpg-query';
import { as, type Fields, namesOf } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import type { Parameters } from '../parameters.ts';
import type { ParsedStatement } from '../parse.ts';
import type { SqlColumn, SqlResult, SqlStatement } from '../sql-session.ts';
import type { TempTables } from '../temp-tables.ts';
import type { PreparedStatements } from './prepared.ts';
import { done, rowsResult } from './statement.ts';

// Commands that are answered without DuckDB: transactions, run-time parameters, and what clients send to tidy up.

export interface CommandContext {
  readonly parameters: Parameters;
  /** Forgets cursors, or the one of this name. Throws SqlError 34000 when there is no such cursor. */
  readonly closeCursor: (name: string | undefined) => void;
  readonly prepared: PreparedStatements;
  readonly temp: TempTables;
}

/** A statement without rows and parameters that does `run` when it is executed. */
function command(
  tag: string,
  run: () => void | Promise<void> = () => undefined,
  kind: SqlStatement['kind'] = 'command',
): SqlStatement {
  return {
    kind,
    parameterTypes: [],
    describe: async () => undefined,
    execute: async () => {
      await run();
      return done(tag);
    },
  };
}

/** The command, or undefined when the node is none of these. */
export function commandStatement(
  node: Node,
  parsed: ParsedStatement,
  context: CommandContext,
): SqlStatement | undefined {
  const transaction = as(node, 'TransactionStmt');
  if (transaction) return transactionStatement(transaction, parsed);
  const set = as(node, 'VariableSetStmt');
  if (set) return setStatement(set, context.parameters);
  const show = as(node, 'VariableShowStmt');
  if (show) return showStatement(show.name ?? '', context.parameters);
  const discard = as(node, 'DiscardStmt');
  if (discard) return discardStatement(discard.target ?? 'DISCARD_ALL', context);
  const close = as(node, 'ClosePortalStmt');
  if (close)
    return command(close.portalname ? 'CLOSE CURSOR' : 'CLOSE CURSOR ALL', () =>
      context.closeCursor(close.portalname),
    );
  const deallocate = as(node, 'DeallocateStmt');
  if (deallocate) {
    return deallocateStatement(deallocate.name ?? null, context);
  }
  if (as(node, 'ListenStmt')) return command('LISTEN');
  if (as(node, 'UnlistenStmt')) return command('UNLISTEN');
  // Nobody but the owner of a table may do these, whom PostgreSQL lets pass without doing anything.
  const vacuum = as(node, 'VacuumStmt');
  if (vacuum) return command(vacuum.is_vacuumcmd ? 'VACUUM' : 'ANALYZE');
  // What readers lock is locked against nobody who could write here.
  if (as(node, 'LockStmt')?.mode === accessShare) return command('LOCK TABLE');
  return undefined;
}

/** AccessShareLock of PostgreSQL's lockdefs.h. */
const accessShare = 1;

/** One that PREPARE has made, or else one of the protocol's. */
function deallocateStatement(name: string | null, { prepared }: CommandContext): SqlStatement {
  const forget = command(name === null ? 'DEALLOCATE ALL' : 'DEALLOCATE', () => prepared.deallocate(name));
  return name !== null && prepared.has(name) ? forget : { ...forget, deallocates: name };
}

function transactionStatement(
  { kind, savepoint_name: savepoint = '' }: Fields<'TransactionStmt'>,
  parsed: ParsedStatement,
): SqlStatement {
  switch (kind) {
    case 'TRANS_STMT_BEGIN':
      return command('BEGIN', undefined, 'begin');
    case 'TRANS_STMT_START':
      return command('START TRANSACTION', undefined, 'begin');
    case 'TRANS_STMT_COMMIT':
      return command('COMMIT', undefined, 'commit');
    case 'TRANS_STMT_ROLLBACK':
      return command('ROLLBACK', undefined, 'rollback');
    // The protocol keeps their names, and tells the session (SqlSession.transaction).
    case 'TRANS_STMT_SAVEPOINT':
      return { ...command('SAVEPOINT', undefined, 'savepoint'), savepoint };
    case 'TRANS_STMT_RELEASE':
      return { ...command('RELEASE', undefined, 'release'), savepoint };
    case 'TRANS_STMT_ROLLBACK_TO':
      return { ...command('ROLLBACK', undefined, 'rollback-to'), savepoint };
    default:
      throw notSupported('two-phase commit', parsed.positionOf(0));
  }
}

function setStatement(
  { kind, name = '', args = [], is_local: local = false }: Fields<'VariableSetStmt'>,
  parameters: Parameters,
): SqlStatement {
  switch (kind) {
    case 'VAR_SET_VALUE':
      return command('SET', () => parameters.set(name, args.map(settingText).join(', '), local));
    case 'VAR_SET_DEFAULT':
      return command('SET', () => parameters.set(name, undefined, local));
    case 'VAR_RESET':
      return command('RESET', () => parameters.set(name, undefined));
    case 'VAR_RESET_ALL':
      return command('RESET', () => parameters.resetAll());
    default:
      // SET TRANSACTION and SESSION CHARACTERISTICS: every statement sees one snapshot and nothing is written.
      return command('SET');
  }
}

function settingText(node: Node): string {
  const cast = as(node, 'TypeCast');
  if (cast?.arg) return settingText(cast.arg);
  const constant = as(node, 'A_Const');
  if (constant?.ival) return String(constant.ival.ival ?? 0);
  if (constant?.boolval) return constant.boolval.boolval ? 'on' : 'off';
  return constant?.sval?.sval ?? constant?.fval?.fval ?? namesOf(as(node, 'ColumnRef')?.fields).join('.');
}

const textColumn = (name: string): SqlColumn => ({ name, type: 'VARCHAR' });

function showStatement(name: string, parameters: Parameters): SqlStatement {
  const all = name.toLowerCase() === 'all';
  const columns = all
    ? ['name', 'setting', 'description'].map(textColumn)
    : [textColumn(parameters.show(name).name)];
  return {
    kind: 'select',
    parameterTypes: [],
    describe: async () => columns,
    execute: async (): Promise<SqlResult> => {
      const rows = all
        ? parameters.all().map((each) => [each.name, each.value, ''])
        : [[parameters.show(name).value]];
      return rowsResult('SHOW', columns, rows);
    },
  };
}

function discardStatement(target: string, context: CommandContext): SqlStatement {
  const { parameters, closeCursor, prepared, temp } = context;
  if (target === 'DISCARD_TEMP') return command('DISCARD TEMP', temp.dropAll);
  if (target !== 'DISCARD_ALL') return command(`DISCARD ${target.replace('DISCARD_', '')}`);
  const all = command('DISCARD ALL', async () => {
    parameters.resetAll();
    closeCursor(undefined);
    prepared.deallocate(null);
    await temp.dropAll();
  });
  return { ...all, deallocates: null };
}

function hintOf(node: Node, word: string): string {
  if (word === 'CREATE') return 'CREATE TEMP TABLE makes a table of this session';
  if (as(node, 'CopyStmt')?.is_from)
    return 'tables of the lake are written by sending data to a gateway; COPY into a table that CREATE TEMP TABLE has made, or load a CSV file with `firn tables load`';
  return 'tables of the lake are written by sending data to a gateway; tables of CREATE TEMP TABLE can be written';
}

/** Says why a statement that would write, or do something else than read, is refused. */
export function refusal(node: Node, parsed: ParsedStatement): SqlError {
  const tag = Object.keys(node)[0] ?? '';
  const word = (/^(?:--.*\n|\/\*[\s\S]*?\*\/|\s)*(\w+)/.exec(parsed.text)?.[1] ?? tag).toUpperCase();
  if (
    /^(Insert|Update|Delete|Merge|Create|Alter|Drop|Truncate|Rename|Comment|Grant|Index|View|Copy|Call|Do|Reindex|Vacuum|Refresh)/.test(
      tag,
    )
  ) {
    return new SqlError('25006', `cannot execute ${word} in a read-only transaction`, {
      position: parsed.positionOf(0),
      hint: hintOf(node, word),
    });
  }
  return notSupported(word, parsed.positionOf(0));
}
