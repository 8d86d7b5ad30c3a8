import type { DuckDBConnection, DuckDBResult } from '@duckdb/node-api';
import type { Node } from 'libpg-query';
import { hasCode } from '../../base/errors.ts';
import type { TableName } from '../../model/table-name.ts';
import type { AsOf, Prune, TableView } from '../../tables.ts';
import { as, rewrite, walk } from '../ast.ts';
import { showUserTables } from '../catalog/user-relations.ts';
import { fromDuckdb } from '../duckdb-errors.ts';
import { canceled, notSupported, SqlError } from '../errors.ts';
import { aliasRules } from '../passes/aliases.ts';
import { castRules } from '../passes/casts.ts';
import { columnNameRules } from '../passes/column-names.ts';
import { takeCountedLimit } from '../passes/counted-limit.ts';
import { functionRulesAt } from '../passes/functions.ts';
import { takeLanguageCalls } from '../passes/language-calls.ts';
import { asksCatalog, namesOthers, relationRules } from '../passes/relations.ts';
import { print } from '../print/printer.ts';
import { tableSchema } from '../print/select.ts';
import { fill, type Hole } from '../print/template.ts';
import { type Bounds, boundsOf, boundsQuery } from '../prune.ts';
import { chunkOfDuckdb, sliceOf } from '../row-chunk.ts';
import type { SqlResult, SqlStatement } from '../sql-session.ts';
import { tableSql } from '../tables.ts';
import { travelTimeQuery, versionOf } from '../travel-constants.ts';
import { bindTexts } from './bind.ts';
import {
  type DescribedSelect,
  describeSelect,
  failureOf,
  nowSql,
  type RewrittenSelect,
  type SelectContext,
  type SelectInput,
} from './describe-select.ts';
import { type LanguageTable, openLanguageTable } from './language-tables.ts';
import { columnsOf } from './statement.ts';

// SELECT (and VALUES, WITH, set operations): rewritten for DuckDB, described over empty tables, run over a pinned view
// of each table that it names. Each run has a connection of its own, so that a result that is read slowly, or not to its
// end, is in nobody's way.

/** Rewrites and checks the statement. Throws SqlError. */
export async function selectStatement(input: SelectInput, context: SelectContext): Promise<SqlStatement> {
  // Only a name that is none of Firn's makes it worth asking which tables the tenant loaded.
  const userTables = namesOthers(input.node) ? ((await context.tables.userTables?.list()) ?? []) : [];
  const { node, calls } = takeLanguageCalls(input.node, input.positionOf);
  const select = rewritten({ ...input, node, calls, userTables }, context.database);
  const described = await describeSelect(select, context);
  return {
    kind: 'select',
    parameterTypes: described.parameters.map((type) => type ?? null),
    describe: async () => described.columns,
    execute: (values, signal) => execute(select, described, context, values, signal),
  };
}

function rewritten(input: Omit<RewrittenSelect, 'root' | 'rowsWanted'>, database: string): RewrittenSelect {
  const { node, positionOf, travels, userTables, calls } = input;
  const named = rewrite(node, columnNameRules);
  const root = rewrite(named, [
    ...relationRules(
      named,
      positionOf,
      database,
      userTables.map(({ name }) => name),
      calls.length,
    ),
    ...functionRulesAt(positionOf),
    ...castRules,
    ...aliasRules,
  ]);
  const tables = new Set<number | undefined>();
  walk(root, (each) => {
    const table = as(each, 'RangeVar');
    if (table?.schemaname === tableSchema) tables.add(table.location);
  });
  for (const location of travels.keys())
    if (!tables.has(location)) throw notSupported('AS OF of anything but a table', positionOf(location));
  // EXPLAIN shows what DuckDB would do with it.
  const counted = input.prefix === '' ? takeCountedLimit(root) : undefined;
  return { ...input, root: counted?.root ?? root, rowsWanted: counted?.rows };
}

type Values = readonly (string | null)[];

async function execute(
  select: RewrittenSelect,
  described: DescribedSelect,
  context: SelectContext,
  values: Values,
  signal: AbortSignal,
): Promise<SqlResult> {
  await using stack = new AsyncDisposableStack();
  const lease = stack.use(await context.lease());
  const { connection } = lease;
  const limit = limited(connection, signal, context.statementTimeoutMs());
  stack.use(limit);
  const { template } = described;
  const { userTables } = context.tables;
  if (userTables && asksCatalog(select.node)) await connection.run(showUserTables(await userTables.list()));
  const types = described.parameters.map((type, index) => select.declaredTypes[index] ?? type);
  const nowUs = context.nowUs();
  const bounds = boundsOf(select.root);
  const views = new Map<string, TableView>();
  for (const part of template.parts) {
    if (typeof part !== 'string' && part.kind === 'user-table') {
      const view = views.has(userViewName(part.name)) ? undefined : await userTables?.open(part.name, signal);
      if (view) views.set(userViewName(part.name), stack.use(view));
    }
    if (typeof part === 'string' || part.kind !== 'table' || views.has(viewName(part, select))) continue;
    const prune = await pruneOf(select, bounds.get(part.table) ?? [], connection, nowUs, values);
    const asOf = await asOfOf(select, part, connection, nowUs);
    const view = await openView(context, part.table, { ...prune, ...(asOf && { asOf }) }, signal);
    views.set(viewName(part, select), stack.use(view));
  }
  const answers: LanguageTable[] = [];
  const asked = { connection, languages: context.languages, nowUs, values, signal };
  for (const [index, call] of select.calls.entries())
    answers.push(stack.use(await openLanguageTable(select, call, index, asked)));
  const filled = fill(template, (hole) =>
    hole.kind === 'now'
      ? nowSql(nowUs)
      : hole.kind === 'user-table'
        ? (views.get(userViewName(hole.name))?.from ?? '')
        : hole.kind === 'language'
          ? (answers[hole.index]?.from ?? '')
          : tableSql(hole.table, views.get(viewName(hole, select))?.from ?? ''),
  );
  const failed = (error: unknown): SqlError => limit.reason() ?? failureOf(select, filled, error);
  try {
    limit.check();
    const prepared = await connection.prepare(select.prefix + filled.sql);
    stack.defer(() => prepared.destroySync());
    bindTexts(prepared, values, types);
    const result = await prepared.stream();
    const open = stack.move();
    const ended = (): void => {
      lease.reusable = limit.reason() === undefined;
    };
    return streamed(result, failed, {
      rowsMax: context.rowsMax,
      rowsWanted: select.rowsWanted ?? Number.POSITIVE_INFINITY,
      ended,
      interrupt: () => connection.interrupt(),
      close: () => open.disposeAsync(),
    });
  } catch (error) {
    throw failed(error);
  }
}

const userViewName = (name: string): string => `user ${name}`;

type TableHole = Extract<Hole, { readonly kind: 'table' }>;

/** References to one table share a view, unless they ask for a state of their own. */
const viewName = ({ table, location = 0 }: TableHole, { travels }: RewrittenSelect): string =>
  travels.has(location) ? `${table} ${location}` : table;

async function openView(
  { tables }: SelectContext,
  table: TableName,
  prune: Prune,
  signal: AbortSignal,
): Promise<TableView> {
  try {
    return await tables.open(table, prune, signal);
  } catch (error) {
    if (!prune.asOf || !(hasCode(error, 'not-found') || hasCode(error, 'unsupported'))) throw error;
    const sqlstate = error.code === 'not-found' ? '22023' : '0A000';
    throw new SqlError(sqlstate, error.message, { hint: error.hint, cause: error });
  }
}

/** The state that a reference to a table asks for. */
async function asOfOf(
  { positionOf, travels }: RewrittenSelect,
  { location = 0 }: TableHole,
  connection: DuckDBConnection,
  nowUs: number,
): Promise<AsOf | undefined> {
  const travel = travels.get(location);
  if (travel === undefined) return undefined;
  if (travel.kind === 'version') return versionOf(travel.expression);
  const printed = print(travelTimeQuery(travel), {
    positionOf: () => positionOf(location),
    parameterTypes: [],
  });
  const filled = fill(printed, () => nowSql(nowUs));
  try {
    const [row] = (await connection.runAndReadAll(filled.sql)).getRows();
    return { kind: 'time', us: Number(row?.[0]) };
  } catch (error) {
    throw fromDuckdb(error, filled.sql, () => positionOf(location));
  }
}

async function pruneOf(
  { positionOf }: RewrittenSelect,
  bounds: readonly Bounds[],
  connection: DuckDBConnection,
  nowUs: number,
  values: Values,
): Promise<Prune> {
  const query = boundsQuery(bounds);
  if (!query) return {};
  const { sql } = fill(print(query.select, { positionOf, parameterTypes: [] }), () => nowSql(nowUs));
  try {
    const prepared = await connection.prepare(sql);
    bindTexts(prepared, values, []);
    const [row] = await (await prepared.run()).getRows();
    return row ? query.read(row) : {};
  } catch {
    // A bound that can't be computed alone restricts nothing; if it is wrong, the statement itself says so.
    return {};
  }
}

const interruptAgainMs = 100;

/** Interrupts the connection when the signal is aborted or the time is up, and says which it was. */
function limited(connection: DuckDBConnection, signal: AbortSignal, timeoutMs: number) {
  let timedOut = false;
  let again: NodeJS.Timeout | undefined;
  // DuckDB forgets an interruption that comes before the statement has begun, so it is repeated.
  const interrupt = (): void => {
    clearTimeout(again);
    connection.interrupt();
    again = setTimeout(interrupt, interruptAgainMs);
  };
  signal.addEventListener('abort', interrupt);
  const timer = setTimeout(() => {
    timedOut = true;
    interrupt();
  }, timeoutMs);
  const reason = (): SqlError | undefined => {
    if (signal.aborted) return canceled('user request');
    return timedOut ? canceled('statement timeout') : undefined;
  };
  return {
    reason,
    check: () => {
      const error = reason();
      if (error) throw error;
    },
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      clearTimeout(again);
      signal.removeEventListener('abort', interrupt);
    },
  };
}

interface Streaming {
  readonly rowsMax: number;
  /** More are not read. */
  readonly rowsWanted: number;
  /** The result was read to its end. */
  readonly ended: () => void;
  /** Nobody wants the rest of it. */
  readonly interrupt: () => void;
  readonly close: () => Promise<void>;
}

function streamed(
  result: DuckDBResult,
  failed: (error: unknown) => SqlError,
  { rowsMax, rowsWanted, ended, interrupt, close }: Streaming,
): SqlResult {
  const columns = columnsOf(result);
  return {
    columns,
    tag: 'SELECT',
    chunks: async function* () {
      // The next chunk is fetched while this one is written. When that fails, it is told when the chunk is asked for.
      const fetch = (): ReturnType<typeof result.fetchChunk> => {
        const fetched = result.fetchChunk();
        fetched.catch(() => undefined);
        return fetched;
      };
      let next = fetch();
      let fetching = true;
      let rows = 0;
      try {
        for (;;) {
          const chunk = await next;
          fetching = false;
          if (!chunk || chunk.rowCount === 0) return ended();
          const read = chunkOfDuckdb(chunk, columns);
          const wanted = Math.min(chunk.rowCount, rowsWanted - rows);
          rows += wanted;
          if (rows > rowsMax) throw tooManyRows(rowsMax);
          next = fetch();
          fetching = true;
          yield wanted < chunk.rowCount ? sliceOf(read, 0, wanted) : read;
          if (rows === rowsWanted) return;
        }
      } catch (error) {
        fetching = false;
        throw error instanceof SqlError ? error : failed(error);
      } finally {
        if (fetching) {
          interrupt();
          await next.catch(() => undefined);
        }
      }
    },
    [Symbol.asyncDispose]: close,
  };
}

const tooManyRows = (rowsMax: number): SqlError =>
  new SqlError('54000', `the result has more than ${rowsMax} rows (query.rowsMax)`, {
    hint: 'LIMIT it, or aggregate',
  });

/** `SELECT` inside `EXPLAIN`, `DECLARE` and `COPY`. */
export const isSelect = (node: Node | undefined): boolean => as(node, 'SelectStmt') !== undefined;
