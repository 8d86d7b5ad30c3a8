import { compileRe2, type Re2 } from '../../regexp/re2.ts';
import { templateCharactersMax } from '../limits.ts';
import { parseBytes, parseGoDuration, parseGoFloat, quoted } from '../units.ts';
import { isTime, type Time, type Value } from './ast.ts';
import { sprintf, textOf } from './text.ts';
import { formatTime, parseTime } from './time.ts';

/** A function of templates: how many arguments it takes (at least, where `more`), and what it does with them. */
export interface TemplateFunction {
  readonly arity: number;
  readonly more?: boolean;
  readonly call: (args: readonly Value[]) => Value;
}

type Text = (...texts: string[]) => Value;
/** A function of texts: its parameters are as many as it declares. */
const text = (call: Text, arity = call.length): TemplateFunction => ({
  arity,
  call: (args) => call(...args.map(stringOf)),
});

function stringOf(value: Value): string {
  if (typeof value === 'string') return value;
  if (value === null) return '';
  throw new Error(`expected string; found ${textOf(value)}`);
}

/** sprig's toInt64: what is no number is 0. */
function intOf(value: Value): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  if (typeof value !== 'string') return 0n;
  // A fraction is left out; a 0 before other digits is octal, as in Go.
  const [, sign, digits = ''] =
    /^([-+]?)(\d+(?=\.\d*$|$)|0[xX][0-9a-fA-F]+$|0[bB][01]+$|0[oO][0-7]+$)/.exec(value) ?? [];
  const octal = /^0(?=\d)/.test(digits);
  if (digits === '' || (octal && /[89]/.test(digits))) return 0n;
  const size = BigInt(octal ? `0o${digits}` : digits.toLowerCase());
  const signed = sign === '-' ? -size : size;
  return BigInt.asIntN(64, signed) === signed ? signed : 0n;
}

function floatOf(value: Value): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'string') return 0;
  try {
    return parseGoFloat(value);
  } catch {
    return 0;
  }
}

const ints = (fold: (a: bigint, b: bigint) => bigint): TemplateFunction => ({
  arity: 1,
  more: true,
  call: (args) => args.map(intOf).reduce((a, b) => BigInt.asIntN(64, fold(a, b))),
});
const floats = (fold: (a: number, b: number) => number): TemplateFunction => ({
  arity: 1,
  more: true,
  call: (args) => args.map(floatOf).reduce(fold),
});
const quotient = (a: bigint, b: bigint): bigint => {
  if (b === 0n) throw new Error('runtime error: integer divide by zero');
  return a / b;
};
const rounded = (round: (value: number) => number): TemplateFunction => ({
  arity: 1,
  call: ([value = null]) => round(floatOf(value)),
});

const regexps = new Map<string, Re2>();
function regexpOf(pattern: string): Re2 {
  const known = regexps.get(pattern) ?? compileRe2(pattern);
  if (regexps.size > 100) regexps.clear();
  regexps.set(pattern, known);
  return known;
}

const chars = (value: string): string[] => [...value];
const trimChars = (value: string, cutset: string, left: boolean, right: boolean): string => {
  const all = chars(value);
  let [from, to] = [0, all.length];
  while (left && from < to && cutset.includes(all[from] ?? '')) from++;
  while (right && to > from && cutset.includes(all[to - 1] ?? '')) to--;
  return all.slice(from, to).join('');
};

function repeat(count: Value, value: Value): string {
  const times = Math.max(0, Number(intOf(count)));
  const one = stringOf(value);
  if (times * one.length > templateCharactersMax) throw tooLong();
  return one.repeat(times);
}

export const tooLong = (): Error =>
  new Error(`the template makes more than ${templateCharactersMax} characters (templateCharactersMax)`);

function replace(value: string, from: string, to: string, count: bigint): string {
  if (count < 0n) return value.replaceAll(from, () => to);
  let rest = value;
  let out = '';
  for (let left = count; left > 0n && rest.includes(from) && from !== ''; left--) {
    const at = rest.indexOf(from);
    out += rest.slice(0, at) + to;
    rest = rest.slice(at + from.length);
  }
  return out + rest;
}

/** Bytes, as sprig counts. */
function substr(start: Value, end: Value, value: Value): string {
  const bytes = Buffer.from(stringOf(value));
  const [from, to] = [Number(intOf(start)), Number(intOf(end))];
  if (from < 0) return bytes.subarray(0, Math.max(0, to)).toString();
  if (to < 0 || to > bytes.length) return bytes.subarray(from).toString();
  return bytes.subarray(from, to).toString();
}

function trunc(count: Value, value: Value): string {
  const bytes = Buffer.from(stringOf(value));
  const size = Number(intOf(count));
  if (size < 0 && bytes.length + size > 0) return bytes.subarray(bytes.length + size).toString();
  return size >= 0 && bytes.length > size ? bytes.subarray(0, size).toString() : bytes.toString();
}

function align(count: Value, value: Value, right: boolean): string {
  const size = Number(intOf(count));
  const all = chars(stringOf(value));
  if (size < 0 || size === all.length) return all.join('');
  if (size > templateCharactersMax) throw tooLong();
  if (size > all.length) {
    const pad = ' '.repeat(size - all.length);
    return right ? pad + all.join('') : all.join('') + pad;
  }
  return (right ? all.slice(all.length - size) : all.slice(0, size)).join('');
}

function indent(count: Value, value: Value): string {
  const pad = repeat(count, ' ');
  return pad + stringOf(value).replaceAll('\n', `\n${pad}`);
}

const title = (value: string): string =>
  value.replace(
    /(^|[\0-/:-@[-^`{-\x7f]|\p{White_Space})(\p{L})/gu,
    (_, before: string, letter: string) => before + letter.toUpperCase(),
  );

/** Base64 without its padding is read too; what is none is answered by what is wrong. */
function base64(value: string): string {
  const padded = value.length % 4 > 1 ? value.padEnd(Math.ceil(value.length / 4) * 4, '=') : value;
  const [digits = ''] = /^[A-Za-z0-9+/\r\n]*/.exec(padded) ?? [];
  const rest = padded.slice(digits.length).replace(/[\r\n]/g, '');
  const over = digits.replace(/[\r\n]/g, '').length % 4;
  if (over === 1 && rest === '') return illegalBase64(digits.length - 1);
  if (rest !== '='.repeat((4 - over) % 4)) return illegalBase64(digits.length);
  return Buffer.from(digits, 'base64').toString('utf8');
}

const illegalBase64 = (byte: number): string => `illegal base64 data at input byte ${byte}`;

function unescaped(value: string): string {
  const wrong = /%(?![0-9a-fA-F]{2}).{0,2}/s.exec(value);
  if (wrong !== null) throw new Error(`invalid URL escape ${JSON.stringify(wrong[0])}`);
  const bytes = value
    .replaceAll('+', ' ')
    .replace(/(?:%[0-9a-fA-F]{2})+/g, (run) => Buffer.from(run.replaceAll('%', ''), 'hex').toString());
  return bytes;
}

const escapedUrl = (value: string): string =>
  encodeURIComponent(value)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');

function fromJson(value: unknown): Value {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value;
  if (Array.isArray(value)) return value.map(fromJson);
  return new Map(Object.entries(value as object).map(([key, one]) => [key, fromJson(one)]));
}

function jsonOf(value: string): Value {
  try {
    return fromJson(JSON.parse(value));
  } catch {
    return null;
  }
}

const timeOf = (value: Value): Time => {
  if (typeof value === 'object' && value !== null && isTime(value)) return value;
  if (typeof value === 'bigint') return { kind: 'time', ns: value * 1_000_000_000n, zone: 'UTC' };
  throw new Error(`expected time.Time; found ${textOf(value)}`);
};
/** What Go's functions give for a time that they can't read. */
const zeroTime: Time = { kind: 'time', ns: -62_135_596_800_000_000_000n, zone: 'UTC' };
const floorDiv = (value: bigint, by: bigint): bigint => (value - (((value % by) + by) % by)) / by;
const epoch = (by: bigint): TemplateFunction => ({
  arity: 1,
  call: ([value = null]) => String(floorDiv(timeOf(value).ns, by)),
});

/** Loki's date: with a layout, in UTC. */
const date: TemplateFunction = {
  arity: 2,
  call: ([layout = null, value = null]) => formatTime({ ...timeOf(value), zone: 'UTC' }, stringOf(layout)),
};

/** The digits of a Unix time say what it counts: days, seconds, milliseconds, microseconds or nanoseconds. */
function unixToTime(value: string): Time {
  const unable = (why: string): Error => new Error(`unable to parse time '${value}': ${why}`);
  const parsing = `strconv.ParseInt: parsing ${quoted(value)}`;
  if (!/^[-+]?\d+$/.test(value)) throw unable(`${parsing}: invalid syntax`);
  if (BigInt.asIntN(64, BigInt(value)) !== BigInt(value)) throw unable(`${parsing}: value out of range`);
  const scale = { 5: 86_400_000_000_000n, 10: 1_000_000_000n, 13: 1_000_000n, 16: 1000n, 19: 1n }[
    value.length
  ];
  // Loki's own words.
  if (scale === undefined) throw unable('%!w(<nil>)');
  return { kind: 'time', ns: BigInt(value) * scale, zone: 'UTC' };
}

const seconds = text((value) => parseGoDuration(value) / 1e9);
const isEmpty = (value: Value): boolean =>
  [null, '', 0, 0n, false].includes(value as never) ||
  (Array.isArray(value) && value.length === 0) ||
  (value instanceof Map && value.size === 0);

/** The functions of line_format and label_format, but for those that look at the line. */
export const functions: Readonly<Record<string, TemplateFunction>> = {
  ToLower: text((value) => value.toLowerCase()),
  ToUpper: text((value) => value.toUpperCase()),
  lower: text((value) => value.toLowerCase()),
  upper: text((value) => value.toUpperCase()),
  title: text(title),
  Replace: {
    arity: 4,
    call: ([value = null, from = null, to = null, count = null]) =>
      replace(stringOf(value), stringOf(from), stringOf(to), intOf(count)),
  },
  replace: text((from, to, value) => replace(value, from, to, -1n)),
  Trim: text((value, cutset) => trimChars(value, cutset, true, true)),
  TrimLeft: text((value, cutset) => trimChars(value, cutset, true, false)),
  TrimRight: text((value, cutset) => trimChars(value, cutset, false, true)),
  TrimPrefix: text((value, prefix) => (value.startsWith(prefix) ? value.slice(prefix.length) : value)),
  TrimSuffix: text((value, suffix) =>
    suffix !== '' && value.endsWith(suffix) ? value.slice(0, -suffix.length) : value,
  ),
  TrimSpace: text((value) => value.trim()),
  trim: text((value) => value.trim()),
  trimAll: text((cutset, value) => trimChars(value, cutset, true, true)),
  trimPrefix: text((prefix, value) => (value.startsWith(prefix) ? value.slice(prefix.length) : value)),
  trimSuffix: text((suffix, value) =>
    suffix !== '' && value.endsWith(suffix) ? value.slice(0, -suffix.length) : value,
  ),
  contains: text((part, value) => value.includes(part)),
  hasPrefix: text((part, value) => value.startsWith(part)),
  hasSuffix: text((part, value) => value.endsWith(part)),
  repeat: { arity: 2, call: ([count = null, value = null]) => repeat(count, value) },
  indent: { arity: 2, call: ([count = null, value = null]) => indent(count, value) },
  nindent: { arity: 2, call: ([count = null, value = null]) => `\n${indent(count, value)}` },
  substr: { arity: 3, call: ([start = null, end = null, value = null]) => substr(start, end, value) },
  trunc: { arity: 2, call: ([count = null, value = null]) => trunc(count, value) },
  alignLeft: { arity: 2, call: ([count = null, value = null]) => align(count, value, false) },
  alignRight: { arity: 2, call: ([count = null, value = null]) => align(count, value, true) },
  regexReplaceAll: text((pattern, value, by) => regexpOf(pattern).replaceAll(value, by)),
  regexReplaceAllLiteral: text((pattern, value, by) => regexpOf(pattern).replaceAllText(value, by)),
  count: text((pattern, value) => BigInt(regexpOf(pattern).count(value))),
  urldecode: text(unescaped),
  urlencode: text(escapedUrl),
  b64enc: text((value) => Buffer.from(value).toString('base64')),
  b64dec: text(base64),
  fromJson: text(jsonOf),
  bytes: text((value) => parseBytes(value)),
  duration: seconds,
  duration_seconds: seconds,
  default: {
    arity: 1,
    more: true,
    call: ([fallback = null, value = null]) => (isEmpty(value) ? fallback : value),
  },
  int: { arity: 1, call: ([value = null]) => intOf(value) },
  int64: { arity: 1, call: ([value = null]) => intOf(value) },
  float64: { arity: 1, call: ([value = null]) => floatOf(value) },
  add: ints((a, b) => a + b),
  sub: { ...ints((a, b) => a - b), arity: 2, more: false },
  mul: ints((a, b) => a * b),
  div: { ...ints(quotient), arity: 2, more: false },
  mod: {
    arity: 2,
    call: ([a = null, b = null]) => {
      const [left, right] = [intOf(a), intOf(b)];
      return left - quotient(left, right) * right;
    },
  },
  max: ints((a, b) => (a > b ? a : b)),
  min: ints((a, b) => (a < b ? a : b)),
  addf: floats((a, b) => a + b),
  subf: floats((a, b) => a - b),
  mulf: floats((a, b) => a * b),
  divf: floats((a, b) => a / b),
  maxf: floats(Math.max),
  minf: floats(Math.min),
  ceil: rounded(Math.ceil),
  floor: rounded(Math.floor),
  round: {
    arity: 2,
    more: true,
    call: ([value = null, places = null, from = 0.5]) => {
      const scale = 10 ** Number(intOf(places));
      const scaled = floatOf(value) * scale;
      // A negative number has no part above, so it goes down.
      const isUp = scaled - Math.trunc(scaled) >= floatOf(from);
      return (isUp ? Math.ceil(scaled) : Math.floor(scaled)) / scale;
    },
  },
  date,
  now: { arity: 0, call: () => ({ kind: 'time', ns: BigInt(Date.now()) * 1_000_000n, zone: 'UTC' }) },
  toDate: text((layout, value) => parseTime(layout, value, 'UTC') ?? zeroTime),
  toDateInZone: text((layout, zone, value) => parseTime(layout, value, zone) ?? zeroTime),
  unixEpoch: epoch(1_000_000_000n),
  unixEpochMillis: epoch(1_000_000n),
  unixEpochNanos: epoch(1n),
  unixToTime: text(unixToTime),
  printf: { arity: 1, more: true, call: ([format = null, ...args]) => sprintf(stringOf(format), args) },
  print: {
    arity: 0,
    more: true,
    call: (args) =>
      args
        .map((value, index) => {
          const spaced = index > 0 && typeof value !== 'string' && typeof args[index - 1] !== 'string';
          return (spaced ? ' ' : '') + textOf(value);
        })
        .join(''),
  },
  println: { arity: 0, more: true, call: (args) => `${args.map(textOf).join(' ')}\n` },
  len: {
    arity: 1,
    call: ([value = null]) => {
      if (typeof value === 'string') return BigInt(Buffer.byteLength(value));
      if (Array.isArray(value)) return BigInt(value.length);
      if (value instanceof Map) return BigInt(value.size);
      throw new Error(`len of type ${typeof value}`);
    },
  },
  urlquery: { arity: 0, more: true, call: (args) => escapedUrl(args.map(textOf).join('')) },
  html: {
    arity: 0,
    more: true,
    call: (args) =>
      args
        .map(textOf)
        .join('')
        .replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
        .replaceAll('&#38;', '&amp;')
        .replaceAll('&#60;', '&lt;')
        .replaceAll('&#62;', '&gt;'),
  },
};
