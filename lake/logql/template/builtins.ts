import { integerOf, isList, isMap, isNil, isTime, isTrue, Labels, typeName, type Value } from './ast.ts';
import { escapedUrl, type TemplateFunction } from './functions.ts';
import { sprint, sprintf, textOf } from './text.ts';

// The functions that Go's templates have themselves, but for those that need not look at all that they are given.

type Kind = 'bool' | 'int' | 'float' | 'string';

function kindOf(value: Value): Kind | undefined {
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return 'float';
  if (typeof value === 'string') return 'string';
  return integerOf(value) === undefined ? undefined : 'int';
}

const incompatible = (a: Value, b: Value): Error =>
  new Error(`incompatible types for comparison: ${typeName(a)} and ${typeName(b)}`);

function isEqual(a: Value, b: Value): boolean {
  const [left, right] = [kindOf(a), kindOf(b)];
  if (left !== right) {
    if (isNil(a) || isNil(b)) return false;
    throw incompatible(a, b);
  }
  if (left === 'int') return integerOf(a) === integerOf(b);
  if (left !== undefined) return a === b;
  if (isNil(a) || isNil(b)) return isNil(a) && isNil(b);
  if (isTime(a) && isTime(b)) return a.ns === b.ns && a.zone === b.zone;
  throw new Error(`non-comparable type ${sprintf('%s', [b])}: ${typeName(b)}`);
}

function isLess(a: Value, b: Value): boolean {
  const [left, right] = [kindOf(a), kindOf(b)];
  if (left === undefined || right === undefined) throw new Error('invalid type for comparison');
  if (left !== right) throw incompatible(a, b);
  if (left === 'bool') throw new Error('invalid type for comparison');
  if (left === 'int') return (integerOf(a) ?? 0n) < (integerOf(b) ?? 0n);
  // Texts by their bytes.
  if (typeof a === 'string' && typeof b === 'string')
    return Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0;
  return (a as number) < (b as number);
}

const comparison = (test: (a: Value, b: Value) => boolean): TemplateFunction => ({
  parameters: ['any', 'any'],
  call: ([a, b]) => test(a, b),
});

/** A place in a text or list of so many; its end is one. */
function indexOf(index: Value, size: number): number {
  if (isNil(index)) throw new Error('cannot index slice/array with nil');
  const found = integerOf(index);
  if (found === undefined) throw new Error(`cannot index slice/array with type ${typeName(index)}`);
  if (found < 0n || found > BigInt(size)) throw new Error(`index out of range: ${found}`);
  return Number(found);
}

function itemAt(value: Value, key: Value): Value {
  if (value === null) throw new Error('index of nil pointer');
  if (isMap(value)) {
    if (isNil(key)) throw new Error('value is nil; should be of type string');
    if (typeof key !== 'string') throw new Error(`value has type ${typeName(key)}; should be string`);
    return value.has(key) ? value.get(key) : value instanceof Labels ? '' : null;
  }
  const bytes = typeof value === 'string' ? Buffer.from(value) : undefined;
  const items = bytes ?? (isList(value) ? value : undefined);
  if (items === undefined) throw new Error(`can't index item of type ${typeName(value)}`);
  const index = indexOf(key, items.length);
  if (index === items.length)
    throw new Error(`reflect: ${bytes === undefined ? 'slice' : 'string'} index out of range`);
  return bytes === undefined ? (items[index] as Value) : BigInt(bytes[index] ?? 0);
}

function sliceOf(value: Value, indexes: readonly Value[]): Value {
  if (isNil(value)) throw new Error('slice of untyped nil');
  if (indexes.length > 3) throw new Error(`too many slice indexes: ${indexes.length}`);
  const bytes = typeof value === 'string' ? Buffer.from(value) : undefined;
  if (bytes !== undefined && indexes.length === 3) throw new Error('cannot 3-index slice a string');
  const items = bytes ?? (isList(value) ? value : undefined);
  if (items === undefined) throw new Error(`can't slice item of type ${typeName(value)}`);
  const [from = 0, to = items.length, capacity = to] = indexes.map((index) => indexOf(index, items.length));
  if (from > to) throw new Error(`invalid slice index: ${from} > ${to}`);
  if (to > capacity) throw new Error(`invalid slice index: ${to} > ${capacity}`);
  return bytes === undefined
    ? (items.slice(from, to) as readonly Value[])
    : bytes.subarray(from, to).toString();
}

function lengthOf(value: Value): bigint {
  if (typeof value === 'string') return BigInt(Buffer.byteLength(value));
  if (isList(value)) return BigInt(value.length);
  if (isMap(value)) return BigInt(value.size);
  if (isNil(value)) throw new Error('reflect: call of reflect.Value.Type on zero Value');
  throw new Error(`len of type ${typeName(value)}`);
}

/** The arguments of an escaping function as one text. */
const joined = (args: readonly Value[]): string =>
  sprint(args.map((value) => (isNil(value) ? '<no value>' : value)));

const htmlEscapes: Readonly<Record<string, string>> = {
  ...{ '\0': '\ufffd', '"': '&#34;', "'": '&#39;', '&': '&amp;', '<': '&lt;', '>': '&gt;' },
};
const jsEscapes: Readonly<Record<string, string>> = { '\\': '\\\\', "'": "\\'", '"': '\\"' };

const escapedJs = (text: string): string =>
  text.replace(
    /[\\'"<>&=\p{Cc}]|[^\p{ASCII}\p{L}\p{M}\p{N}\p{P}\p{S}]/gu,
    (char) =>
      jsEscapes[char] ?? `\\u${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`,
  );

const variadic = (call: (args: readonly Value[]) => Value): TemplateFunction => ({
  ...{ parameters: [], variadic: 'any', call },
});

export const builtins: Readonly<Record<string, TemplateFunction>> = {
  not: { parameters: ['any'], call: ([value]) => !isTrue(value) },
  eq: {
    parameters: ['any'],
    variadic: 'any',
    call: ([a, ...rest]) => {
      if (rest.length === 0) throw new Error('missing argument for comparison');
      return rest.some((b) => isEqual(a, b));
    },
  },
  ne: comparison((a, b) => !isEqual(a, b)),
  lt: comparison(isLess),
  le: comparison((a, b) => isLess(a, b) || isEqual(a, b)),
  gt: comparison((a, b) => !(isLess(a, b) || isEqual(a, b))),
  ge: comparison((a, b) => !isLess(a, b)),
  index: {
    parameters: ['any'],
    variadic: 'any',
    call: ([value, ...keys]) => {
      if (isNil(value)) throw new Error('index of untyped nil');
      return keys.reduce(itemAt, value);
    },
  },
  slice: { parameters: ['any'], variadic: 'any', call: ([value, ...indexes]) => sliceOf(value, indexes) },
  len: { parameters: ['any'], call: ([value]) => lengthOf(value) },
  print: variadic(sprint),
  println: variadic((args) => `${args.map(textOf).join(' ')}\n`),
  printf: {
    parameters: ['string'],
    variadic: 'any',
    call: ([format, ...args]) => sprintf(String(format), args),
  },
  html: variadic((args) => joined(args).replace(/[\0"'&<>]/g, (char) => htmlEscapes[char] ?? char)),
  js: variadic((args) => escapedJs(joined(args))),
  urlquery: variadic((args) => escapedUrl(joined(args))),
};
