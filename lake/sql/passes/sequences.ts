import type { Node } from 'libpg-query';
import { as, call, castTo, namesOf, plainName, type Rule, text, textOf } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import type { TempSequences } from '../temp-sequences.ts';
import type { PositionOf } from './functions.ts';

/** `nextval('name')` and `currval('name')` of the session's own sequences, by their names in the engine. */
export const sequenceRule =
  (sequences: TempSequences, positionOf: PositionOf): Rule =>
  (node) => {
    const found = as(node, 'FuncCall');
    const name = plainName(found?.funcname) ?? '';
    if (!found || !/^(nextval|currval|setval|lastval)$/.test(name)) return undefined;
    const position = positionOf(found.location);
    if (name === 'setval' || name === 'lastval')
      throw notSupported(
        name,
        position,
        'nextval and currval are answered; START says where a sequence begins',
      );
    const [given] = found.args ?? [];
    const sequence = sequences.find(sequenceName(given) ?? '');
    if (!sequence)
      throw new SqlError('42P01', `relation "${sequenceName(given) ?? ''}" does not exist`, {
        position,
        hint: 'give the name of a sequence that CREATE TEMP SEQUENCE, serial or IDENTITY has made',
      });
    // Inside of a cast, where the rules for functions do not look for it: they know no sequences.
    return castTo(call(name, [text(sequence.from)]), 'int8');
  };

/** Of the text, also where it was cast to regclass. */
function sequenceName(node: Node | undefined): string | undefined {
  const inner = as(node, 'FuncCall');
  const isClass = namesOf(inner?.funcname).at(-1) === 'regclass_oid';
  const written = textOf(isClass ? inner?.args?.[0] : node);
  return written?.replace(/^pg_temp(_1)?\./, '').replaceAll(/^"|"$/g, '');
}
