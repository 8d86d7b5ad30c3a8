import type { Node } from 'libpg-query';
import { as } from '../ast.ts';
import { SqlError } from '../errors.ts';
import { chunkOfDuckdb, sliceOf } from '../row-chunk.ts';
import type { SqlColumn, SqlResult, SqlStatement } from '../sql-session.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { runQuery } from './modify.ts';
import { analyzeSelect, type OpenQuery, type Query } from './query.ts';
import { columnsOf } from './statement.ts';

// SELECT (and VALUES, WITH, set operations): a query whose rows are streamed.

export async function selectStatement(input: SelectInput, context: SelectContext): Promise<SqlStatement> {
  return streamedStatement(await analyzeSelect(input, context), context);
}

export const streamedStatement = (query: Query, { rowsMax }: SelectContext): SqlStatement => ({
  kind: 'select',
  parameterTypes: query.parameters.map((type) => type ?? null),
  describe: async () => (await query.describe()).columns,
  execute: async (values, signal) => {
    // Taking a row with the answer saves asking for it, and then whether there are more.
    if (query.isSingleRow) return { ...(await runQuery(query, values, signal)).result, tag: 'SELECT' };
    const described = query.jsonAsText ? (await query.describe()).columns : undefined;
    const limits = { rowsMax, rowsWanted: query.rowsWanted };
    return streamed(await query.open(values, signal), described, limits);
  },
});

interface RowLimits {
  /** More are an error. */
  readonly rowsMax: number;
  /** More are not read. */
  readonly rowsWanted: number;
}

/** Columns that were described as JSON are, although the result has them as text (query.jsonAsText). */
async function streamed(
  query: OpenQuery,
  described: readonly SqlColumn[] | undefined,
  { rowsMax, rowsWanted }: RowLimits,
): Promise<SqlResult> {
  await using stack = new AsyncDisposableStack();
  stack.use(query);
  const { failed } = query;
  const result = await query.prepared.stream().catch((error: unknown) => {
    throw failed(error);
  });
  const columns = columnsOf(result).map((column, index) =>
    column.type === 'VARCHAR' && described?.[index]?.type === 'JSON' ? { ...column, type: 'JSON' } : column,
  );
  const open = stack.move();
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
          if (!chunk || chunk.rowCount === 0) return query.ended();
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
          query.interrupt();
          await next.catch(() => undefined);
        }
      }
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

const tooManyRows = (rowsMax: number): SqlError =>
  new SqlError('54000', `the result has more than ${rowsMax} rows (query.rowsMax)`, {
    hint: 'LIMIT it, or aggregate',
  });

/** `SELECT` inside `EXPLAIN`, `DECLARE` and `COPY`. */
export const isSelect = (node: Node | undefined): boolean => as(node, 'SelectStmt') !== undefined;
