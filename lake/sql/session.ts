import type { Node } from 'libpg-query';
import type { Clock } from '../base/clock.ts';
import type { Tables } from '../tables.ts';
import { as } from './ast.ts';
import { installCatalog } from './catalog/catalog.ts';
import { mapSql } from './catalog/view.ts';
import { type Engine, sqlText } from './duckdb/engine.ts';
import type { Languages } from './languages.ts';
import { createParameters, millisecondsOf, type Parameters } from './parameters.ts';
import { type ParsedStatement, parseStatements } from './parse.ts';
import type { SqlSession, SqlStatement } from './sql-session.ts';
import { alterStatement } from './statements/alter-temp.ts';
import { commandStatement, refusal } from './statements/commands.ts';
import { createConnections } from './statements/connections.ts';
import { copyStatement } from './statements/copy.ts';
import { copyFromStatement } from './statements/copy-from.ts';
import { tempTableStatement } from './statements/create-temp.ts';
import { createCursors } from './statements/cursors.ts';
import type { SelectContext, SelectInput } from './statements/describe-select.ts';
import { explainStatement } from './statements/explain.ts';
import { modifyStatement } from './statements/modify.ts';
import { nativeStatement } from './statements/native-select.ts';
import { createPreparedStatements } from './statements/prepared.ts';
import { isSelect, selectStatement } from './statements/select.ts';
import { applying, takeSettings } from './statements/set-config.ts';
import { sequenceStatement } from './statements/temp-sequence.ts';
import { viewStatement } from './statements/temp-view.ts';
import { createTempTables } from './temp-tables.ts';

export interface SqlLimits {
  readonly statementBytesMax: number;
  readonly statementTimeoutMs: number;
  readonly cursorsMax: number;
  /** Statements that PREPARE has made. */
  readonly preparedMax: number;
  /** Rows of one result (54000); 0: no limit. */
  readonly rowsMax: number;
}

const sqlLimits: SqlLimits = {
  statementBytesMax: 1024 * 1024,
  statementTimeoutMs: 120_000,
  cursorsMax: 100,
  preparedMax: 1000,
  rowsMax: 0,
};

/** What a session's statements are answered from. */
export interface SqlSource {
  readonly tables: Tables;
  /** For promql() and logql(); absent: there are none. */
  readonly languages?: Languages | undefined;
}

export interface SqlSessionOptions extends SqlSource {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly user: string;
  readonly database: string;
  /** Run-time parameters that the client asked for when it connected. */
  readonly startParameters?: ReadonlyMap<string, string>;
  readonly limits?: Partial<SqlLimits>;
}

type DeclaredTypes = readonly (string | null)[];

/** Engines that have the catalog already, or are getting it. */
const catalogs = new WeakMap<Engine, Promise<void>>();

/**
 * One client's SQL over one tenant's tables, in PostgreSQL's dialect; only temporary tables can be written. Statements are
 * parsed with PostgreSQL's parser, rewritten and printed for DuckDB, and run in the tenant's locked engine.
 */
export async function openSqlSession(options: SqlSessionOptions): Promise<SqlSession> {
  const { engine, user, database } = options;
  const limits = { ...sqlLimits, ...options.limits };
  await catalogOf(engine, database);
  const parameters = createParameters(user);
  for (const [name, value] of options.startParameters ?? []) parameters.start(name, value);
  const cursors = createCursors(limits.cursorsMax);
  const facts = (): string => factsSql(user, database, parameters.changed());
  const connections = createConnections(engine.sessions, facts, parameters.version);
  const temp = createTempTables(engine);
  const context = contextOf(options, limits, { lease: connections.lease, temp, parameters });
  const prepared = createPreparedStatements(limits.preparedMax);
  const commands = { parameters, closeCursor: cursors.close, prepared, temp };
  const inputOf = (node: Node, parsed: ParsedStatement, declaredTypes?: DeclaredTypes): SelectInput => ({
    ...{ node, positionOf: parsed.positionOf, travels: parsed.travels, prefix: '' },
    ...{ declaredTypes: declaredTypes ?? [], isPrepared: declaredTypes !== undefined },
  });

  async function query(input: SelectInput, parsed: ParsedStatement): Promise<SqlStatement> {
    if (!isSelect(input.node)) throw refusal(as(input.node, 'ExplainStmt')?.query ?? input.node, parsed);
    const { node, settings } = takeSettings(input.node);
    return applying(await selectStatement({ ...input, node }, context), settings, parameters);
  }

  async function statementOf(
    node: Node,
    parsed: ParsedStatement,
    declaredTypes?: DeclaredTypes,
  ): Promise<SqlStatement> {
    const input = inputOf(node, parsed, declaredTypes);
    const select = (each: Node): Promise<SqlStatement> => query({ ...input, node: each }, parsed);
    const known =
      (await explainStatement(input, context)) ??
      commandStatement(node, parsed, commands) ??
      (await tempTableStatement(input, context)) ??
      (await viewStatement(input, parsed, context)) ??
      sequenceStatement(input, context) ??
      alterStatement(input, context) ??
      (await modifyStatement(input, context)) ??
      copyFromStatement(input, context) ??
      (await prepared.statement(node, (each, types) => statementOf(each, parsed, types))) ??
      (await cursors.statement(node, select)) ??
      (await copyStatement(node, parsed, select));
    return known ?? select(node);
  }

  return {
    parse: async (text) =>
      parseStatements(text, limits.statementBytesMax).map((parsed) => ({
        analyze: async (declaredTypes) =>
          parsed.node
            ? statementOf(parsed.node, parsed, declaredTypes)
            : nativeStatement(parsed, context, declaredTypes ?? []),
      })),
    get parameters() {
      return parameters.reported;
    },
    transaction: async (event) => {
      const { kind } = event;
      if (kind === 'begin' || kind === 'commit' || kind === 'rollback') parameters.transaction(kind);
      if (kind === 'commit' || kind === 'rollback') cursors.transactionEnded();
      await temp.transaction(event);
    },
    [Symbol.asyncDispose]: async () => {
      await cursors[Symbol.asyncDispose]();
      await temp[Symbol.asyncDispose]();
      connections[Symbol.dispose]();
    },
  };
}

/** What the session's statements share. */
function contextOf(
  { tables, languages, database, clock }: SqlSessionOptions,
  limits: SqlLimits,
  own: Pick<SelectContext, 'lease' | 'temp'> & { readonly parameters: Parameters },
): SelectContext {
  const { lease, temp, parameters } = own;
  return {
    ...{ tables, languages, database, lease, temp },
    // A client can ask for less time than the limit, not for more; 0 is the limit.
    statementTimeoutMs: () => {
      const { name, value } = parameters.show('statement_timeout');
      return Math.min(millisecondsOf(name, value) || limits.statementTimeoutMs, limits.statementTimeoutMs);
    },
    rowsMax: limits.rowsMax || Number.POSITIVE_INFINITY,
    nowUs: () => Math.floor(clock.nowMs() * 1000),
  };
}

async function catalogOf(engine: Engine, database: string): Promise<void> {
  const install = async (): Promise<void> => {
    const connection = await engine.connect();
    try {
      await installCatalog(connection, { database });
    } finally {
      connection.closeSync();
    }
  };
  const installed = catalogs.get(engine) ?? install();
  catalogs.set(engine, installed);
  await installed;
}

/** Statements that tell a connection who asks. */
function factsSql(
  user: string,
  database: string,
  parameters: ReadonlyMap<string, string> | undefined,
): string {
  const facts = [`firn_user = ${sqlText(user)}`, `firn_database = ${sqlText(database)}`];
  if (parameters) facts.push(`firn_parameters = ${mapSql([...parameters])}`);
  return facts.map((fact) => `SET VARIABLE ${fact}`).join('; ');
}
