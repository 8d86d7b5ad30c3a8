import type { DuckDBConnection } from '@duckdb/node-api';
import type { Node } from 'libpg-query';
import { type TableName, tableNames } from '../../model/table-name.ts';
import { type Rule, rewrite } from '../ast.ts';
import { SqlError } from '../errors.ts';
import { parseStatements } from '../parse.ts';
import { castRules } from '../passes/casts.ts';
import { functionRules } from '../passes/functions.ts';
import { relationRules } from '../passes/relations.ts';
import { type Bounds, boundsOf, type TableBounds } from '../prune.ts';
import type { JsonNode } from './check.ts';
import { deserialize } from './native.ts';

// What the conditions of a statement of DuckDB say about time and names (prune.ts). They are printed as a SELECT of
// PostgreSQL's and looked at as those are; what PostgreSQL can't read restricts nothing.

export async function nativeBounds(
  connection: DuckDBConnection,
  statement: JsonNode,
  { database, tempTables }: { readonly database: string; readonly tempTables: readonly string[] },
): Promise<TableBounds> {
  const references = new Map<string, number>();
  const filtered: JsonNode[] = [];
  see(statement, (node) => {
    const name = node.type === 'BASE_TABLE' ? lakeTable(node) : undefined;
    if (name !== undefined) references.set(name, (references.get(name) ?? 0) + 1);
    const from = node.from_table as JsonNode | undefined;
    if (node.type === 'SELECT_NODE' && node.where_clause && from?.type === 'BASE_TABLE' && lakeTable(from))
      filtered.push(selectOf(node, from));
  });
  if (filtered.length === 0) return new Map();
  const found = new Map<TableName, Bounds[]>();
  const sql = await deserialize(connection, filtered);
  for (const { node, positionOf } of parseStatements(sql, sql.length * 4)) {
    const root = node && rewritten(node, relationRules(node, positionOf, { database, tempTables }));
    if (!root) continue;
    for (const [name, bounds] of boundsOf(root)) found.set(name, [...(found.get(name) ?? []), ...bounds]);
  }
  return new Map([...found].filter(([name, bounds]) => bounds.length === references.get(name)));
}

/** Undefined when it has functions that are DuckDB's alone. */
function rewritten(node: Node, rules: readonly Rule[]): Node | undefined {
  try {
    return rewrite(node, [...rules, ...functionRules, ...castRules]);
  } catch (error) {
    if (error instanceof SqlError) return undefined;
    throw error;
  }
}

/** A name of WITH may be the same; then the table has more references than bounds, and none counts. */
const lakeTable = ({ table_name: name }: JsonNode): TableName | undefined =>
  tableNames.find((each) => each === name);

const one = {
  ...{ class: 'CONSTANT', type: 'VALUE_CONSTANT', alias: '', query_location: 0 },
  value: { type: { id: 'INTEGER', type_info: null }, is_null: false, value: 1 },
};

/** The same query with nothing but this table and these conditions. */
const selectOf = (query: JsonNode, from: JsonNode): JsonNode => ({
  node: {
    ...query,
    ...{ modifiers: [], cte_map: { map: [] }, group_expressions: [], group_sets: [] },
    ...{ having: null, sample: null, qualify: null, aggregate_handling: 'STANDARD_HANDLING' },
    select_list: [one],
    from_table: { ...from, schema_name: 'public', catalog_name: '', alias: from.alias || from.table_name },
  },
  named_param_map: [],
});

function see(value: unknown, visit: (node: JsonNode) => void): void {
  if (Array.isArray(value)) for (const item of value) see(item, visit);
  else if (typeof value === 'object' && value !== null) {
    visit(value as JsonNode);
    for (const child of Object.values(value)) see(child, visit);
  }
}
