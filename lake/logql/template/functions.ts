import { compileRe2, type Re2 } from '../../regexp/re2.ts';
import { templateCharactersMax } from '../limits.ts';
import { parseBytes, parseGoDuration, parseGoFloat, quoted } from '../units.ts';
import { int64, integerOf, isTime, isTrue, type Time, type Value } from './ast.ts';
import { decimal } from './decimal.ts';
import { textOf } from './text.ts';
import { dateOf, formatTime, months, parseTime, weekdays } from './time.ts';

// The functions that Loki gives to templates: its own, and those of sprig that it has chosen.

/** What a parameter of a function takes. */
export type Parameter = 'string' | 'int' | 'float' | 'time' | 'any';

/** A function of templates: what it takes, at least, and what else may come, and what it does with that. */
export interface TemplateFunction {
  readonly parameters: readonly Parameter[];
  readonly variadic?: Parameter;
  readonly call: (args: readonly Value[]) => Value;
}

/** A function of texts: its parameters are as many as it declares. */
const text = (call: (...texts: string[]) => Value, count = call.length): TemplateFunction => ({
  parameters: Array.from({ length: count }, () => 'string'),
  call: (args) => call(...(args as readonly string[])),
});

/** The same with whole numbers in front. */
const counted = (call: (count: number, text: string) => Value): TemplateFunction => ({
  parameters: ['int', 'string'],
  call: ([count, value]) => call(Number(count), String(value)),
});

/** sprig's toInt64: what is no number is 0. */
function intOf(value: Value): bigint {
  const integer = integerOf(value);
  if (integer !== undefined) return integer;
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
  const integer = integerOf(value);
  if (integer !== undefined) return Number(integer);
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'string') return 0;
  try {
    return parseGoFloat(value);
  } catch {
    return 0;
  }
}

type IntFold = (a: bigint, b: bigint) => bigint;
const anything = (count: number): readonly Parameter[] => Array.from({ length: count }, () => 'any');
/** Of at least one number. */
const ints = (fold: IntFold): TemplateFunction => ({
  parameters: anything(1),
  variadic: 'any',
  call: (args) => int64(args.map(intOf).reduce((a, b) => BigInt.asIntN(64, fold(a, b)))),
});
const twoInts = (fold: IntFold): TemplateFunction => ({
  parameters: ['any', 'any'],
  call: ([a, b]) => int64(fold(intOf(a), intOf(b))),
});
const floats = (fold: (values: readonly number[]) => number, least = 1): TemplateFunction => ({
  parameters: anything(least),
  variadic: 'any',
  call: (args) => fold(args.map(floatOf)),
});
const variadic = { parameters: [], variadic: 'any' } as const;
const quotient = (a: bigint, b: bigint): bigint => {
  if (b === 0n) throw new Error('runtime error: integer divide by zero');
  return a / b;
};
const rounded = (round: (value: number) => number): TemplateFunction => ({
  parameters: ['any'],
  call: ([value]) => round(floatOf(value)),
});

const regexps = new Map<string, Re2>();
function regexpOf(pattern: string): Re2 {
  const known = regexps.get(pattern) ?? compileRe2(pattern);
  if (regexps.size > 100) regexps.clear();
  regexps.set(pattern, known);
  return known;
}

const chars = (value: string): string[] => [...value];
/** Go has one character for each. */
const upper = (value: string): string =>
  value.replace(/[^\p{ASCII}]|[a-z]+/gu, (char) => {
    const large = char.toUpperCase();
    return /^[a-z]/.test(char) || [...large].length === 1 ? large : char;
  });
const lower = (value: string): string =>
  value.replace(/[^\p{ASCII}]|[A-Z]+/gu, (char) => {
    const [first = '', ...more] = [...char.toLowerCase()];
    return /^[A-Z]/.test(char) ? first + more.join('') : first;
  });
const trimChars = (value: string, cutset: string, left: boolean, right: boolean): string => {
  const all = chars(value);
  let [from, to] = [0, all.length];
  while (left && from < to && cutset.includes(all[from] ?? '')) from++;
  while (right && to > from && cutset.includes(all[to - 1] ?? '')) to--;
  return all.slice(from, to).join('');
};

function repeat(times: number, value: string): string {
  if (times < 0) throw new Error('strings: negative Repeat count');
  if (times * value.length > templateCharactersMax) throw tooLong();
  return value.repeat(times);
}

export const tooLong = (): Error =>
  new Error(`the template makes more than ${templateCharactersMax} characters (templateCharactersMax)`);

/** The first `count` of them, or all where it is negative; nothing is found between characters and at both ends. */
function replace(value: string, from: string, to: string, count: number): string {
  if (from === '') {
    const all = chars(value);
    const limit = count < 0 ? all.length + 1 : Math.min(count, all.length + 1);
    return [...all, ''].map((char, index) => (index < limit ? to : '') + char).join('');
  }
  const parts = value.split(from);
  const limit = count < 0 ? parts.length : Math.min(count + 1, parts.length);
  return [...parts.slice(0, limit - 1), parts.slice(limit - 1).join(from)].join(to);
}

/** Bytes, as sprig counts. */
function substr(start: number, end: number, value: string): string {
  const bytes = Buffer.from(value);
  const [from, to] = [Math.max(0, start), start >= 0 && (end < 0 || end > bytes.length) ? bytes.length : end];
  if (to > bytes.length) throw outOfRange(`[:${to}] with length ${bytes.length}`);
  if (to < 0) throw outOfRange(`[:${to}]`);
  if (from > to) throw outOfRange(`[${from}:${to}]`);
  return bytes.subarray(from, to).toString();
}

const outOfRange = (bounds: string): Error => new Error(`runtime error: slice bounds out of range ${bounds}`);

function trunc(size: number, value: string): string {
  const bytes = Buffer.from(value);
  if (size < 0 && bytes.length + size > 0) return bytes.subarray(bytes.length + size).toString();
  return size >= 0 && bytes.length > size ? bytes.subarray(0, size).toString() : value;
}

function align(size: number, value: string, right: boolean): string {
  const all = chars(value);
  if (size < 0 || size === all.length) return value;
  if (size > templateCharactersMax) throw tooLong();
  if (size > all.length) {
    const pad = ' '.repeat(size - all.length);
    return right ? pad + value : value + pad;
  }
  return (right ? all.slice(all.length - size) : all.slice(0, size)).join('');
}

function indent(spaces: number, value: string): string {
  const pad = repeat(spaces, ' ');
  return pad + value.replaceAll('\n', `\n${pad}`);
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

export const escapedUrl = (value: string): string =>
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

/** What Go's functions give for a time that they can't read. */
const zeroTime: Time = { kind: 'time', ns: -62_135_596_800_000_000_000n, zone: 'UTC' };
const floorDiv = (value: bigint, by: bigint): bigint => (value - (((value % by) + by) % by)) / by;
const epoch = (by: bigint): TemplateFunction => ({
  parameters: ['time'],
  call: ([value]) => String(floorDiv((value as Time).ns, by)),
});

const now = (): Time => ({ kind: 'time', ns: BigInt(Date.now()) * 1_000_000n, zone: 'UTC' });

/** Loki's date, in UTC: of a time or of Unix seconds; whatever else is now. */
const date: TemplateFunction = {
  parameters: ['string', 'any'],
  call: ([layout, value]) => {
    const seconds = integerOf(value);
    const time = isTime(value) ? value : seconds === undefined ? now() : unixTime(seconds * 1_000_000_000n);
    return formatTime({ ...time, zone: 'UTC' }, String(layout));
  },
};

const unixTime = (ns: bigint): Time => ({ kind: 'time', ns, zone: 'UTC' });

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
  return unixTime(BigInt(value) * scale);
}

const seconds = text((value) => parseGoDuration(value) / 1e9);
const timePart = (part: (date: Date, time: Time) => Value): TemplateFunction => ({
  parameters: ['time'],
  call: ([value]) => part(dateOf(value as Time), value as Time),
});
const unixPart = (by: bigint): TemplateFunction => timePart((_, { ns }) => int64(floorDiv(ns, by)));
const twoTimes = (test: (a: Time, b: Time) => boolean): TemplateFunction => ({
  parameters: ['time', 'time'],
  call: ([a, b]) => test(a as Time, b as Time),
});
const dayMs = 86_400_000;

/** What a time can be asked for: `__timestamp__.Unix`. The first argument is the time itself. */
export const timeMethods: Readonly<Record<string, TemplateFunction>> = {
  Unix: unixPart(1_000_000_000n),
  UnixMilli: unixPart(1_000_000n),
  UnixMicro: unixPart(1000n),
  UnixNano: unixPart(1n),
  Year: timePart((part) => BigInt(part.getUTCFullYear())),
  Month: timePart((part) => months[part.getUTCMonth()] ?? ''),
  Weekday: timePart((part) => weekdays[part.getUTCDay()] ?? ''),
  Day: timePart((part) => BigInt(part.getUTCDate())),
  Hour: timePart((part) => BigInt(part.getUTCHours())),
  Minute: timePart((part) => BigInt(part.getUTCMinutes())),
  Second: timePart((part) => BigInt(part.getUTCSeconds())),
  Nanosecond: timePart((_, { ns }) => ns - floorDiv(ns, 1_000_000_000n) * 1_000_000_000n),
  YearDay: timePart((part) =>
    BigInt(Math.floor((part.getTime() - Date.UTC(part.getUTCFullYear(), 0, 1)) / dayMs) + 1),
  ),
  IsZero: timePart((_, { ns }) => ns === zeroTime.ns),
  UTC: timePart((_, { ns }) => unixTime(ns)),
  Local: timePart((_, { ns }) => unixTime(ns)),
  String: timePart((_, time) => textOf(time)),
  Format: {
    parameters: ['time', 'string'],
    call: ([time, layout]) => formatTime(time as Time, String(layout)),
  },
  Before: twoTimes((a, b) => a.ns < b.ns),
  After: twoTimes((a, b) => a.ns > b.ns),
  Equal: twoTimes((a, b) => a.ns === b.ns),
};

/** The functions of line_format and label_format, but for those that look at the line. */
export const functions: Readonly<Record<string, TemplateFunction>> = {
  ToLower: text(lower),
  ToUpper: text(upper),
  lower: text(lower),
  upper: text(upper),
  title: text(title),
  Replace: {
    parameters: ['string', 'string', 'string', 'int'],
    call: ([value, from, to, count]) => replace(String(value), String(from), String(to), Number(count)),
  },
  replace: text((from, to, value) => replace(value, from, to, -1)),
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
  repeat: counted(repeat),
  indent: counted(indent),
  nindent: counted((spaces, value) => `\n${indent(spaces, value)}`),
  substr: {
    parameters: ['int', 'int', 'string'],
    call: ([start, end, value]) => substr(Number(start), Number(end), String(value)),
  },
  trunc: counted(trunc),
  alignLeft: counted((size, value) => align(size, value, false)),
  alignRight: counted((size, value) => align(size, value, true)),
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
    parameters: ['any'],
    variadic: 'any',
    call: ([fallback, value]) => (isTrue(value) ? value : fallback),
  },
  int: { parameters: ['any'], call: ([value]) => intOf(value) },
  float64: { parameters: ['any'], call: ([value]) => floatOf(value) },
  add: { ...variadic, call: (args) => int64(args.map(intOf).reduce((a, b) => a + b, 0n)) },
  sub: twoInts((a, b) => a - b),
  mul: ints((a, b) => a * b),
  div: twoInts(quotient),
  mod: twoInts((a, b) => a - quotient(a, b) * b),
  max: ints((a, b) => (a > b ? a : b)),
  min: ints((a, b) => (a < b ? a : b)),
  addf: floats((values) => decimal('+', values), 0),
  subf: floats((values) => decimal('-', values)),
  mulf: floats((values) => decimal('*', values)),
  divf: floats((values) => decimal('/', values)),
  maxf: floats((values) => Math.max(...values)),
  minf: floats((values) => Math.min(...values)),
  ceil: rounded(Math.ceil),
  floor: rounded(Math.floor),
  round: {
    parameters: ['any', 'int'],
    variadic: 'float',
    call: ([value, places, from = 0.5]) => {
      const scale = 10 ** Number(places);
      const scaled = floatOf(value) * scale;
      // A negative number has no part above, so it goes down.
      const isUp = scaled - Math.trunc(scaled) >= Number(from);
      return (isUp ? Math.ceil(scaled) : Math.floor(scaled)) / scale;
    },
  },
  date,
  now: { parameters: [], call: now },
  toDate: text((layout, value) => parseTime(layout, value, 'UTC') ?? zeroTime),
  toDateInZone: text((layout, zone, value) => parseTime(layout, value, zone) ?? zeroTime),
  unixEpoch: epoch(1_000_000_000n),
  unixEpochMillis: epoch(1_000_000n),
  unixEpochNanos: epoch(1n),
  unixToTime: text(unixToTime),
};
