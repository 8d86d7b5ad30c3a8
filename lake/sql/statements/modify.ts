import type { Node, RangeVar } from 'libpg-query';
import { as, modificationOf, returningOf } from '../ast.ts';
import { SqlError } from '../errors.ts';
import { tempSchema } from '../passes/relations.ts';
import { chunkOfDuckdb } from '../row-chunk.ts';
import type { SqlResult, SqlStatement } from '../sql-session.ts';
import { constraintName } from '../temp-definition.ts';
import type { TempTable, TempTables } from '../temp-tables.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { analyzeQuery, type Query, type Values } from './query.ts';
import { chunksResult, columnsOf, done } from './statement.ts';

// INSERT, UPDATE and DELETE of temporary tables. Nothing else can be written.

const tags = { InsertStmt: 'INSERT 0', UpdateStmt: 'UPDATE', DeleteStmt: 'DELETE' } as const;

/** The temporary table that is meant; undefined when it is another table, or none. */
export function tempTarget(
  { schemaname, relname = '' }: RangeVar = {},
  temp: TempTables,
): TempTable | undefined {
  const table = schemaname === undefined || schemaname === tempSchema ? temp.find(relname) : undefined;
  if (table || schemaname !== tempSchema) return table;
  throw new SqlError('42P01', `relation "${schemaname}.${relname}" does not exist`);
}

/** The statement, or undefined when the node is none of these, or its table is not temporary. */
export async function modifyStatement(
  input: SelectInput,
  context: SelectContext,
): Promise<SqlStatement | undefined> {
  const modification = modificationOf(input.node);
  const table = modification && tempTarget(modification.statement.relation, context.temp);
  if (!table) return undefined;
  const tag = tags[modification.tag];
  const node = withColumns(withConflictColumns(input.node, table), table);
  refuseGiven(node, table);
  const query = await analyzeQuery({ ...input, node }, context);
  const returns = returningOf(modification.statement).length > 0;
  return {
    kind: 'command',
    parameterTypes: query.parameters.map((type) => type ?? null),
    describe: async () => (returns ? (await query.describe()).columns : undefined),
    execute: (values, signal) =>
      context.temp.change(table.name, async () => {
        const { rows, result } = await runQuery(query, values, signal);
        return returns ? { ...result, tag } : done(`${tag} ${rows}`);
      }),
  };
}

/** Values without a list of columns are those of the first ones, and the others get their defaults. */
function withColumns(node: Node, { columns }: TempTable): Node {
  const insert = as(node, 'InsertStmt');
  const [row] = as(insert?.selectStmt, 'SelectStmt')?.valuesLists ?? [];
  const count = as(row, 'List')?.items?.length ?? 0;
  if (!insert || insert.cols || count === 0 || count >= columns.length) return node;
  const cols = columns.slice(0, count).map(({ name }): Node => ({ ResTarget: { name, location: -1 } }));
  return { InsertStmt: { ...insert, cols } };
}

/** ON CONFLICT ON CONSTRAINT means the columns of that constraint. Throws SqlError 42704. */
function withConflictColumns(node: Node, { name: table, definition }: TempTable): Node {
  const insert = as(node, 'InsertStmt');
  const conflict = insert?.onConflictClause;
  const wanted = conflict?.infer?.conname;
  if (!insert || !conflict || !wanted) return node;
  const constraint = definition.constraints.find((each) => constraintName(table, each) === wanted);
  if (!constraint) throw new SqlError('42704', `constraint "${wanted}" for table "${table}" does not exist`);
  const indexElems = constraint.columns.map((name): Node => ({ IndexElem: { name } }));
  return { InsertStmt: { ...insert, onConflictClause: { ...conflict, infer: { indexElems } } } };
}

/** Throws SqlError 428C9 for a value of a column that is GENERATED ALWAYS. */
function refuseGiven(node: Node, { definition }: TempTable): void {
  const insert = as(node, 'InsertStmt');
  if (!insert || insert.override === 'OVERRIDING_SYSTEM_VALUE' || (!insert.cols && !insert.selectStmt))
    return;
  const names =
    insert.cols?.map((each) => as(each, 'ResTarget')?.name) ?? definition.columns.map(({ name }) => name);
  const rows = as(insert.selectStmt, 'SelectStmt')?.valuesLists?.map((row) => as(row, 'List')?.items ?? []);
  const isGiven = (name: string): boolean => {
    const place = names.indexOf(name);
    return place >= 0 && (rows?.some((row) => row[place] && !as(row[place], 'SetToDefault')) ?? true);
  };
  const given = definition.columns.find(({ name, always }) => always && isGiven(name));
  if (given)
    throw new SqlError('428C9', `cannot insert a non-DEFAULT value into column "${given.name}"`, {
      detail: `Column "${given.name}" is an identity column defined as GENERATED ALWAYS.`,
      hint: 'Use OVERRIDING SYSTEM VALUE to override.',
    });
}

/** Runs a query whose result is small, to its end. `rows` is how many rows of a table it has changed. */
export async function runQuery(
  query: Query,
  values: Values,
  signal: AbortSignal,
  lead?: string,
): Promise<{ readonly rows: number; readonly result: SqlResult }> {
  await using open = await query.open(values, signal, lead);
  try {
    const result = await open.prepared.run();
    const columns = columnsOf(result);
    const chunks = Array.from({ length: result.chunkCount }, (_, index) =>
      chunkOfDuckdb(result.getChunk(index), columns),
    );
    const rows = result.rowsChanged;
    open.ended();
    return { rows, result: chunksResult('', columns, chunks) };
  } catch (error) {
    throw open.failed(error);
  }
}
