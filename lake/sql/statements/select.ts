import type { Node } from 'libpg-query';
import { as } from '../ast.ts';
import { SqlError } from '../errors.ts';
import { chunkOfDuckdb } from '../row-chunk.ts';
import type { SqlResult, SqlStatement } from '../sql-session.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { analyzeQuery, type OpenQuery, type Query } from './query.ts';
import { columnsOf } from './statement.ts';

// SELECT (and VALUES, WITH, set operations): a query whose rows are streamed.

export const selectStatement = async (input: SelectInput, context: SelectContext): Promise<SqlStatement> =>
  streamedStatement(await analyzeQuery(input, context), context);

export const streamedStatement = ({ described, open }: Query, { rowsMax }: SelectContext): SqlStatement => ({
  kind: 'select',
  parameterTypes: described.parameters.map((type) => type ?? null),
  describe: async () => described.columns,
  execute: async (values, signal) => streamed(await open(values, signal), rowsMax),
});

async function streamed(query: OpenQuery, rowsMax: number): Promise<SqlResult> {
  await using stack = new AsyncDisposableStack();
  stack.use(query);
  const { failed } = query;
  const result = await query.prepared.stream().catch((error: unknown) => {
    throw failed(error);
  });
  const columns = columnsOf(result);
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
          rows += chunk.rowCount;
          if (rows > rowsMax) throw tooManyRows(rowsMax);
          next = fetch();
          fetching = true;
          yield chunkOfDuckdb(chunk, columns);
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
