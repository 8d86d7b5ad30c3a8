import type { TableName } from '../model/table-name.ts';
import { emptyRows } from '../schema/duckdb-types.ts';
import { tableSchemas } from '../schema/tables.ts';

// What Firn's tables look like in SQL: the columns of the schema, and second names for some that clients of other lakes
// use (`timeend` is Grafana's, of annotations). `SELECT *` gives each column once, under its own name.

/** Second names of columns, by table. */
export const columnAliases: Readonly<Record<TableName, Readonly<Record<string, string>>>> = {
  metrics: { __name__: 'name', time: 'timestamp' },
  logs: { time: 'timestamp', message: 'line' },
  spans: { time: 'timestamp' },
  events: { time: 'timestamp' },
  metrics_1m: { __name__: 'name', time: 'timestamp' },
  gaps: { time: 'timestamp', timeend: 'end_timestamp' },
  exemplars: { __name__: 'name', time: 'timestamp' },
  metrics_rollup_1m: { __name__: 'name', time: 'timestamp' },
  metrics_rollup_1h: { __name__: 'name', time: 'timestamp' },
};

/** Text columns that hold JSON, and are JSON in SQL. */
export const jsonColumns: ReadonlySet<string> = new Set([
  'labels',
  'attributes',
  'resource',
  'scope',
  'events',
  'links',
  'histogram',
  'exemplar_labels',
]);

/** `plain` is without the second names; `jsonAsText`: columns of JSON may be text, as they are stored. */
interface TableForm {
  readonly plain?: boolean | undefined;
  readonly jsonAsText?: boolean;
}

/** What stands in a FROM clause for a table whose rows `from` yields. */
export function tableSql(
  table: TableName,
  from: string,
  { plain = false, jsonAsText = false }: TableForm = {},
): string {
  const columns = tableSchemas[table].columns.map(({ name }) =>
    jsonColumns.has(name) && !jsonAsText ? `CAST("${name}" AS JSON) AS "${name}"` : `"${name}"`,
  );
  const aliases = Object.entries(plain ? {} : columnAliases[table]).map(
    ([alias, name]) => `"${name}" AS "${alias}"`,
  );
  return `(SELECT ${[...columns, ...aliases].join(', ')} FROM ${from})`;
}

/** The same without a row, for describing a statement: with the second names and types that it has when it runs. */
export function emptyTableSql(table: TableName, plain = false): string {
  return tableSql(table, `(${emptyRows(tableSchemas[table])})`, { plain });
}
