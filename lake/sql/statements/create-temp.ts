import type { Node, RangeVar } from 'libpg-query';
import { tableNames } from '../../model/table-name.ts';
import { as, type Fields, namesOf, rewrite, walk } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import { castRules } from '../passes/casts.ts';
import { functionRulesAt } from '../passes/functions.ts';
import { tempSchema } from '../passes/relations.ts';
import { identifier } from '../print/expression.ts';
import { printValue } from '../print/printer.ts';
import { fill } from '../print/template.ts';
import { printType } from '../print/types.ts';
import type { SqlColumn, SqlResult, SqlStatement } from '../sql-session.ts';
import type { TempTableDefinition } from '../temp-tables.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { runQuery, tempTarget } from './modify.ts';
import { analyzeQuery } from './query.ts';
import { done } from './statement.ts';

// CREATE TEMP TABLE in its three forms, DROP TABLE, TRUNCATE, and CREATE INDEX, which changes no answer.

/** The statement, or undefined when the node is none of these for a temporary table. */
export async function tempTableStatement(
  input: SelectInput,
  context: SelectContext,
): Promise<SqlStatement | undefined> {
  const { node } = input;
  const create = as(node, 'CreateStmt');
  if (create && isTemp(create.relation)) return createStatement(create, input, context);
  const made = as(node, 'CreateTableAsStmt');
  if (made?.into && isTemp(made.into.rel) && as(made.query, 'SelectStmt'))
    return createAs(made, input, context);
  const select = as(node, 'SelectStmt');
  if (select?.intoClause && isTemp(select.intoClause.rel)) {
    const { intoClause: into, ...query } = select;
    return createAs({ into, query: { SelectStmt: query } as Node }, input, context);
  }
  const drop = as(node, 'DropStmt');
  if (drop?.removeType === 'OBJECT_TABLE') return dropStatement(drop, context);
  const truncate = as(node, 'TruncateStmt');
  if (truncate) return truncateStatement(truncate, context);
  const index = as(node, 'IndexStmt');
  if (!index || !tempTarget(index.relation, context.temp)) return undefined;
  if (index.unique)
    throw notSupported('a unique index', input.positionOf(0), 'name UNIQUE columns in CREATE TABLE');
  return command('CREATE INDEX', async () => undefined);
}

/** Throws SqlError 42P16 for a temporary table that is to be in another schema than theirs. */
function isTemp({ relpersistence, schemaname }: RangeVar = {}): boolean {
  if (relpersistence === 't' && schemaname !== undefined && schemaname !== tempSchema)
    throw new SqlError('42P16', 'cannot create temporary relation in non-temporary schema');
  return relpersistence === 't' || schemaname === tempSchema;
}

const command = (
  tag: string,
  run: (values: readonly (string | null)[], signal: AbortSignal) => Promise<SqlResult | undefined>,
  parameterTypes: SqlStatement['parameterTypes'] = [],
): SqlStatement => ({
  kind: 'command',
  parameterTypes,
  describe: async () => undefined,
  execute: async (values, signal) => (await run(values, signal)) ?? done(tag),
});

const actions: Readonly<Record<string, TempTableDefinition['onCommit']>> = {
  ONCOMMIT_DELETE_ROWS: 'delete',
  ONCOMMIT_DROP: 'drop',
};
const onCommitOf = (action: string | undefined): TempTableDefinition['onCommit'] =>
  actions[action ?? ''] ?? 'preserve';

async function createStatement(
  create: Fields<'CreateStmt'>,
  input: SelectInput,
  context: SelectContext,
): Promise<SqlStatement> {
  const { relation, tableElts = [], oncommit, if_not_exists: orNot = false } = create;
  if (create.inhRelations || create.partspec || create.ofTypename)
    throw notSupported(
      'a temporary table that inherits, or has parts or a type,',
      input.positionOf(relation?.location),
    );
  const parts: string[] = [];
  for (const element of tableElts) parts.push(...(await partsOf(element, input, context)));
  const definition = {
    ...{ name: relation?.relname ?? '', ddl: parts.join(', '), onCommit: onCommitOf(oncommit) },
  };
  return command('CREATE TABLE', async () => {
    if (!orNot || !context.temp.find(definition.name)) await context.temp.create(definition);
    return undefined;
  });
}

async function partsOf(element: Node, input: SelectInput, context: SelectContext): Promise<string[]> {
  const column = as(element, 'ColumnDef');
  if (column) return [columnSql(column, input)];
  const constraint = as(element, 'Constraint');
  if (constraint) return [constraintSql(constraint, input)];
  const like = as(element, 'TableLikeClause');
  if (!like?.relation) throw notSupported('this part of a table', input.positionOf(0));
  const targetList: Node[] = [{ ResTarget: { val: { ColumnRef: { fields: [{ A_Star: {} }] } } } }];
  const node: Node = { SelectStmt: { targetList, fromClause: [{ RangeVar: like.relation }] } };
  const { columns } = await (await analyzeQuery({ ...input, node }, context)).describe();
  return columnsDdl(columns);
}

const columnsDdl = (columns: readonly SqlColumn[]): string[] =>
  // A column of nothing but NULL is text, as in PostgreSQL.
  columns.map(({ name, type }) => `${identifier(name)} ${type === '"NULL"' ? 'VARCHAR' : type}`);

function columnSql(
  { colname = '', typeName, constraints = [] }: Fields<'ColumnDef'>,
  input: SelectInput,
): string {
  const plain = namesOf(typeName?.names).at(-1) ?? '';
  if (/^(small|big)?serial[248]?$/.test(plain))
    throw notSupported(
      `the type ${plain}`,
      input.positionOf(typeName?.location),
      'number the rows in the INSERT: row_number() OVER ()',
    );
  const { type, lengthMax } = printType(typeName, input.positionOf);
  const words = constraints.map((node) => constraintSql(as(node, 'Constraint') ?? {}, input));
  const name = identifier(colname);
  if (lengthMax !== undefined)
    words.push(
      `CHECK (CASE WHEN length(${name}) > ${lengthMax} THEN error('value too long for type character varying(${lengthMax})') ELSE true END)`,
    );
  return [name, type, ...words].join(' ');
}

function constraintSql(
  { contype, keys, raw_expr: expression, location }: Fields<'Constraint'>,
  input: SelectInput,
): string {
  const columns = keys ? ` (${namesOf(keys).map(identifier).join(', ')})` : '';
  switch (contype) {
    case 'CONSTR_NULL':
      return '';
    case 'CONSTR_NOTNULL':
      return 'NOT NULL';
    case 'CONSTR_PRIMARY':
      return `PRIMARY KEY${columns}`;
    case 'CONSTR_UNIQUE':
      return `UNIQUE${columns}`;
    case 'CONSTR_DEFAULT':
      return `DEFAULT (${valueSql(expression, input)})`;
    case 'CONSTR_CHECK':
      return `CHECK (${valueSql(expression, input)})`;
    default:
      throw notSupported('this constraint of a temporary table', input.positionOf(location));
  }
}

function valueSql(expression: Node | undefined, { positionOf }: SelectInput): string {
  if (!expression) throw notSupported('a constraint without an expression');
  walk(expression, (each) => {
    if (as(each, 'SubLink')) throw notSupported('a subquery in DEFAULT or CHECK', positionOf(0));
  });
  const root = rewrite(expression, [...functionRulesAt(positionOf), ...castRules]);
  // Without a subquery there is no hole but the time, here that of the statement that needs the value.
  return fill(printValue(root, { positionOf, parameterTypes: [] }), () => 'now()').sql;
}

async function createAs(
  { query: node, into, if_not_exists: orNot = false }: Fields<'CreateTableAsStmt'>,
  input: SelectInput,
  context: SelectContext,
): Promise<SqlStatement> {
  if (!node) throw notSupported('CREATE TABLE without a query');
  const query = await analyzeQuery({ ...input, node }, context);
  const names = namesOf(into?.colNames);
  const described = await query.describe();
  if (names.length > described.columns.length)
    throw new SqlError('42601', 'too many column names were specified');
  const columns = described.columns.map(({ name, type }, index) => ({ name: names[index] ?? name, type }));
  const definition = {
    ...{
      name: into?.rel?.relname ?? '',
      ddl: columnsDdl(columns).join(', '),
      onCommit: onCommitOf(into?.onCommit),
    },
  };
  const create = async (
    values: readonly (string | null)[],
    signal: AbortSignal,
  ): Promise<SqlResult | undefined> => {
    if (orNot && context.temp.find(definition.name)) return undefined;
    let count = 0;
    await context.temp.create(definition, async ({ from }) => {
      if (!into?.skipData) count = (await runQuery(query, values, signal, `INSERT INTO ${from} `)).rows;
    });
    return into?.skipData ? undefined : done(`SELECT ${count}`);
  };
  const types = described.parameters.map((type) => type ?? null);
  return command('CREATE TABLE AS', create, types);
}

/** Undefined when it names a table that is not the session's, which is refused as a write. */
async function dropStatement(
  { objects = [], missing_ok: missingOk = false }: Fields<'DropStmt'>,
  { temp, tables }: SelectContext,
): Promise<SqlStatement | undefined> {
  const named = objects.map((object) => namesOf(as(object, 'List')?.items));
  const ownTables = (await tables.userTables?.list()) ?? [];
  const lasting = new Set<string>([...tableNames, ...ownTables.map(({ name }) => name)]);
  const isMeant = (names: readonly string[]): boolean => names.length === 1 || names.at(-2) === tempSchema;
  for (const names of named) {
    const name = names.at(-1) ?? '';
    if (!isMeant(names) || (names.length === 1 && lasting.has(name) && !temp.find(name))) return undefined;
  }
  return command('DROP TABLE', async () => {
    for (const names of named) {
      const name = names.at(-1) ?? '';
      if (temp.find(name) || !missingOk) await temp.drop(name);
    }
    return undefined;
  });
}

function truncateStatement(
  { relations = [] }: Fields<'TruncateStmt'>,
  { temp }: SelectContext,
): SqlStatement | undefined {
  const found = relations.map((relation) => tempTarget(as(relation, 'RangeVar'), temp));
  if (found.includes(undefined)) return undefined;
  return command('TRUNCATE TABLE', async () => {
    for (const table of found) if (table) await temp.empty(table.name);
    return undefined;
  });
}
