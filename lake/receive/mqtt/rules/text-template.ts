import { compileJsonPath, type JsonPath } from './json-path.ts';
import type { Fail } from './rule-error.ts';

/** What a template may speak of: a message, one of its items, and one value in that. */
export interface Subject {
  readonly topic: string;
  readonly levels: readonly string[];
  readonly item: unknown;
  /** What wildcards stood for on the way to the value. */
  readonly keys: readonly string[];
  /** Names of members below the value's path, joined by _. */
  readonly path: string;
  readonly unit: string;
}

export interface TextTemplate {
  text(subject: Subject): string;
  /** It has paths into the payload, so that the topic and the value's place do not say all of it. */
  readonly dynamic: boolean;
}

/**
 * Text with `{…}` in it: a level of the topic by its name, {topic}, {last} (its last level), {key} (what the last wildcard
 * stood for), {key1} {key2}…, {path}, {unit}, or a JSONPath into the item as in {$.id}. `{{` is a brace.
 */
export function compileText(source: string, names: readonly string[], fail: Fail): TextTemplate {
  const parts: ((subject: Subject) => string)[] = [];
  let dynamic = false;
  for (const [, literal, inside] of source.matchAll(/((?:[^{]|\{\{)+)|\{([^{}]*)\}|\{/g)) {
    if (literal !== undefined) {
      const text = literal.replaceAll('{{', '{');
      parts.push(() => text);
    } else if (inside === undefined)
      throw fail(
        `a { in ${JSON.stringify(source)} is not closed`,
        'close it with }, or write {{ for a brace',
      );
    else {
      dynamic ||= inside.startsWith('$') || inside === 'unit';
      parts.push(partOf(inside, names, fail));
    }
  }
  const [only] = parts;
  if (only === undefined) return { dynamic, text: () => '' };
  if (parts.length === 1) return { dynamic, text: only };
  return { dynamic, text: (subject) => parts.map((part) => part(subject)).join('') };
}

function partOf(inside: string, names: readonly string[], fail: Fail): (subject: Subject) => string {
  if (inside.startsWith('$')) {
    const path: JsonPath = compileJsonPath(inside, fail);
    return ({ item }) => scalarText(path.first(item));
  }
  const level = names.indexOf(inside);
  if (level >= 0) return ({ levels }) => levels[level] ?? '';
  if (inside === 'topic') return ({ topic }) => topic;
  if (inside === 'last') return ({ topic }) => lastLevel(topic);
  if (inside === 'path') return ({ path }) => path;
  if (inside === 'unit') return ({ unit }) => unit;
  if (inside === 'key') return ({ keys }) => keys.at(-1) ?? '';
  const key = /^key([1-9])$/.exec(inside)?.[1];
  if (key !== undefined) return ({ keys }) => keys[Number(key) - 1] ?? '';
  const known = [...names, 'topic', 'last', 'path', 'key', 'key1', 'unit'].join(', ');
  throw fail(`{${inside}} is not known here`, `known are ${known}, and paths as in {$.id}`);
}

export const lastLevel = (topic: string): string =>
  topic
    .split('/')
    .filter((level) => level !== '')
    .at(-1) ?? '';

/** A scalar as label text; nothing for what is none. */
export function scalarText(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint'
    ? String(value)
    : '';
}
