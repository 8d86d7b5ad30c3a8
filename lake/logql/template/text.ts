import { exponentText, quoted } from '../units.ts';
import { integerOf, isInt64, isList, isMap, isNil, isTime, typeName, type Value } from './ast.ts';
import { formatTime } from './time.ts';

// How Go prints values: %v, Sprint and Sprintf.

/** %v. */
export function textOf(value: Value): string {
  if (isNil(value)) return '<nil>';
  if (typeof value === 'number') return floatText(value);
  if (isTime(value)) return formatTime(value, '2006-01-02 15:04:05.999999999 -0700 MST');
  if (isInt64(value)) return String(value.value);
  if (isList(value)) return `[${value.map(textOf).join(' ')}]`;
  if (isMap(value)) return `map[${entriesOf(value, textOf)}]`;
  return String(value);
}

const entriesOf = (map: ReadonlyMap<string, Value>, print: (value: Value) => string): string =>
  sortedEntries(map)
    .map(([key, one]) => `${key}:${print(one)}`)
    .join(' ');

export const sortedEntries = (map: ReadonlyMap<string, Value>): readonly (readonly [string, Value])[] =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1));

/** Sprint: a blank between two neither of which is a text. */
export const sprint = (args: readonly Value[]): string =>
  args
    .map((value, index) => {
      const spaced = index > 0 && typeof value !== 'string' && typeof args[index - 1] !== 'string';
      return (spaced ? ' ' : '') + textOf(value);
    })
    .join('');

/** %v of a float64. */
function floatText(value: number): string {
  return notFinite(value) ?? generalText(value, undefined);
}

const notFinite = (value: number): string | undefined =>
  Number.isFinite(value) ? undefined : Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';

/** %g: with an exponent below 1e-4, and from 1e6, or from the precision, on. */
function generalText(value: number, precision: number | undefined): string {
  const digits = Math.max(1, Math.min(100, precision ?? 6));
  const scientific = precision === undefined ? exponentText(value) : exponentOf(value, digits - 1);
  const exponent = Number(scientific.slice(scientific.indexOf('e') + 1));
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const isLong = exponent < -4 || exponent >= (precision === undefined ? 6 : digits);
  const text = isLong
    ? scientific
    : precision === undefined
      ? String(value)
      : fixedText(value, Math.max(0, digits - 1 - exponent));
  if (precision === undefined) return text;
  return text.replace(/(\.\d*?)0+(?=e|$)/, '$1').replace(/\.(?=e|$)/, '');
}

const exponentOf = (value: number, digits: number): string =>
  value.toExponential(Math.min(100, digits)).replace(/e([+-])(\d)$/, 'e$10$2');

/** %f: what lies in the middle of two goes to the even one, as in Go. */
function fixedText(value: number, places: number): string {
  const digits = Math.min(100, places);
  if (Math.abs(value) >= 1e21) return BigInt(value) + (digits > 0 ? `.${'0'.repeat(digits)}` : '');
  const text = value.toFixed(digits);
  const exact = value.toFixed(Math.min(100, digits + 60));
  const isTie = new RegExp(`\\.\\d{${digits}}50*$`).test(exact);
  if (!isTie || !/[13579]$/.test(text)) return text;
  return exact.slice(0, exact.indexOf('.') + (digits === 0 ? 0 : digits + 1));
}

interface Format {
  readonly verb: string;
  readonly flags: string;
  readonly width: number;
  readonly precision: number | undefined;
}

const widthMax = 10_000;
const directive =
  /%(?<flags>[-+# 0]*)(?:\[(?<widthIndex>[^\]]*)\](?=\*))?(?<width>\d+|\*)?(?:\.(?:\[(?<precisionIndex>[^\]]*)\](?=\*))?(?<precision>\d+|\*)?)?(?:\[(?<index>[^\]]*)\])?(?<verb>[\s\S])?/gu;

/** Go's Sprintf for the values that templates have. */
export function sprintf(format: string, args: readonly Value[]): string {
  const state = { used: 0, reordered: false };
  const take = (): Value => args[state.used++];
  /** False where the number of an argument is none. */
  const jump = (index: string | undefined): boolean => {
    if (index === undefined) return true;
    state.reordered = true;
    const number = /^\d+$/.test(index) ? Number(index) : 0;
    if (number < 1 || number > args.length) return false;
    state.used = number - 1;
    return true;
  };
  const out = format.replace(directive, (_whole, ...rest: unknown[]) => {
    const groups = rest.at(-1) as Record<string, string | undefined>;
    const { verb } = groups;
    let { flags = '' } = groups;
    if (verb === undefined) return '%!(NOVERB)';
    let problem = '';
    const size = (text: string | undefined, index: string | undefined, bad: string): number | undefined => {
      if (text !== '*') return text === undefined ? undefined : Math.min(widthMax, Number(text));
      if (!jump(index)) return undefined;
      const given = integerOf(take());
      if (given !== undefined && given <= widthMax && given >= -widthMax) return Number(given);
      problem += `%!(${bad})`;
      return undefined;
    };
    const wide = size(groups.width, groups.widthIndex, 'BADWIDTH') ?? 0;
    if (wide < 0) flags = `${flags.replaceAll('0', '')}-`;
    const dotted = /\.(?:\[[^\]]*\])?(?:\d+|\*)?/.test(_whole as string) && groups.precision === undefined;
    const precision = dotted ? 0 : size(groups.precision, groups.precisionIndex, 'BADPREC');
    if (verb === '%') return `${problem}%`;
    if (!jump(groups.index)) return `${problem}%!${verb}(BADINDEX)`;
    if (state.used >= args.length) return `${problem}%!${verb}(${state.reordered ? 'BADINDEX' : 'MISSING'})`;
    return problem + verbText(take(), { verb, flags, width: Math.abs(wide), precision });
  });
  if (state.reordered || state.used >= args.length) return out;
  const extra = args
    .slice(state.used)
    .map((value) => (isNil(value) ? '<nil>' : `${typeName(value)}=${textOf(value)}`));
  return `${out}%!(EXTRA ${extra.join(', ')})`;
}

/** What is wrong with a verb for a value. */
const wrong = ({ verb }: Format, value: Value): string =>
  isNil(value) ? `%!${verb}(<nil>)` : `%!${verb}(${typeName(value)}=${textOf(value)})`;

function verbText(value: Value, format: Format): string {
  const { verb } = format;
  if (verb === 'T') return padded(isNil(value) ? '<nil>' : typeName(value), format);
  if (isNil(value)) return verb === 'v' ? padded('<nil>', format) : wrong(format, value);
  const integer = integerOf(value);
  if (integer !== undefined) return integerText(integer, value, format);
  if (typeof value === 'number') return numberText(value, format);
  if (typeof value === 'string') return stringText(value, format);
  if (typeof value === 'boolean')
    return verb === 't' || verb === 'v' ? padded(String(value), format) : wrong(format, value);
  if (isTime(value)) return stringText(textOf(value), format);
  const sharp = verb === 'v' && format.flags.includes('#');
  if (isList(value)) {
    const items = value.map((one) => verbText(one, format));
    return sharp ? `[]interface {}{${items.join(', ')}}` : `[${items.join(' ')}]`;
  }
  if (isMap(value)) return `map[${entriesOf(value, (one) => verbText(one, format))}]`;
  return wrong(format, value);
}

function padded(text: string, { flags, width }: Format, zeros = false): string {
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes('-')) return text + ' '.repeat(missing);
  if (!zeros || !flags.includes('0')) return ' '.repeat(missing) + text;
  const sign = /^[-+ ]/.exec(text)?.[0] ?? '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
}

const signed = (text: string, flags: string): string =>
  text.startsWith('-') || text.startsWith('+')
    ? text
    : flags.includes('+')
      ? `+${text}`
      : flags.includes(' ')
        ? ` ${text}`
        : text;

const bases: Readonly<Record<string, readonly [base: number, prefix: string]>> = {
  ...{ d: [10, ''], v: [10, ''], b: [2, '0b'], o: [8, '0'], O: [8, '0o'], x: [16, '0x'], X: [16, '0X'] },
};

function integerText(integer: bigint, value: Value, format: Format): string {
  const { verb, flags, precision } = format;
  const base = bases[verb];
  if (base !== undefined) {
    const [radix, prefix] = base;
    const size = integer < 0n ? -integer : integer;
    let digits = size.toString(radix).padStart(precision ?? 0, '0');
    if (verb === 'X') digits = digits.toUpperCase();
    const shown = flags.includes('#') || verb === 'O' ? prefix : '';
    const text = signed(`${integer < 0n ? '-' : ''}${shown}${digits}`, verb === 'v' ? '' : flags);
    return padded(text, format, precision === undefined);
  }
  const code = integer >= 0n && integer <= 0x10ffffn ? Number(integer) : 0xfffd;
  const char = String.fromCodePoint(code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
  if (verb === 'c') return padded(char, format);
  if (verb === 'q')
    return padded(
      `'${char === "'" ? "\\'" : char === '"' ? '"' : quotedText(char, flags).slice(1, -1)}'`,
      format,
    );
  if (verb === 'U') {
    const hex = `U+${integer.toString(16).toUpperCase().padStart(4, '0')}`;
    return padded(flags.includes('#') ? `${hex} '${char}'` : hex, format);
  }
  return wrong(format, value);
}

function numberText(value: number, format: Format): string {
  const { verb, flags, precision } = format;
  const plain = plainNumber(value, verb, precision);
  if (plain === undefined) return wrong(format, value);
  return padded(signed(plain, flags), format, Number.isFinite(value));
}

function plainNumber(value: number, verb: string, precision: number | undefined): string | undefined {
  if (!'vfFeEgG'.includes(verb)) return undefined;
  const odd = notFinite(value);
  if (odd !== undefined) return odd;
  switch (verb) {
    case 'f':
    case 'F':
      return fixedText(value, precision ?? 6);
    case 'e':
      return exponentOf(value, precision ?? 6);
    case 'E':
      return exponentOf(value, precision ?? 6).toUpperCase();
    case 'G':
      return generalText(value, precision).toUpperCase();
    default:
      return generalText(value, precision);
  }
}

function stringText(value: string, format: Format): string {
  const { verb, flags, precision } = format;
  const cut = precision === undefined ? value : [...value].slice(0, precision).join('');
  switch (verb) {
    case 'v':
      return padded(flags.includes('#') ? quoted(cut) : cut, format);
    case 's':
      return padded(cut, format, true);
    case 'q':
      return padded(quotedText(cut, flags), format, true);
    case 'x':
    case 'X': {
      const bytes = Buffer.from(value).subarray(0, precision);
      const prefix = flags.includes('#') ? '0x' : '';
      const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0'));
      const text = flags.includes(' ') ? hex.map((one) => prefix + one).join(' ') : prefix + hex.join('');
      return padded(verb === 'X' ? text.toUpperCase() : text, format, true);
    }
    default:
      return wrong(format, value);
  }
}

/** %q: in backquotes by `#`, and in ASCII by `+`. */
function quotedText(value: string, flags: string): string {
  if (flags.includes('#') && !/[`\p{Cc}\ufeff]/u.test(value.replaceAll('\t', ''))) return `\`${value}\``;
  const text = quoted(value);
  if (!flags.includes('+')) return text;
  return text.replace(/[^\p{ASCII}]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return code > 0xffff
      ? `\\U${code.toString(16).padStart(8, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}
