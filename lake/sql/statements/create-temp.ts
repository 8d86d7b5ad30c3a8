import type { Node, RangeVar } from 'libpg-query';
import { tableNames } from '../../model/table-name.ts';
import { as, type Fields, namesOf } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import { tempSchema } from '../passes/relations.ts';
import type { SqlResult, SqlStatement } from '../sql-session.ts';
import type { TempTableDefinition } from '../temp-definition.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { runQuery, tempTarget } from './modify.ts';
import { analyzeQuery } from './query.ts';
import { command, done } from './statement.ts';
import { definitionOf, draftOf, isNumbered, plainColumn } from './temp-columns.ts';

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
export function isTemp({ relpersistence, schemaname }: RangeVar = {}): boolean {
  if (relpersistence === 't' && schemaname !== undefined && schemaname !== tempSchema)
    throw new SqlError('42P16', 'cannot create temporary relation in non-temporary schema');
  return relpersistence === 't' || schemaname === tempSchema;
}

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
  const name = relation?.relname ?? '';
  const draft = await draftOf(name, tableElts, input, context);
  const onCommit = onCommitOf(oncommit);
  return command('CREATE TABLE', async () => {
    if (orNot && context.temp.find(name)) return undefined;
    await context.temp.create({ ...(await definitionOf(name, draft, context.temp)), onCommit });
    return undefined;
  });
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
  const columns = described.columns.map((column, index) =>
    plainColumn({ ...column, name: names[index] ?? column.name }),
  );
  const onCommit = onCommitOf(into?.onCommit);
  const definition = { name: into?.rel?.relname ?? '', columns, constraints: [], onCommit };
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
  { relations = [], restart_seqs: restarts }: Fields<'TruncateStmt'>,
  { temp }: SelectContext,
): SqlStatement | undefined {
  const found = relations.map((relation) => tempTarget(as(relation, 'RangeVar'), temp));
  if (found.includes(undefined)) return undefined;
  if (restarts && found.some((table) => table?.definition.columns.some(isNumbered)))
    throw notSupported('RESTART IDENTITY', undefined, 'drop the table, and create it again');
  return command('TRUNCATE TABLE', async () => {
    for (const table of found) if (table) await temp.empty(table.name);
    return undefined;
  });
}
