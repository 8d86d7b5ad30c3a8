import type { DuckDBConnection, DuckDBPreparedStatement } from '@duckdb/node-api';
import { hasCode } from '../../base/errors.ts';
import type { TableName } from '../../model/table-name.ts';
import type { AsOf, Prune, TableView, UserTableInfo } from '../../tables.ts';
import { as, rewrite, walk } from '../ast.ts';
import { interruptOnAbort } from '../duckdb/interrupt.ts';
import { fromDuckdb } from '../duckdb-errors.ts';
import { canceled, notSupported, SqlError } from '../errors.ts';
import { aliasRules } from '../passes/aliases.ts';
import { castRules, shownObjects } from '../passes/casts.ts';
import { columnNameRules } from '../passes/column-names.ts';
import { takeCountedLimit } from '../passes/counted-limit.ts';
import { functionRulesAt } from '../passes/functions.ts';
import { needsNoJson } from '../passes/json-as-text.ts';
import { takeLanguageCalls } from '../passes/language-calls.ts';
import { assumedTypes } from '../passes/parameter-types.ts';
import { asksCatalog, namesOthers, relationRules } from '../passes/relations.ts';
import { sequenceRule } from '../passes/sequences.ts';
import { isSingleRow } from '../passes/single-row.ts';
import { expandViews, isOwnLocation } from '../passes/views.ts';
import { print } from '../print/printer.ts';
import { tableSchema } from '../print/select.ts';
import { fill, type Hole } from '../print/template.ts';
import { type Bounds, boundsOf, boundsQuery } from '../prune.ts';
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
  showTables,
  tempTableSql,
} from './describe-select.ts';
import { type LanguageContext, type LanguageTable, openLanguageTable } from './language-tables.ts';
import { remembered } from './remembered.ts';

// A query, or a statement that changes a temporary table: rewritten for DuckDB, described over empty tables, run over a
// pinned view of each table that it names. Each run has a connection of its own, so that a result that is read slowly, or
// not to its end, is in nobody's way.

/** A statement that can be run. */
export interface Query {
  /** DuckDB's types of its parameters; undefined where it leaves one open. */
  readonly parameters: DescribedSelect['parameters'];
  readonly isSingleRow: boolean;
  readonly jsonAsText: boolean;
  readonly rowsWanted: number;
  /** Its columns, without running it; what is wrong with it, when that is not known yet. Throws SqlError. */
  describe(): Promise<DescribedSelect>;
  /**
   * Pins what it reads and prepares it with its parameters. `lead` stands before it instead of the prefix that it was
   * described with. Throws SqlError.
   */
  open(values: Values, signal: AbortSignal, lead?: string): Promise<OpenQuery>;
}

/** Disposing it gives back its connection and what it has pinned. */
export interface OpenQuery extends AsyncDisposable {
  readonly prepared: DuckDBPreparedStatement;
  /** What DuckDB threw, in PostgreSQL's terms; that it was cancelled, when it was. */
  failed(error: unknown): SqlError;
  /** It was read to its end: its connection may be used again. */
  ended(): void;
  interrupt(): void;
}

/** Rewrites and checks an INSERT, UPDATE or DELETE whose table is temporary, or a SELECT for one. Throws SqlError. */
export async function analyzeQuery(input: SelectInput, context: SelectContext): Promise<Query> {
  return describedQuery(await analyzed(input, context), context);
}

/** Rewrites a SELECT whose rows are streamed; it may be found wrong only when it runs. Throws SqlError. */
export async function analyzeSelect(input: SelectInput, context: SelectContext): Promise<Query> {
  const select = await remembered(input, context, () => {
    // EXPLAIN shows what DuckDB would do with it.
    const counted = input.prefix === '' ? takeCountedLimit(input.node) : undefined;
    return analyzed({ ...input, node: counted?.select ?? input.node }, context, counted?.rows);
  });
  const template = select.hasParameters ? undefined : select.print([]);
  // One over files is described over tables without rows first: then a wrong one pins nothing.
  if (!template || input.isPrepared || !template.parts.every(isWithoutFiles))
    return describedQuery(select, context);
  return queryOf(select, { template, parameters: [] }, context);
}

const isWithoutFiles = (part: string | Hole): boolean =>
  typeof part === 'string' || part.kind === 'now' || part.kind === 'temp-table';

async function analyzed(
  asked: SelectInput,
  context: SelectContext,
  rowsWanted = Number.POSITIVE_INFINITY,
): Promise<RewrittenSelect> {
  const input = { ...asked, node: expandViews(asked.node, context.temp), positionOf: ownPosition(asked) };
  // Only a name that is none of Firn's makes it worth asking which tables the tenant loaded.
  const userTables = namesOthers(input.node) ? await userTablesOf(context) : [];
  const { node, calls } = takeLanguageCalls(input.node, input.positionOf);
  return rewritten({ ...input, node }, { calls, userTables, rowsWanted }, context);
}

/** What is in the query of a view has no place in the client's text. */
const ownPosition =
  ({ positionOf }: SelectInput): SelectInput['positionOf'] =>
  (location) =>
    location !== undefined && isOwnLocation(location) ? positionOf(location) : undefined;

export const userTablesOf = async ({ tables }: SelectContext): Promise<readonly UserTableInfo[]> =>
  (await tables.userTables?.list()) ?? [];

/** Throws SqlError for what DuckDB does not accept. */
export async function describedQuery(select: RewrittenSelect, context: SelectContext): Promise<Query> {
  return queryOf(select, await describeSelect(select, context), context);
}

const queryOf = (select: RewrittenSelect, accepted: Accepted, context: SelectContext): Query => ({
  parameters: accepted.parameters,
  isSingleRow: select.isSingleRow,
  jsonAsText: select.jsonAsText,
  rowsWanted: select.rowsWanted,
  describe: () => describeSelect(select, context),
  open: (values, signal, lead) => open(select, accepted, context, { values, signal, lead }),
});

/** What must be known of a statement to run it. */
type Accepted = Pick<DescribedSelect, 'template' | 'parameters'>;

function rewritten(
  input: SelectInput,
  known: Pick<RewrittenSelect, 'calls' | 'userTables' | 'rowsWanted'>,
  { database, temp }: SelectContext,
): RewrittenSelect {
  const { node, positionOf, travels } = input;
  const { calls, userTables } = known;
  const named = rewrite(node, columnNameRules);
  const names = {
    database,
    userTables: userTables.map(({ name }) => name),
    tempTables: temp.list().map(({ name }) => name),
    calls: calls.length,
  };
  const rules = [
    ...relationRules(named, positionOf, names),
    sequenceRule(temp.sequences, positionOf),
    ...functionRulesAt(positionOf),
    ...castRules,
    ...aliasRules,
  ];
  const root = shownObjects(rewrite(named, rules));
  const tables = new Set<number | undefined>();
  let hasParameters = calls.length > 0;
  walk(root, (each) => {
    const table = as(each, 'RangeVar');
    if (table?.schemaname === tableSchema) tables.add(table.location);
    hasParameters ||= as(each, 'ParamRef') !== undefined;
  });
  for (const location of travels.keys())
    if (!tables.has(location)) throw notSupported('AS OF of anything but a table', positionOf(location));
  return {
    ...input,
    ...{ ...known, hasParameters, bounds: boundsOf(root), asksCatalog: asksCatalog(root) },
    jsonAsText: tables.size > 0 && needsNoJson(root),
    isSingleRow: input.prefix === '' && isSingleRow(root),
    assumedTypes: hasParameters ? assumedTypes(root) : [],
    print: (parameterTypes) => print(root, { positionOf, parameterTypes }),
  };
}

export type Values = readonly (string | null)[];

interface Asked {
  readonly values: Values;
  readonly signal: AbortSignal;
  readonly lead: string | undefined;
}

async function open(
  select: RewrittenSelect,
  described: Accepted,
  context: SelectContext,
  { values, signal, lead = select.prefix }: Asked,
): Promise<OpenQuery> {
  await using stack = new AsyncDisposableStack();
  const lease = stack.use(await context.lease());
  const { connection } = lease;
  const limit = stack.use(limited(connection, signal, context.statementTimeoutMs()));
  if (select.asksCatalog) await showTables(connection, context);
  const types = described.parameters.map((type, index) => select.declaredTypes[index] ?? type);
  const nowUs = context.nowUs();
  const asked = { connection, languages: context.languages, nowUs, values, signal };
  const views = await openViews(select, described, context, asked, stack);
  const answers: LanguageTable[] = [];
  for (const [index, call] of select.calls.entries())
    answers.push(stack.use(await openLanguageTable(select, call, index, asked)));
  const filled = fill(described.template, (hole) =>
    hole.kind === 'now'
      ? nowSql(nowUs)
      : hole.kind === 'user-table'
        ? (views.get(userViewName(hole.name))?.from ?? '')
        : hole.kind === 'temp-table'
          ? tempTableSql(context, hole.name)
          : hole.kind === 'language'
            ? (answers[hole.index]?.from ?? '')
            : tableSql(hole.table, views.get(viewName(hole, select))?.from ?? '', {
                ...{ plain: hole.plain, jsonAsText: select.jsonAsText },
              }),
  );
  const failed = (error: unknown): SqlError =>
    limit.reason() ?? failureOf({ ...select, prefix: lead }, filled, error);
  try {
    limit.check();
    // One that every run would prepare from the same text stays prepared.
    const isConstant = described.template.parts.length === 1 && !select.asksCatalog;
    const { prepared } = stack.use(await lease.prepare(lead + filled.sql, isConstant));
    bindTexts(prepared, values, types);
    const owned = stack.move();
    return {
      prepared,
      failed,
      ended: () => {
        lease.reusable = limit.reason() === undefined;
      },
      interrupt: () => connection.interrupt(),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (error) {
    throw failed(error);
  }
}

/** Pins the tables that the statement names, each once. */
async function openViews(
  select: RewrittenSelect,
  { template }: Accepted,
  context: SelectContext,
  { connection, nowUs, values, signal }: LanguageContext,
  stack: AsyncDisposableStack,
): Promise<ReadonlyMap<string, TableView>> {
  const { userTables } = context.tables;
  const views = new Map<string, TableView>();
  for (const part of template.parts) {
    if (typeof part !== 'string' && part.kind === 'user-table') {
      const view = views.has(userViewName(part.name)) ? undefined : await userTables?.open(part.name, signal);
      if (view) views.set(userViewName(part.name), stack.use(view));
    }
    if (typeof part === 'string' || part.kind !== 'table' || views.has(viewName(part, select))) continue;
    const prune = await pruneOf(select, select.bounds.get(part.table) ?? [], connection, nowUs, values);
    const asOf = await asOfOf(select, part, connection, nowUs);
    const view = await openView(context, part.table, { ...prune, ...(asOf && { asOf }) }, signal);
    views.set(viewName(part, select), stack.use(view));
  }
  return views;
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

/** Interrupts the connection when the signal is aborted or the time is up, and says which it was. */
function limited(connection: DuckDBConnection, signal: AbortSignal, timeoutMs: number) {
  let timedOut = false;
  const ended = new AbortController();
  const interruption = interruptOnAbort(connection, AbortSignal.any([signal, ended.signal]));
  const timer = setTimeout(() => {
    timedOut = true;
    ended.abort();
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
      interruption[Symbol.dispose]();
    },
  };
}
