import type { Node } from 'libpg-query';
import { namesOthers } from '../passes/relations.ts';
import type { RewrittenSelect, SelectContext, SelectInput } from './describe-select.ts';

// What a text means is the same for every session of a tenant, unless it names tables that come and go. It is kept with
// the text's tree, for as long as that is (parse.ts).

interface Remembered {
  /** What else it depends on. */
  readonly asked: string;
  readonly select: RewrittenSelect;
}

const known = new WeakMap<Node, Remembered>();

/** What was found of the statement before, or what `analyze` finds. */
export async function remembered(
  { node, prefix, declaredTypes }: SelectInput,
  { database, temp }: SelectContext,
  analyze: () => Promise<RewrittenSelect>,
): Promise<RewrittenSelect> {
  // What is temporary hides what is lasting under its name.
  const { sequences, views } = temp;
  if ([temp, views, sequences].some((kind) => kind.list().length > 0)) return analyze();
  const asked = JSON.stringify([prefix, database, declaredTypes]);
  const before = known.get(node);
  if (before?.asked === asked) return before.select;
  const select = await analyze();
  if (!namesOthers(node) && !select.asksCatalog && select.calls.length === 0)
    known.set(node, { asked, select });
  return select;
}
