import type { Node } from 'libpg-query';
import { as, type Fields, namesOf, walk } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import type { ParsedStatement } from '../parse.ts';
import { settledNames } from '../passes/views.ts';
import type { SqlStatement } from '../sql-session.ts';
import { tempViewsMax } from '../temp-views.ts';
import { isTemp } from './create-temp.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { analyzeQuery, userTablesOf } from './query.ts';
import { command } from './statement.ts';
import { droppedNames } from './temp-sequence.ts';

// CREATE TEMP VIEW and DROP VIEW.

/** The statement, or undefined when the node is none of these for a temporary view. */
export async function viewStatement(
  input: SelectInput,
  parsed: ParsedStatement,
  context: SelectContext,
): Promise<SqlStatement | undefined> {
  const create = as(input.node, 'ViewStmt');
  if (create?.query && isTemp(create.view))
    return createStatement(create, create.query, { input, parsed, context });
  const drop = as(input.node, 'DropStmt');
  return drop?.removeType === 'OBJECT_VIEW' ? dropStatement(drop, context) : undefined;
}

interface Asked {
  readonly input: SelectInput;
  readonly parsed: ParsedStatement;
  readonly context: SelectContext;
}

async function createStatement(
  { view, aliases: aliasNodes, replace: replaces = false }: Fields<'ViewStmt'>,
  node: Node,
  { input, parsed, context }: Asked,
): Promise<SqlStatement> {
  const { temp } = context;
  if (input.travels.size > 0) throw notSupported('AS OF in a view', input.positionOf(0));
  walk(node, (each) => {
    if (as(each, 'ParamRef')) throw new SqlError('42P02', 'a view takes no parameters');
  });
  const name = view?.relname ?? '';
  const aliases = namesOf(aliasNodes);
  const { columns: found } = await (await analyzeQuery({ ...input, node }, context)).describe();
  if (aliases.length > found.length)
    throw new SqlError('42601', 'CREATE VIEW specifies more column names than columns');
  const columns = found.map((column, index) => ({ ...column, name: aliases[index] ?? column.name }));
  const userTables = (await userTablesOf(context)).map((each) => each.name);
  const query = settledNames(node, temp, userTables);
  const definition = /\bas\b\s*([\s\S]*)$/i.exec(parsed.text)?.[1] ?? parsed.text;
  return command('CREATE VIEW', async () => {
    const existing = temp.views.find(name);
    if (temp.find(name) ?? temp.sequences.find(name) ?? (replaces ? undefined : existing))
      throw new SqlError('42P07', `relation "${name}" already exists`);
    if (!existing && temp.views.list().length >= tempViewsMax)
      throw new SqlError('53400', `a session may have ${tempViewsMax} temporary views (tempViewsMax)`);
    temp.views.set({ name, query, aliases, columns, definition });
    return undefined;
  });
}

function dropStatement(drop: Fields<'DropStmt'>, { temp }: SelectContext): SqlStatement | undefined {
  const names = droppedNames(drop);
  return command('DROP VIEW', async () => {
    for (const name of names) {
      if (temp.views.find(name)) temp.views.drop(name);
      else if (!drop.missing_ok)
        throw new SqlError('42P01', `view "${name}" does not exist`, {
          hint: 'only temporary views of this session can be dropped',
        });
    }
    return undefined;
  });
}
