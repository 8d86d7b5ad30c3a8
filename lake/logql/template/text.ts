import { exponentText } from '../units.ts';
import { isTime, type Value } from './ast.ts';
import { formatTime } from './time.ts';

// How Go prints values: %v, and printf.

/** %v. */
export function textOf(value: Value): string {
  if (value === null) return '<no value>';
  if (typeof value === 'number') return floatText(value);
  if (typeof value === 'object') {
    if (isTime(value)) return formatTime(value, '2006-01-02 15:04:05.999999999 -0700 MST');
    if (Array.isArray(value)) return `[${value.map(textOf).join(' ')}]`;
    const entries = [...(value as ReadonlyMap<string, Value>)].sort(([a], [b]) => (a < b ? -1 : 1));
    return `map[${entries.map(([key, one]) => `${key}:${textOf(one)}`).join(' ')}]`;
  }
  return String(value);
}

/** %v of a float64: an exponent below 1e-4 and from 1e6 on. */
function floatText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const scientific = exponentText(value);
  const exponent = Number(scientific.slice(scientific.indexOf('e') + 1));
  return exponent < -4 || exponent >= 6 ? scientific : String(value);
}

const verbs = /%(?<flags>[-+# 0]*)(?<width>\d+|\*)?(?:\.(?<precision>\d+|\*)?)?(?<verb>[a-zA-Z%])/g;
const widthMax = 10_000;

/** Go's Sprintf for the values that templates have. */
export function sprintf(format: string, args: readonly Value[]): string {
  let used = 0;
  const take = (): Value | undefined => args[used++];
  const out = format.replace(verbs, (_whole, ...rest: unknown[]) => {
    const groups = rest.at(-1) as Record<string, string | undefined>;
    const { flags = '', verb = 'v' } = groups;
    if (verb === '%') return '%';
    const size = (text: string | undefined): number | undefined =>
      text === undefined ? undefined : Math.min(widthMax, Number(text === '*' ? (take() ?? 0) : text));
    const width = size(groups.width) ?? 0;
    const precision = size(groups.precision);
    const value = take();
    if (value === undefined) return `%!${verb}(MISSING)`;
    const text = verbText(verb, value, flags, precision);
    if (flags.includes('-')) return text.padEnd(width);
    if (!flags.includes('0') || typeof value === 'string') return text.padStart(width);
    const sign = /^[-+]/.exec(text)?.[0] ?? '';
    return sign + text.slice(sign.length).padStart(width - sign.length, '0');
  });
  if (used >= args.length) return out;
  const extra = args.slice(used).map((value) => `${typeName(value)}=${textOf(value)}`);
  return `${out}%!(EXTRA ${extra.join(', ')})`;
}

function verbText(verb: string, value: Value, flags: string, precision: number | undefined): string {
  const signed = (text: string): string => (flags.includes('+') && !text.startsWith('-') ? `+${text}` : text);
  switch (verb) {
    case 'v':
      return textOf(value);
    case 's':
      if (typeof value === 'string')
        return precision === undefined ? value : [...value].slice(0, precision).join('');
      return isPlain(value) ? wrong(verb, value) : textOf(value);
    case 'q':
      return typeof value === 'string' ? JSON.stringify(value) : wrong(verb, value);
    case 'd':
      return typeof value === 'bigint' ? signed(String(value)) : wrong(verb, value);
    case 'x':
    case 'X': {
      const text =
        typeof value === 'bigint'
          ? value.toString(16)
          : typeof value === 'string'
            ? Buffer.from(value).toString('hex')
            : wrong(verb, value);
      return verb === 'X' ? text.toUpperCase() : text;
    }
    case 'b':
    case 'o':
      return typeof value === 'bigint' ? value.toString(verb === 'b' ? 2 : 8) : wrong(verb, value);
    case 'c':
      return typeof value === 'bigint' ? String.fromCodePoint(Number(value)) : wrong(verb, value);
    case 't':
      return typeof value === 'boolean' ? String(value) : wrong(verb, value);
    case 'f':
    case 'F':
      return typeof value === 'number'
        ? signed(value.toFixed(Math.min(100, precision ?? 6)))
        : wrong(verb, value);
    case 'e':
      return typeof value === 'number'
        ? value.toExponential(Math.min(100, precision ?? 6)).replace(/e([+-])(\d)$/, 'e$10$2')
        : wrong(verb, value);
    case 'g':
      if (typeof value !== 'number') return wrong(verb, value);
      return precision === undefined
        ? textOf(value)
        : textOf(Number(value.toPrecision(Math.max(1, Math.min(100, precision)))));
    case 'T':
      return typeName(value);
    default:
      return wrong(verb, value);
  }
}

const isPlain = (value: Value): boolean =>
  typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean';
const wrong = (verb: string, value: Value): string => `%!${verb}(${typeName(value)}=${textOf(value)})`;

export function typeName(value: Value): string {
  if (value === null) return 'nil';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'float64';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'string';
  if (isTime(value)) return 'time.Time';
  return Array.isArray(value) ? '[]interface {}' : 'map[string]interface {}';
}
