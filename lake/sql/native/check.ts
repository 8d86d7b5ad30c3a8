import { randomBytes } from 'node:crypto';
import { type TableName, tableNames } from '../../model/table-name.ts';
import { catalogRelationOf } from '../catalog/catalog.ts';
import { catalogFunctions } from '../catalog/functions.ts';
import { catalogSchema } from '../catalog/view.ts';
import { notSupported, SqlError } from '../errors.ts';
import { deniedFunctions } from '../passes/function-names.ts';
import { tempSchema } from '../passes/relations.ts';
import type { Hole } from '../print/template.ts';
import { columnAliases } from '../tables.ts';
import { clockFunctions, nativeFunctions, nativeTableFunctions } from './functions.ts';

// A statement in DuckDB's own syntax tree (json_serialize_sql), checked by what it may consist of: kinds of nodes,
// functions and tables that are on a list. Anything else is refused, whatever it is. The tables become names that only this
// process knows, which the printed statement is cut at: what runs is made from what was checked.

/** An object of the tree. */
export type JsonNode = { [field: string]: unknown };

interface NativeNames {
  readonly database: string;
  readonly userTables: readonly string[];
  readonly tempTables: readonly string[];
}

export interface CheckedNative {
  /** The tree with a mark in the place of each hole. */
  readonly tree: JsonNode;
  /** Marks as they stand in the printed statement, in one group the number of the hole. */
  readonly mark: RegExp;
  readonly holes: readonly Hole[];
  readonly asksCatalog: boolean;
}

/** Names of WITH that a query may use, in lower case. */
type Scope = ReadonlySet<string>;

/** What the parts of one check share. */
interface Check {
  readonly names: NativeNames;
  /** Every text of the statement, in lower case. */
  readonly words: ReadonlySet<string>;
  readonly prefix: string;
  readonly holes: Hole[];
  asksCatalog: boolean;
}

/** Throws SqlError 42P01, 42883, 42501, 0A000. */
export function checkNative(statement: JsonNode, names: NativeNames): CheckedNative {
  const prefix = `firn_${randomBytes(12).toString('hex')}_`;
  const check: Check = { names, words: wordsOf(statement), prefix, holes: [], asksCatalog: false };
  const tree = visit(check, statement, new Set()) as JsonNode;
  const { holes, asksCatalog } = check;
  return { tree, mark: new RegExp(`"?${prefix}(\\d+)"?`), holes, asksCatalog };
}

const markOf = ({ prefix, holes }: Check, hole: Hole): string => `${prefix}${holes.push(hole) - 1}`;

function visit(check: Check, value: unknown, scope: Scope): unknown {
  if (Array.isArray(value)) return value.map((item) => visit(check, item, scope));
  if (typeof value !== 'object' || value === null || JSON.isRawJSON(value)) return value;
  const node = value as JsonNode;
  const kind = kindOf(node);
  if (kind === 'BASE_TABLE') return table(check, node, scope);
  if (kind === 'FUNCTION' || kind === 'WINDOW') return fieldsOf(check, checkedFunction(check, node), scope);
  if (kind === 'TABLE_FUNCTION') {
    const { function: called, ...rest } = node;
    return { ...fieldsOf(check, rest, scope), function: tableFunction(check, called as JsonNode, scope) };
  }
  if (kind === 'COLUMN_REF') return sessionFact(node) ?? node;
  if (kind === 'SHOW_REF' && !node.query) throw refused('SHOW');
  if (kind === 'PARAMETER' && !/^\d+$/.test(String(node.identifier)))
    throw notSupported('a parameter with a name', undefined, 'number them: $1, $2');
  if (kind !== undefined && !allowedKinds.has(kind)) throw refused(kind.toLowerCase().replaceAll('_', ' '));
  return fieldsOf(check, node, scope);
}

/** WITH: each name is known to the queries after it and to the main one, and to its own only when it is recursive. */
function fieldsOf(check: Check, node: JsonNode, outer: Scope): JsonNode {
  let scope = outer;
  const copy: JsonNode = {};
  const map = (node.cte_map as { map?: readonly JsonNode[] } | undefined)?.map;
  if (map) {
    const made = map.map((entry) => {
      const checked = { ...entry, value: visit(check, entry.value, scope) };
      scope = new Set([...scope, commonName(entry.key)]);
      return checked;
    });
    copy.cte_map = { map: made };
  }
  if (node.type === 'RECURSIVE_CTE_NODE' || node.type === 'CTE_NODE')
    scope = new Set([...scope, commonName(node.cte_name)]);
  for (const [field, child] of Object.entries(node))
    if (field !== 'cte_map') copy[field] = visit(check, child, scope);
  return copy;
}

function table(check: Check, node: JsonNode, scope: Scope): JsonNode {
  const name = String(node.table_name);
  const schema = textOf(node.schema_name);
  const catalog = textOf(node.catalog_name);
  if (node.at_clause)
    throw notSupported('AT', undefined, 'FOR SYSTEM_TIME AS OF, in a statement of PostgreSQL');
  if (catalog === undefined && schema === undefined && scope.has(name.toLowerCase())) return node;
  const named = { ...node, catalog_name: '', schema_name: '', alias: textOf(node.alias) ?? name };
  const full = [catalog, schema, name].filter((each) => each !== undefined).join('.');
  if (catalog !== undefined && catalog !== check.names.database)
    throw notSupported(`a reference to another database, "${full}",`);
  const hole = holeOf(check, schema, name);
  if (hole) return { ...named, table_name: markOf(check, hole) };
  const view = catalogRelationOf(schema, name);
  if (!view)
    throw new SqlError('42P01', `relation "${full}" does not exist`, {
      hint: `the tables are ${[...tableNames, ...check.names.userTables, ...check.names.tempTables].join(', ')}`,
    });
  check.asksCatalog = true;
  const [viewSchema, viewName] = view.replaceAll('"', '').split('.');
  return { ...named, schema_name: viewSchema, table_name: viewName };
}

function holeOf(check: Check, schema: string | undefined, name: string): Hole | undefined {
  const isIn = (own: string): boolean => schema === undefined || schema === own;
  if (isIn(tempSchema) && check.names.tempTables.includes(name)) return { kind: 'temp-table', name };
  const found = (tableNames as readonly string[]).includes(name) ? (name as TableName) : undefined;
  if (isIn('public') && found) {
    // `*` gives each column once; second names are there for who writes one.
    const plain = !Object.keys(columnAliases[found]).some((second) => check.words.has(second));
    return { kind: 'table', table: found, plain };
  }
  return isIn('public') && check.names.userTables.includes(name) ? { kind: 'user-table', name } : undefined;
}

function checkedFunction(check: Check, node: JsonNode): JsonNode {
  const name = String(node.function_name);
  const known = isOfMain(node);
  if (deniedFunctions.test(name))
    throw new SqlError('42501', `permission denied for function ${name}`, {
      hint: 'statements read the tables of the lake, and nothing else',
    });
  if (known && clockFunctions.has(name))
    return { ...columnRef, alias: node.alias, column_names: [markOf(check, { kind: 'now' })] };
  if (known && catalogFunctions.has(name)) {
    check.asksCatalog = true;
    return { ...node, schema: catalogSchema };
  }
  const isSymbol = node.is_operator === true && !/\w/.test(name);
  if (known && (isSymbol || nativeFunctions.has(name))) return node;
  throw noFunction(node);
}

function tableFunction(check: Check, node: JsonNode, scope: Scope): JsonNode {
  const name = String(node.function_name);
  if (name === 'promql' || name === 'logql')
    throw notSupported(
      `${name}() in a statement of DuckDB`,
      undefined,
      'write it as PostgreSQL has it: SELECT … FROM …',
    );
  if (deniedFunctions.test(name)) checkedFunction(check, node);
  if (!isOfMain(node) || !nativeTableFunctions.has(name)) throw noFunction(node);
  return fieldsOf(check, node, scope);
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** What DuckDB makes of its syntax is in main. */
const isOfMain = ({ catalog, schema }: JsonNode): boolean =>
  textOf(catalog) === undefined && (textOf(schema) === undefined || schema === 'main');

/** `current_user` and the like are functions that are written as columns. */
function sessionFact({ column_names: names, alias }: JsonNode): JsonNode | undefined {
  const [name, ...more] = Array.isArray(names) ? names : [];
  if (more.length > 0 || !/^(current_(user|role|catalog|schema)|session_user)$/.test(String(name)))
    return undefined;
  return {
    ...{
      class: 'FUNCTION',
      type: 'FUNCTION',
      alias,
      query_location: 0,
      function_name: name,
      schema: catalogSchema,
    },
    ...{ children: [], filter: null, order_bys: { type: 'ORDER_MODIFIER', orders: [] }, distinct: false },
    ...{ is_operator: false, export_state: false, catalog: '' },
  };
}

const columnRef = { class: 'COLUMN_REF', type: 'COLUMN_REF', query_location: 0 } as const;

/** The class of an expression, the type of everything else that has one. */
function kindOf({ class: of, type }: JsonNode): string | undefined {
  if (typeof of === 'string') return of;
  return typeof type === 'string' ? type : undefined;
}

const allowedKinds: ReadonlySet<string> = new Set([
  // expressions
  ...['BETWEEN', 'CASE', 'CAST', 'COLLATE', 'COLUMN_REF', 'COMPARISON', 'CONJUNCTION', 'CONSTANT', 'LAMBDA'],
  ...['OPERATOR', 'PARAMETER', 'POSITIONAL_REFERENCE', 'STAR', 'SUBQUERY'],
  // queries and what is in FROM
  ...['SELECT_NODE', 'SET_OPERATION_NODE', 'RECURSIVE_CTE_NODE', 'CTE_NODE'],
  ...['EMPTY', 'EXPRESSION_LIST', 'JOIN', 'PIVOT', 'SHOW_REF'],
  // what follows them
  ...['ORDER_MODIFIER', 'LIMIT_MODIFIER', 'LIMIT_PERCENT_MODIFIER', 'DISTINCT_MODIFIER'],
  ...['ORDER_DEFAULT', 'ASCENDING', 'DESCENDING'],
  // types
  ...['DECIMAL_TYPE_INFO', 'LIST_TYPE_INFO', 'STRUCT_TYPE_INFO', 'ARRAY_TYPE_INFO', 'STRING_TYPE_INFO'],
  ...['GENERIC_TYPE_INFO', 'EXTRA_TYPE_INFO', 'UNBOUND_TYPE_INFO', 'TYPE'],
]);

/** Of WITH. A name that looks like a file is refused, so that no rule of DuckDB's for names ever makes it one. */
function commonName(name: unknown): string {
  if (typeof name === 'string' && !/[./:\\*?]/.test(name)) return name.toLowerCase();
  throw notSupported(`the name ${JSON.stringify(name)} in WITH`);
}

/** Every text of the tree: names of columns are among them. */
function wordsOf(root: unknown, found = new Set<string>()): ReadonlySet<string> {
  if (typeof root === 'string') found.add(root.toLowerCase());
  else if (Array.isArray(root)) for (const item of root) wordsOf(item, found);
  else if (typeof root === 'object' && root !== null)
    for (const child of Object.values(root)) wordsOf(child, found);
  return found;
}

const refused = (what: string): SqlError => notSupported(`${what} in a statement of DuckDB`);

const noFunction = ({ catalog, schema, function_name: name }: JsonNode): SqlError =>
  new SqlError(
    '42883',
    `function ${[catalog, schema, name].filter((each) => each).join('.')} does not exist`,
    {
      hint: 'no function of this name can be called here; see the documentation for those that can',
    },
  );
