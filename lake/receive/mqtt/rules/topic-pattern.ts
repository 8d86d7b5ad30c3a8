import type { Fail } from './rule-error.ts';

// A topic with named levels: `plant/{line}/{machine:int}/+/_/#`.
//   {name}        one level       {name:int}  one level that is a whole number; also uint, float, hex
//   {name#}       one or more levels, at one place of the topic: names that hold slashes
//   + and _       one level that is ignored      # at the end: any number of levels

export interface TopicPattern {
  readonly names: readonly string[];
  /** The levels of the names; undefined when the topic is another one. */
  match(levels: readonly string[]): readonly string[] | undefined;
}

type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'named'; readonly name: string; readonly test: RegExp | undefined }
  | { readonly kind: 'many'; readonly name: string | undefined; readonly min: number };

const types: Readonly<Record<string, RegExp | undefined>> = {
  text: undefined,
  int: /^[+-]?\d+$/,
  uint: /^\d+$/,
  float: /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/,
  hex: /^(?:0x)?[0-9a-fA-F]+$/,
};

export function compileTopic(topic: string, fail: Fail): TopicPattern {
  const parts = topic.split('/');
  const segments = parts.map((part, index) => segmentOf(part, index === parts.length - 1, fail));
  const names = segments.flatMap((segment) => ('name' in segment && segment.name ? [segment.name] : []));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw fail(`{${twice}} is there twice`, 'give each level another name');
  const many = segments.findIndex(({ kind }) => kind === 'many');
  if (segments.filter(({ kind }) => kind === 'many').length > 1)
    throw fail('more than one of its parts stands for any number of levels', 'keep one {name#} or #');
  return {
    names,
    match:
      many < 0 ? (levels) => matchExactly(segments, levels) : (levels) => matchMany(segments, many, levels),
  };
}

function segmentOf(part: string, last: boolean, fail: Fail): Segment {
  if (part === '+' || part === '_') return { kind: 'any' };
  if (part === '#') {
    if (!last) throw fail('# is not the last level', 'use + for one level, {name#} for several');
    return { kind: 'many', name: undefined, min: 0 };
  }
  const inside = /^\{(.*)\}$/.exec(part)?.[1];
  if (inside === undefined) {
    if (/[{}#+]/.test(part))
      throw fail(
        `level ${JSON.stringify(part)} is not known`,
        'write {name}, {name:int}, {name#}, +, _ or a final #',
      );
    return { kind: 'literal', text: part };
  }
  const [, name = '', rest = '', type = 'text'] = /^([a-zA-Z_]\w*)(#?)(?::(\w+))?$/.exec(inside) ?? [];
  if (name === '' || name === '__name__')
    throw fail(`${JSON.stringify(part)} names no label`, 'use letters, digits and _ as in {machine}');
  if (!Object.hasOwn(types, type))
    throw fail(`{${inside}} has the type ${type}`, `types are ${Object.keys(types).join(', ')}`);
  return rest === '#' ? { kind: 'many', name, min: 1 } : { kind: 'named', name, test: types[type] };
}

function matchExactly(segments: readonly Segment[], levels: readonly string[]): string[] | undefined {
  if (levels.length !== segments.length) return undefined;
  const found: string[] = [];
  for (const [index, segment] of segments.entries())
    if (!matchLevel(segment, levels[index] ?? '', index, found)) return undefined;
  return found;
}

function matchMany(
  segments: readonly Segment[],
  at: number,
  levels: readonly string[],
): string[] | undefined {
  const many = segments[at];
  const count = levels.length - (segments.length - 1);
  if (many?.kind !== 'many' || count < many.min) return undefined;
  const found: string[] = [];
  for (let index = 0; index < at; index++)
    if (!matchLevel(segments[index], levels[index] ?? '', index, found)) return undefined;
  // [MQTT-4.7.2-1] wildcards at the start do not stand for topics of the server
  if (at === 0 && levels[0]?.startsWith('$')) return undefined;
  if (many.name !== undefined) found.push(levels.slice(at, at + count).join('/'));
  for (let index = at + 1; index < segments.length; index++)
    if (!matchLevel(segments[index], levels[index + count - 1] ?? '', index, found)) return undefined;
  return found;
}

function matchLevel(segment: Segment | undefined, level: string, index: number, found: string[]): boolean {
  if (segment === undefined || segment.kind === 'many') return false;
  if (segment.kind === 'literal') return segment.text === level;
  if (index === 0 && level.startsWith('$')) return false;
  if (segment.kind === 'any') return true;
  if (segment.test !== undefined && !segment.test.test(level)) return false;
  found.push(level);
  return true;
}
