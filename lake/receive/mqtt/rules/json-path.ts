import type { Fail } from './rule-error.ts';

// A subset of JSONPath (RFC 9535), compiled once and walked without making strings:
//   $  .name  ['name']  [0]  [-1]  .*  [*]  [?@.name]  [?@.name == 'x']  (also != < <= > >=)
// Descendants (..) and slices are not in it: what they find, and so how many series there are, is hard to foresee.

export interface JsonPath {
  /** The name of its last member, '' where it ends otherwise; what a metric is called that has no name. */
  readonly lastName: string;
  /** How many names or indexes its wildcards and filters give to a node that they find. */
  readonly keys: number;
  /** Calls `visit` with each node, and with the names that the wildcards stood for after those in `keys`. */
  each(root: unknown, keys: readonly string[], visit: (node: unknown, keys: readonly string[]) => void): void;
  /** The first node; undefined when there is none. */
  first(root: unknown): unknown;
}

type Step =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | { readonly kind: 'all' }
  | { readonly kind: 'filter'; readonly test: (node: unknown) => boolean };

const stepsMax = 32;

/** Throws what `fail` makes. */
export function compileJsonPath(text: string, fail: Fail): JsonPath {
  const cursor: Cursor = { text, at: 1, fail };
  if (text[0] !== '$')
    throw fail(`${JSON.stringify(text)} is no JSONPath`, 'start with $, as in $.sensor.value');
  const steps = readSteps(cursor);
  if (cursor.at < text.length) throw wrongAt(cursor);
  return pathOf(steps);
}

function pathOf(steps: readonly Step[]): JsonPath {
  const last = steps.at(-1);
  const each: JsonPath['each'] = (root, keys, visit) => walk(steps, 0, root, keys, visit);
  const first = steps.every(({ kind }) => kind === 'name' || kind === 'index')
    ? (root: unknown) => steps.reduce(child, root)
    : (root: unknown) => {
        let found: unknown;
        each(root, [], (node) => {
          found ??= node;
        });
        return found;
      };
  return {
    lastName: last?.kind === 'name' ? last.name : '',
    keys: steps.filter(({ kind }) => kind === 'all' || kind === 'filter').length,
    each,
    first,
  };
}

function walk(
  steps: readonly Step[],
  from: number,
  node: unknown,
  keys: readonly string[],
  visit: (node: unknown, keys: readonly string[]) => void,
): void {
  const step = steps[from];
  if (step === undefined) visit(node, keys);
  else if (step.kind === 'name' || step.kind === 'index') {
    const next = child(node, step);
    if (next !== undefined) walk(steps, from + 1, next, keys, visit);
  } else if (typeof node === 'object' && node !== null)
    for (const [key, next] of Object.entries(node))
      if (step.kind === 'all' || step.test(next)) walk(steps, from + 1, next, [...keys, key], visit);
}

function child(node: unknown, step: Step): unknown {
  if (step.kind === 'name')
    return isRecord(node) && Object.hasOwn(node, step.name) ? node[step.name] : undefined;
  if (step.kind === 'index') return Array.isArray(node) ? node.at(step.index) : undefined;
  return undefined;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

interface Cursor {
  readonly text: string;
  at: number;
  readonly fail: Fail;
}

const name = /[\p{L}_][\p{L}\p{N}_]*/uy;
const integer = /-?\d{1,9}/y;
const blank = /\s*/y;
const operator = /==|!=|<=|>=|<|>/y;
const literal = /true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

function readSteps(cursor: Cursor): Step[] {
  const steps: Step[] = [];
  for (;;) {
    if (steps.length > stepsMax) throw cursor.fail(`the path has more than ${stepsMax} steps`, 'shorten it');
    if (cursor.text.startsWith('..', cursor.at))
      throw cursor.fail('.. is not in the JSONPath that rules know', 'write the names on the way, or [*]');
    if (take(cursor, '.')) {
      if (take(cursor, '*')) steps.push({ kind: 'all' });
      else steps.push({ kind: 'name', name: match(cursor, name) ?? wrong(cursor) });
    } else if (take(cursor, '[')) {
      steps.push(readBracket(cursor));
      if (!take(cursor, ']')) throw wrongAt(cursor);
    } else return steps;
  }
}

function readBracket(cursor: Cursor): Step {
  if (take(cursor, '*')) return { kind: 'all' };
  if (take(cursor, '?')) return { kind: 'filter', test: readFilter(cursor) };
  const quoted = readQuoted(cursor);
  if (quoted !== undefined) return { kind: 'name', name: quoted };
  return { kind: 'index', index: Number(match(cursor, integer) ?? wrong(cursor)) };
}

function readFilter(cursor: Cursor): (node: unknown) => boolean {
  match(cursor, blank);
  if (!take(cursor, '@')) throw cursor.fail('a filter starts with ?@', "for example [?@.name == 'power']");
  const path = pathOf(readSteps(cursor));
  match(cursor, blank);
  const compare = match(cursor, operator);
  if (compare === undefined) return (node) => path.first(node) !== undefined;
  match(cursor, blank);
  const quoted = readQuoted(cursor);
  const wanted: unknown = quoted ?? JSON.parse(match(cursor, literal) ?? wrong(cursor));
  match(cursor, blank);
  return (node) => holds(path.first(node), compare, wanted);
}

/** As RFC 9535: values of different types are not equal, and neither is less. */
function holds(left: unknown, compare: string, right: unknown): boolean {
  if (compare === '==') return left === right;
  if (compare === '!=') return left !== right;
  if (typeof left === 'number' && typeof right === 'number') return ordered(left, compare, right);
  if (typeof left === 'string' && typeof right === 'string') return ordered(left, compare, right);
  return (compare === '<=' || compare === '>=') && left === right;
}

function ordered<T extends number | string>(left: T, compare: string, right: T): boolean {
  if (compare === '<') return left < right;
  if (compare === '<=') return left <= right;
  return compare === '>' ? left > right : left >= right;
}

function readQuoted(cursor: Cursor): string | undefined {
  const quote = cursor.text[cursor.at];
  if (quote !== "'" && quote !== '"') return undefined;
  let value = '';
  for (cursor.at++; cursor.at < cursor.text.length; cursor.at++) {
    const char = cursor.text[cursor.at] ?? '';
    if (char === quote) {
      cursor.at++;
      return value;
    }
    if (char === '\\') cursor.at++;
    value += cursor.text[cursor.at] ?? '';
  }
  throw cursor.fail(
    `the name at the end of ${JSON.stringify(cursor.text)} is not closed`,
    `end it with ${quote}`,
  );
}

function take(cursor: Cursor, text: string): boolean {
  if (!cursor.text.startsWith(text, cursor.at)) return false;
  cursor.at += text.length;
  return true;
}

function match(cursor: Cursor, pattern: RegExp): string | undefined {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text)?.[0];
  cursor.at += found?.length ?? 0;
  return found;
}

function wrong(cursor: Cursor): never {
  throw wrongAt(cursor);
}

const wrongAt = ({ text, at, fail }: Cursor) =>
  fail(
    `${JSON.stringify(text)} is no JSONPath that rules know, at character ${at + 1}`,
    "use .name, ['any name'], [0], [*] and [?@.name == 'x']",
  );
