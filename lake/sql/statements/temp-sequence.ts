import type { Node } from 'libpg-query';
import { as, type Fields, namesOf } from '../ast.ts';
import { fromDuckdb } from '../duckdb-errors.ts';
import { SqlError } from '../errors.ts';
import { tempSchema } from '../passes/relations.ts';
import type { SqlStatement } from '../sql-session.ts';
import type { SequenceOptions } from '../temp-sequences.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { command } from './statement.ts';

// CREATE TEMP SEQUENCE and DROP SEQUENCE.

/** The statement, or undefined when the node is none of these. */
export function sequenceStatement(input: SelectInput, { temp }: SelectContext): SqlStatement | undefined {
  const create = as(input.node, 'CreateSeqStmt');
  if (create?.sequence?.relpersistence === 't') return createStatement(create, input, { temp });
  const drop = as(input.node, 'DropStmt');
  if (drop?.removeType !== 'OBJECT_SEQUENCE') return undefined;
  const names = droppedNames(drop);
  return command('DROP SEQUENCE', async () => {
    for (const name of names) {
      if (temp.sequences.find(name)) temp.sequences.drop(name);
      else if (!drop.missing_ok) throw new SqlError('42P01', `sequence "${name}" does not exist`);
    }
    return undefined;
  });
}

function createStatement(
  { sequence, options = [], if_not_exists: orNot }: Fields<'CreateSeqStmt'>,
  input: SelectInput,
  { temp }: Pick<SelectContext, 'temp'>,
): SqlStatement {
  const name = sequence?.relname ?? '';
  const numbers = sequenceOptions(options, input);
  return command('CREATE SEQUENCE', async () => {
    const taken = temp.sequences.find(name) ?? temp.find(name) ?? temp.views.find(name);
    if (taken && orNot) return undefined;
    if (taken) throw new SqlError('42P07', `relation "${name}" already exists`);
    await temp.sequences.create(name, numbers).catch((error: unknown) => {
      throw fromDuckdb(error, '', () => undefined);
    });
    return undefined;
  });
}

/** Names without the schema of temporary objects. */
export const droppedNames = ({ objects = [] }: Fields<'DropStmt'>): readonly string[] =>
  objects.map((object) => {
    const names = namesOf(as(object, 'List')?.items);
    return names[0] === tempSchema ? names.slice(1).join('.') : names.join('.');
  });

/** Throws SqlError 22023. */
export function sequenceOptions(nodes: readonly Node[], { positionOf }: SelectInput): SequenceOptions {
  const options = new Map(
    nodes.map((node) => {
      const { defname = '', arg } = as(node, 'DefElem') ?? {};
      return [defname, arg] as const;
    }),
  );
  const number = (name: string): string | undefined => {
    const arg = options.get(name);
    const value = as(arg, 'Integer') ? String(as(arg, 'Integer')?.ival ?? 0) : as(arg, 'Float')?.fval;
    if (arg && (value === undefined || !/^-?\d+$/.test(value)))
      throw new SqlError('22023', `${name} of a sequence must be a whole number`, {
        position: positionOf(0),
      });
    return value;
  };
  return {
    ...{ start: number('start'), increment: number('increment') },
    ...{ minimum: number('minvalue'), maximum: number('maxvalue') },
    cycles: as(options.get('cycle'), 'Boolean')?.boolval ?? false,
  };
}
