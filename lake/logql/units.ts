// Numbers, durations and sizes as Go, Prometheus and Loki read and write them, errors included.

const unitNs: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go's time.ParseDuration, in nanoseconds; throws an Error with its text. */
export function parseGoDuration(text: string): number {
  const invalid = (): Error => new Error(`time: invalid duration ${quoted(text)}`);
  const sign = text.startsWith('-') ? -1 : 1;
  let rest = text.replace(/^[-+]/, '');
  if (rest === '0') return 0;
  if (rest === '') throw invalid();
  let total = 0;
  while (rest !== '') {
    const [number = ''] = /^[0-9]*(?:\.[0-9]*)?/.exec(rest) ?? [];
    if (number === '' || number === '.') throw invalid();
    rest = rest.slice(number.length);
    const [unit = ''] = /^[^.0-9]*/.exec(rest) ?? [];
    if (unit === '') throw new Error(`time: missing unit in duration ${quoted(text)}`);
    const ns = Object.hasOwn(unitNs, unit) ? unitNs[unit] : undefined;
    if (ns === undefined) throw new Error(`time: unknown unit ${quoted(unit)} in duration ${quoted(text)}`);
    rest = rest.slice(unit.length);
    total += productNs(number, ns);
    if (total > 2 ** 63) throw invalid();
  }
  return sign * total;
}

/** Whole and fraction apart, and exactly: 16.031323 s are 16031323000 ns. */
function productNs(number: string, unit: number): number {
  const [whole = '', fraction = ''] = number.split('.');
  const part = (BigInt(fraction || '0') * BigInt(unit)) / 10n ** BigInt(fraction.length);
  return Number(whole) * unit + Number(part);
}

const rangeUnits: readonly (readonly [unit: string, ns: number])[] = [
  ...([
    ['y', 31_536_000e9],
    ['w', 604_800e9],
    ['d', 86_400e9],
    ['h', 3600e9],
  ] as const),
  ...([
    ['m', 60e9],
    ['s', 1e9],
    ['ms', 1e6],
  ] as const),
];

/** The duration of a range, in Prometheus' units from the largest on (1d, 2w3d); throws an Error with its text. */
export function parseRange(text: string): number {
  if (text === '') throw new Error('empty duration string');
  const invalid = (): Error => new Error(`not a valid duration string: ${quoted(text)}`);
  let total = 0n;
  let smallest = -1;
  for (let rest = text; rest !== '' && text !== '0'; ) {
    const [part, digits, name] = /^([0-9]+)([^0-9]+)/.exec(rest) ?? [];
    if (part === undefined || digits === undefined || name === undefined) throw invalid();
    rest = rest.slice(part.length);
    const at = rangeUnits.findIndex(([unit]) => unit === name);
    const [, ns] = rangeUnits[at] ?? [];
    if (ns === undefined) throw new Error(`unknown unit ${quoted(name)} in duration ${quoted(text)}`);
    if (at <= smallest) throw invalid();
    smallest = at;
    total += BigInt(digits) * BigInt(ns);
    if (total >= 2n ** 63n) throw new Error('duration out of range');
  }
  return Number(total);
}

/** Any duration of the query language: that of a range, or else Go's. */
export function parseDuration(text: string): number {
  try {
    return parseRange(text);
  } catch {
    return parseGoDuration(text);
  }
}

/** As Prometheus writes a range: 1h30m, 5d. */
export function rangeText(ns: number): string {
  const parts: readonly (readonly [unit: string, ns: number, exact: boolean])[] = [
    ['y', 31_536_000e9, true],
    ['w', 604_800e9, true],
    ['d', 86_400e9, false],
    ['h', 3600e9, false],
    ['m', 60e9, false],
    ['s', 1e9, false],
    ['ms', 1e6, false],
  ];
  if (ns === 0) return '0s';
  if (ns < 0 || ns % 1e6 !== 0) return goDurationText(ns);
  let rest = ns;
  let text = '';
  for (const [unit, size, exact] of parts) {
    if (exact && rest % size !== 0) continue;
    const count = Math.floor(rest / size);
    if (count === 0) continue;
    text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}

/** As Go writes a duration: 1h0m0s, 1.5s, 250ms. */
export function goDurationText(ns: number): string {
  if (ns === 0) return '0s';
  const sign = ns < 0 ? '-' : '';
  const size = Math.abs(ns);
  if (size < 1e3) return `${sign}${size}ns`;
  if (size < 1e6) return `${sign}${size / 1e3}µs`;
  if (size < 1e9) return `${sign}${size / 1e6}ms`;
  const whole = Math.floor(size / 1e9);
  const fraction = String(size % 1e9)
    .padStart(9, '0')
    .replace(/0+$/, '');
  const seconds = `${whole % 60}${fraction === '' ? '' : `.${fraction}`}s`;
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`;
}

const byteUnits: Readonly<Record<string, number>> = Object.fromEntries([
  ['', 1],
  ['b', 1],
  ...['k', 'm', 'g', 't', 'p', 'e'].flatMap((letter, index): [string, number][] => {
    const decimal = 1000 ** (index + 1);
    const binary = 1024 ** (index + 1);
    return [
      [`${letter}b`, decimal],
      [letter, decimal],
      [`${letter}ib`, binary],
      [`${letter}i`, binary],
    ];
  }),
]);

/** A size such as 2.5KiB or "1,024 MB", in bytes; throws an Error with the text of go-humanize. */
export function parseBytes(text: string): number {
  const [digits = ''] = /^[0-9.,]*/.exec(text) ?? [];
  const number = parseGoFloat(digits.replaceAll(',', ''));
  const unit = text.slice(digits.length).trim().toLowerCase();
  const size = Object.hasOwn(byteUnits, unit) ? byteUnits[unit] : undefined;
  if (size === undefined) throw new Error(`unhandled size name: ${unit}`);
  const bytes = number * size;
  if (bytes >= 2 ** 64) throw new Error(`too large: ${text}`);
  return Math.floor(bytes);
}

/** A size that reads back as the same one: 10GB where that is exact, else plain bytes. */
export function bytesText(bytes: number): string {
  for (const unit of ['EB', 'PB', 'TB', 'GB', 'MB', 'kB']) {
    const size = byteUnits[unit.toLowerCase()] ?? 1;
    if (bytes < size) continue;
    const tenths = Math.floor((bytes / size) * 10 + 0.5) / 10;
    // With its tenth, where it has one digit before it.
    const text = `${tenths < 10 ? tenths.toFixed(1) : Math.round(tenths)}${unit}`;
    return parseBytes(text) === bytes ? text : `${bytes}B`;
  }
  // `0B` would be the beginning of a binary number.
  return bytes === 0 ? '0KB' : `${bytes}B`;
}

const float = /^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$/;
const hexFloat = /^([-+]?)0[xX]([0-9a-fA-F_]*)(?:\.([0-9a-fA-F_]*))?[pP]([-+]?[0-9]+)$/;

/** Go's strconv.ParseFloat; throws an Error with its text. */
export function parseGoFloat(text: string): number {
  if (float.test(text)) {
    const value = Number(text);
    if (Number.isFinite(value)) return value;
    throw new Error(`strconv.ParseFloat: parsing ${quoted(text)}: value out of range`);
  }
  const lower = text.toLowerCase().replace(/^[-+]/, '');
  if (lower === 'inf' || lower === 'infinity') return text.startsWith('-') ? -Infinity : Infinity;
  if (text.toLowerCase() === 'nan') return Number.NaN;
  const hex = hexFloat.exec(text);
  if (hex !== null) {
    const [, sign, whole = '', fraction = '', exponent = '0'] = hex;
    const digits = `${whole}${fraction}`.replaceAll('_', '');
    const value = Number.parseInt(digits, 16) * 2 ** (Number(exponent) - 4 * fraction.length);
    if (digits !== '') return sign === '-' ? -value : value;
  }
  throw new Error(`strconv.ParseFloat: parsing ${quoted(text)}: invalid syntax`);
}

/** With an exponent of at least two digits. */
export function exponentText(value: number): string {
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
}

/** Go's %q, as far as LogQL strings need it. */
export function quoted(text: string): string {
  let out = '"';
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    const short = shortEscapes[char];
    if (short !== undefined) out += short;
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, '0')}`;
    else if (code >= 0xd800 && code < 0xe000) out += '\\ufffd';
    else if (code > 0x7e && !/[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(char))
      out +=
        code > 0xffff
          ? `\\U${code.toString(16).padStart(8, '0')}`
          : `\\u${code.toString(16).padStart(4, '0')}`;
    else out += char;
  }
  return `${out}"`;
}
const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

/** The text of a Go string literal in any of its quotes; throws an Error where an escape is none. */
export function unquote(literal: string): string {
  const quote = literal[0];
  const inner = literal.slice(1, -1);
  if (quote === '`') return inner.replaceAll('\r', '');
  if (!inner.includes('\\')) return inner;
  const bytes: number[] = [];
  for (let at = 0; at < inner.length; ) {
    const part = escapeAt(inner, at, quote ?? '"');
    bytes.push(...part.bytes);
    at += part.length;
  }
  return Buffer.from(bytes).toString('utf8');
}

const simpleEscapes: Readonly<Record<string, number>> = {
  ...{ a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, '\\': 92 },
};

function escapeAt(text: string, at: number, quote: string): { bytes: Iterable<number>; length: number } {
  const invalid = (): Error => new Error('invalid syntax');
  if (text[at] !== '\\') {
    const char = String.fromCodePoint(text.codePointAt(at) ?? 0);
    return { bytes: Buffer.from(char), length: char.length };
  }
  const next = text[at + 1] ?? '';
  if (Object.hasOwn(simpleEscapes, next)) return { bytes: [simpleEscapes[next] ?? 0], length: 2 };
  if (next === quote) return { bytes: [quote.charCodeAt(0)], length: 2 };
  const octal = /^[0-7]{3}/.exec(text.slice(at + 1))?.[0];
  if (octal !== undefined) {
    const code = Number.parseInt(octal, 8);
    if (code > 255) throw invalid();
    return { bytes: [code], length: 4 };
  }
  const digits = { x: 2, u: 4, U: 8 }[next];
  if (digits === undefined) throw invalid();
  const hex = text.slice(at + 2, at + 2 + digits);
  if (hex.length !== digits || !/^[0-9a-fA-F]+$/.test(hex)) throw invalid();
  const code = Number.parseInt(hex, 16);
  if (next === 'x') return { bytes: [code], length: 4 };
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) throw invalid();
  return { bytes: Buffer.from(String.fromCodePoint(code)), length: 2 + digits };
}
