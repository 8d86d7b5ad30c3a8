import { SqlError, syntaxError } from '../errors.ts';
import { nativeBounds } from '../native/bounds.ts';
import { checkNative, type JsonNode } from '../native/check.ts';
import { deserialize, serialize, templateOf } from '../native/native.ts';
import type { ParsedStatement } from '../parse.ts';
import type { TableBounds } from '../prune.ts';
import type { SqlStatement } from '../sql-session.ts';
import type { SelectContext } from './describe-select.ts';
import { describedQuery, userTablesOf } from './query.ts';
import { streamedStatement } from './select.ts';

// A query that PostgreSQL's parser refuses and DuckDB's does not: `FROM metrics`, QUALIFY, SUMMARIZE, ASOF JOIN, …

/** Throws SqlError, PostgreSQL's refusal when DuckDB does not understand it either. */
export async function nativeStatement(
  { text, refusal = syntaxError('syntax error'), positionOf }: ParsedStatement,
  context: SelectContext,
  declaredTypes: readonly (string | null)[],
): Promise<SqlStatement> {
  // A text that PostgreSQL's parser could not hold is not DuckDB's either.
  if (refusal.sqlstate !== '42601') throw refusal;
  const userTables = await userTablesOf(context);
  const names = {
    database: context.database,
    userTables: userTables.map(({ name }) => name),
    tempTables: context.temp.list().map(({ name }) => name),
  };
  using lease = await context.lease();
  const { connection } = lease;
  const [statement, ...more] = await serialize(connection, text, refusal);
  if (!statement || more.length > 0)
    throw new SqlError('42601', 'statements of DuckDB go one at a time', { hint: 'send each alone' });
  const checked = checkNative(statement, names);
  const template = templateOf(await deserialize(connection, [checked.tree]), checked);
  const bounds: TableBounds = await nativeBounds(connection, statement as JsonNode, names);
  lease.reusable = true;
  const query = await describedQuery(
    {
      ...{ prefix: '', positionOf, travels: new Map(), declaredTypes, calls: [], userTables, bounds },
      ...{
        hasParameters: true,
        assumedTypes: [],
        jsonAsText: false,
        isSingleRow: false,
        rowsWanted: Number.POSITIVE_INFINITY,
      },
      asksCatalog: checked.asksCatalog,
      print: () => template,
    },
    context,
  );
  return streamedStatement(query, context);
}
