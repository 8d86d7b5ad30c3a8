// Numbers, durations and strings, read and written the way Go's strconv and Prometheus do.

const unitMs = { y: 31_536_000_000, w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
const durationPattern = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;

/** Milliseconds of `1h30m` and the like; throws an Error with Prometheus' text. */
export function parseDurationMs(text: string): number {
  if (text === '0') return 0;
  if (text === '') throw new Error('empty duration string');
  const match = durationPattern.exec(text);
  if (match === null) throw new Error(durationProblem(text));
  let ms = 0;
  Object.values(unitMs).forEach((unit, index) => {
    ms += Number(match[index + 1] ?? 0) * unit;
  });
  if (ms * 1e6 > 2 ** 63) throw new Error('duration out of range');
  return ms;
}

function durationProblem(text: string): string {
  const unknown = [...text.matchAll(/\d+([a-zA-Z]+)/g)].find(
    ([, unit]) => !Object.hasOwn(unitMs, unit ?? ''),
  );
  if (unknown) return `unknown unit ${JSON.stringify(unknown[1])} in duration ${JSON.stringify(text)}`;
  return `not a valid duration string: ${JSON.stringify(text)}`;
}

/** The shortest duration text of whole milliseconds, largest units first: `1h30m`, `0s`. */
export function printDurationMs(totalMs: number): string {
  if (totalMs === 0) return '0s';
  if (totalMs < 0) return `-${printDurationMs(-totalMs)}`;
  let rest = Math.round(totalMs);
  let text = '';
  for (const [name, unit] of Object.entries(unitMs)) {
    // Years and weeks only when nothing is left over, so that 8d stays 8d.
    const exact = name === 'y' || name === 'w';
    if (exact && rest % unit !== 0) continue;
    const count = Math.floor(rest / unit);
    if (count > 0) text += `${count}${name}`;
    rest -= count * unit;
  }
  return text;
}

/** A number token (decimal, hex, octal, `_` between digits, inf, nan); undefined when it is none. */
export function parseNumber(text: string): number | undefined {
  const lower = text.toLowerCase();
  if (/^[+-]?inf$/.test(lower)) return lower.startsWith('-') ? -Infinity : Infinity;
  if (lower === 'nan') return Number.NaN;
  const plain = lower.replaceAll('_', '');
  if (/^0x[0-9a-f]+$/.test(plain)) return Number(plain);
  // Go reads an integer with a leading zero as octal, and one with an 8 or 9 as a float.
  if (/^0[0-7]+$/.test(plain)) return Number.parseInt(plain, 8);
  if (/^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(plain)) return Number(plain);
  return undefined;
}

/** A float as Go's strconv.FormatFloat(x, 'f', -1, 64): shortest digits that read back, never an exponent. */
export function printFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (Object.is(value, -0)) return '-0';
  return expandExponent(String(value));
}

function expandExponent(text: string): string {
  const match = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(text);
  if (match === null) return text;
  const [, sign = '', head = '', tail = '', power = '0'] = match;
  const digits = head + tail;
  const point = 1 + Number(power);
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  return `${sign}${digits}${'0'.repeat(Math.max(0, point - digits.length))}`;
}

/** A float as Go's %g: an exponent below 1e-4 and from 1e21 on. */
export function printGeneral(value: number): string {
  if (!Number.isFinite(value) || value === 0) return printFloat(value);
  const power = Math.floor(Math.log10(Math.abs(value)));
  if (power >= -4 && power < 21) return printFloat(value);
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e');
  return `${mantissa}e${exponent.startsWith('-') ? '-' : '+'}${exponent.replace(/^[+-]/, '').padStart(2, '0')}`;
}

/** A string as Go's strconv.Quote writes it. */
export function printString(text: string): string {
  return JSON.stringify(text)
    .replace(/\\u00([01][0-9a-f])/g, '\\x$1')
    .replaceAll('\u007f', '\\x7f')
    .replaceAll('\\x0b', '\\v')
    .replaceAll('\\x07', '\\a');
}

const escapes: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
};

/** The value of a quoted string token; the lexer has checked its escapes. */
export function unquote(token: string): string {
  const body = token.slice(1, -1);
  if (token.startsWith('`') || !body.includes('\\')) return body;
  // \x and octal escapes are bytes, so the whole is put together as UTF-8.
  const bytes: Buffer[] = [];
  const pattern = /\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|[^\\]+/gs;
  for (const [whole, hex, octal, short, long, simple] of body.matchAll(pattern)) {
    if (hex !== undefined) bytes.push(Buffer.from([Number.parseInt(hex, 16)]));
    else if (octal !== undefined) bytes.push(Buffer.from([Number.parseInt(octal, 8)]));
    else if (short !== undefined || long !== undefined)
      bytes.push(Buffer.from(String.fromCodePoint(Number.parseInt(short ?? long ?? '0', 16))));
    else bytes.push(Buffer.from(simple === undefined ? whole : (escapes[simple] ?? simple)));
  }
  return Buffer.concat(bytes).toString();
}
