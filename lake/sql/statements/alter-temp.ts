import type { Node } from 'libpg-query';
import { as, type Fields } from '../ast.ts';
import { fromDuckdb } from '../duckdb-errors.ts';
import { notSupported, SqlError } from '../errors.ts';
import { identifier } from '../print/expression.ts';
import { printType } from '../print/types.ts';
import type { SqlStatement } from '../sql-session.ts';
import {
  constraintName,
  type TempColumn,
  type TempConstraint,
  type TempTableDefinition,
} from '../temp-definition.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { tempTarget } from './modify.ts';
import { command } from './statement.ts';
import { columnOf, constraintOf, definitionOf, valueSql, withKey } from './temp-columns.ts';

// ALTER TABLE of a temporary table: another table is made of it, whose rows come from the first one.

/** What the table becomes; `value` is SQL over the rows as they were. */
interface Draft extends Omit<TempTableDefinition, 'columns'> {
  readonly columns: readonly (TempColumn & { readonly value: string })[];
}

/** The statement, or undefined when the node is none, or its table is not temporary. */
export function alterStatement(input: SelectInput, context: SelectContext): SqlStatement | undefined {
  const alter = as(input.node, 'AlterTableStmt');
  const rename = as(input.node, 'RenameStmt');
  const isTable =
    alter?.objtype === 'OBJECT_TABLE' ||
    /^OBJECT_(TABLE|COLUMN|TABCONSTRAINT)$/.test(rename?.renameType ?? '');
  const table = isTable ? tempTarget((alter ?? rename)?.relation, context.temp) : undefined;
  if (!table) return undefined;
  return command('ALTER TABLE', async () => {
    let draft: Draft = draftOf(context.temp.find(table.name)?.definition ?? table.definition);
    if (rename) draft = renamed(draft, rename);
    for (const node of alter?.cmds ?? [])
      draft = await altered(draft, as(node, 'AlterTableCmd') ?? {}, input, context);
    const { columns, ...rest } = draft;
    const definition = {
      ...rest,
      columns: withKey(
        columns.map(({ value: _, ...column }) => column),
        rest.constraints,
      ),
    };
    try {
      await context.temp.alter(
        table.name,
        definition,
        columns.map(({ value }) => value),
      );
    } catch (error) {
      throw fromDuckdb(error, '', () => undefined);
    }
    return undefined;
  });
}

const draftOf = (definition: TempTableDefinition): Draft => ({
  ...definition,
  columns: definition.columns.map((column) => ({ ...column, value: identifier(column.name) })),
});

function renamed(draft: Draft, { renameType, subname = '', newname = '' }: Fields<'RenameStmt'>): Draft {
  if (renameType === 'OBJECT_TABLE') return { ...draft, name: newname };
  if (renameType !== 'OBJECT_COLUMN') throw notSupported('renaming a constraint');
  known(draft, subname);
  const rename = (name: string): string => (name === subname ? newname : name);
  refuseChecks(draft);
  return {
    ...draft,
    columns: draft.columns.map((column) => ({ ...column, name: rename(column.name) })),
    constraints: draft.constraints.map((each) => ({ ...each, columns: each.columns.map(rename) })),
  };
}

/** A check is kept as text, in which names can't be changed. */
function refuseChecks({ constraints }: Draft): void {
  if (constraints.some(({ kind }) => kind === 'check'))
    throw notSupported(
      'renaming a column of a table with CHECK',
      undefined,
      'drop the constraint, and add it again',
    );
}

function known({ columns, name: table }: Draft, name: string): TempColumn {
  const column = columns.find((each) => each.name === name);
  if (column) return column;
  throw new SqlError('42703', `column "${name}" of relation "${table}" does not exist`);
}

async function altered(
  draft: Draft,
  { subtype, name = '', def, missing_ok: missingOk }: Fields<'AlterTableCmd'>,
  input: SelectInput,
  context: SelectContext,
): Promise<Draft> {
  const change = (made: Partial<Draft['columns'][number]>): Draft => {
    known(draft, name);
    return {
      ...draft,
      columns: draft.columns.map((each) => (each.name === name ? { ...each, ...made } : each)),
    };
  };
  switch (subtype) {
    case 'AT_AddColumn':
      return added(draft, as(def, 'ColumnDef') ?? {}, missingOk === true, input, context);
    case 'AT_DropColumn':
      return dropped(draft, name, missingOk === true);
    case 'AT_AlterColumnType':
      return change(ofType(as(def, 'ColumnDef') ?? {}, name, input, context));
    case 'AT_ColumnDefault':
      return change({ default: def && valueSql(def, input, context) });
    case 'AT_SetNotNull':
      return change({ notNull: true });
    case 'AT_DropNotNull':
      return change({ notNull: false });
    case 'AT_AddConstraint': {
      const constraint = constraintOf(as(def, 'Constraint') ?? {}, input, context);
      return { ...draft, constraints: [...draft.constraints, constraint] };
    }
    case 'AT_DropConstraint':
      return withoutConstraint(draft, name, missingOk === true);
    default:
      throw notSupported('this form of ALTER TABLE', input.positionOf(0));
  }
}

async function added(
  draft: Draft,
  node: Fields<'ColumnDef'>,
  orNot: boolean,
  input: SelectInput,
  context: SelectContext,
): Promise<Draft> {
  if (draft.columns.some(({ name }) => name === node.colname)) {
    if (orNot) return draft;
    throw new SqlError('42701', `column "${node.colname}" of relation "${draft.name}" already exists`);
  }
  const { column, constraints } = columnOf(node, input, context);
  const { columns } = await definitionOf(draft.name, { columns: [column], constraints: [] }, context.temp);
  return {
    ...draft,
    columns: [...draft.columns, ...columns.map((each) => ({ ...each, value: each.default ?? 'NULL' }))],
    constraints: [...draft.constraints, ...constraints],
  };
}

function dropped(draft: Draft, name: string, missingOk: boolean): Draft {
  if (missingOk && !draft.columns.some((each) => each.name === name)) return draft;
  known(draft, name);
  const uses = ({ columns }: TempConstraint): boolean => columns.includes(name);
  return {
    ...draft,
    columns: draft.columns.filter((each) => each.name !== name),
    constraints: draft.constraints.filter((each) => !uses(each)),
  };
}

function ofType(
  { typeName, raw_default: using }: Fields<'ColumnDef'>,
  name: string,
  input: SelectInput,
  context: SelectContext,
): Pick<Draft['columns'][number], 'type' | 'lengthMax' | 'value'> {
  const { type, lengthMax } = printType(typeName, input.positionOf);
  const value: Node | undefined = using;
  return {
    type,
    lengthMax,
    value: `CAST(${value ? valueSql(value, input, context) : identifier(name)} AS ${type})`,
  };
}

function withoutConstraint(draft: Draft, name: string, missingOk: boolean): Draft {
  const constraints = draft.constraints.filter((each) => constraintName(draft.name, each) !== name);
  if (constraints.length === draft.constraints.length && !missingOk)
    throw new SqlError('42704', `constraint "${name}" of relation "${draft.name}" does not exist`);
  return { ...draft, constraints };
}
