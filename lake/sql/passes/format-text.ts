import type { Node } from 'libpg-query';
import { call, castTo, integer, text, textOf } from '../ast.ts';
import { catalogSchema } from '../catalog/view.ts';
import { notSupported, SqlError } from '../errors.ts';

/** format() with a constant format of %s, %I, %L and %%, also with positions (%1$s), as a concatenation. */
export function formatText(args: readonly Node[], position: number | undefined): Node {
  const format = textOf(args[0]);
  if (format === undefined) throw notSupported('format with a format that is not constant', position);
  let next = 1;
  const pieces = format.split(/(%(?:\d+\$)?.)/).flatMap((piece, index): Node[] => {
    if (index % 2 === 0) return piece === '' ? [] : [text(piece)];
    const [, at, kind = ''] = /^%(?:(\d+)\$)?([\s\S])$/.exec(piece) ?? [];
    if (kind === '%') return [text('%')];
    if (!/^[sIL]$/.test(kind)) throw notSupported(`${piece} in format`, position);
    if (at !== undefined) next = Number(at);
    const value = args[next++];
    if (!value) throw new SqlError('22023', 'too few arguments for format()', { position });
    if (kind === 's') return [castTo(value, 'text')];
    return [call([catalogSchema, kind === 'I' ? 'quote_ident' : 'quote_nullable'], [castTo(value, 'text')])];
  });
  return pieces.length === 0 ? call('left', [text(''), integer(0)]) : call('concat', pieces);
}
