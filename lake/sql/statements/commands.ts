import type { Node } from 'libpg-query';
import { as, type Fields, namesOf } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import type { Parameters } from '../parameters.ts';
import type { ParsedStatement } from '../parse.ts';
import type { SqlColumn, SqlResult, SqlStatement } from '../sql-session.ts';
import { done, rowsResult } from './statement.ts';

// Commands that are answered without DuckDB: transactions, run-time parameters, and what clients send to tidy up.

export interface CommandContext {
  readonly parameters: Parameters;
  /** Forgets cursors, or the one of this name. Throws SqlError 34000 when there is no such cursor. */
  readonly closeCursor: (name: string | undefined) => void;
}

/** A statement without rows and parameters that does `run` when it is executed. */
function command(
  tag: string,
  run: () => void = () => undefined,
  kind: SqlStatement['kind'] = 'command',
): SqlStatement {
  return {
    kind,
    parameterTypes: [],
    describe: async () => undefined,
    execute: async () => {
      run();
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
    const name = deallocate.name ?? null;
    return { ...command(name === null ? 'DEALLOCATE ALL' : 'DEALLOCATE'), deallocates: name };
  }
  if (as(node, 'ListenStmt')) return command('LISTEN');
  if (as(node, 'UnlistenStmt')) return command('UNLISTEN');
  return undefined;
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
    // No table of the lake can be written, so there is nothing that a savepoint would have to undo; the protocol keeps
    // their names.
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

function discardStatement(target: string, { parameters, closeCursor }: CommandContext): SqlStatement {
  if (target !== 'DISCARD_ALL') return command(`DISCARD ${target.replace('DISCARD_', '')}`);
  const all = command('DISCARD ALL', () => {
    parameters.resetAll();
    closeCursor(undefined);
  });
  return { ...all, deallocates: null };
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
      hint: 'tables are written by sending data to a gateway',
    });
  }
  return notSupported(word, parsed.positionOf(0));
}
