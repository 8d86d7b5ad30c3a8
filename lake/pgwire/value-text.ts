// How PostgreSQL prints values, with ISO dates, UTC, and intervals in its own style. The inputs are plain numbers, so
// that results (from DuckDB) and parameters (from clients) share them.

const dayUs = 86_400_000_000;
const dayUsBig = BigInt(dayUs);

/** DuckDB's infinities; dates are days and timestamps microseconds since 1970. */
export const infiniteDays = 2147483647;
export const infiniteUs = 9223372036854775807n;

/** Shortest digits that read back as the same double. */
export function doubleText(value: number): string {
  return floatText(value, 15);
}

/** Shortest digits that read back as the same 32-bit float. */
export function floatText4(value: number): string {
  if (!Number.isFinite(value)) return floatText(value, 6);
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return floatText(short, 6);
  }
  return floatText(Number(value.toPrecision(9)), 6);
}

/** PostgreSQL turns to exponents below 1e-4 and from 10^fixedDigits on, and writes them with two digits or more. */
function floatText(value: number, fixedDigits: number): string {
  if (Object.is(value, -0)) return '-0';
  const size = Math.abs(value);
  if (value === 0 || !Number.isFinite(value) || (size >= 1e-4 && size < 10 ** fixedDigits))
    return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
}

/** `value / 10^scale`, with all its decimals. */
export function decimalText(value: bigint, scale: number): string {
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0');
  const sign = value < 0n ? '-' : '';
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

export function dateText(days: number): string {
  if (days >= infiniteDays) return 'infinity';
  if (days <= -infiniteDays) return '-infinity';
  const { year, month, day } = civilOf(days);
  return year > 0 ? printDate(year, month, day) : `${printDate(1 - year, month, day)} BC`;
}

/** `zone` follows the time: empty, or `+00` for a timestamp with time zone. */
export function timestampText(micros: bigint, zone: '' | '+00'): string {
  if (micros >= infiniteUs) return 'infinity';
  if (micros <= -infiniteUs) return '-infinity';
  const { days, restUs } = splitDays(micros);
  const { year, month, day } = civilOf(days);
  const time = printTime(restUs);
  return year > 0
    ? `${printDate(year, month, day)} ${time}${zone}`
    : `${printDate(1 - year, month, day)} ${time}${zone} BC`;
}

export function timeText(micros: bigint): string {
  return printTime(Number(micros));
}

/** `offsetSeconds` is east of Greenwich. */
export function timeTzText(micros: bigint, offsetSeconds: number): string {
  const size = Math.abs(offsetSeconds);
  const parts = [Math.floor(size / 3600), Math.floor(size / 60) % 60, size % 60];
  while (parts.length > 1 && parts.at(-1) === 0) parts.pop();
  return `${timeText(micros)}${offsetSeconds < 0 ? '-' : '+'}${parts.map(two).join(':')}`;
}

export function intervalText(months: number, days: number, micros: bigint): string {
  const parts: string[] = [];
  let negativeBefore = false;
  const add = (value: number, unit: string): void => {
    if (value === 0) return;
    const sign = negativeBefore && value > 0 ? '+' : '';
    parts.push(`${sign}${value} ${unit}${value === 1 ? '' : 's'}`);
    negativeBefore = value < 0;
  };
  add(Math.trunc(months / 12), 'year');
  add(months % 12, 'mon');
  add(days, 'day');
  if (micros !== 0n || parts.length === 0) {
    const sign = micros < 0n ? '-' : negativeBefore ? '+' : '';
    parts.push(sign + timeText(micros < 0n ? -micros : micros));
  }
  return parts.join(' ');
}

export function byteaText(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`;
}

export function uuidText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** An array of printed elements, which may be arrays themselves. */
export type TextArray = readonly (string | null | TextArray)[];

export function arrayText(items: TextArray): string {
  return `{${items.map((item) => (item === null ? 'NULL' : typeof item === 'string' ? quoted(item) : arrayText(item))).join(',')}}`;
}

function quoted(element: string): string {
  if (element !== '' && !/[{}",\\\s]/.test(element) && element.toUpperCase() !== 'NULL') return element;
  return `"${element.replaceAll(/["\\]/g, '\\$&')}"`;
}

/** Whole days since 1970, rounded down, and the microseconds into that day. */
function splitDays(micros: bigint): { readonly days: number; readonly restUs: number } {
  const near = Number(micros);
  if (Number.isSafeInteger(near)) {
    const restUs = ((near % dayUs) + dayUs) % dayUs;
    return { days: (near - restUs) / dayUs, restUs };
  }
  const rest = ((micros % dayUsBig) + dayUsBig) % dayUsBig;
  return { days: Number((micros - rest) / dayUsBig), restUs: Number(rest) };
}

/** The proleptic Gregorian date of a day since 1970; year 0 is 1 BC. Counts in years that begin in March. */
function civilOf(days: number): { readonly year: number; readonly month: number; readonly day: number } {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

const two = (value: number): string => (value < 10 ? `0${value}` : String(value));

function printDate(year: number, month: number, day: number): string {
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`;
}

/** Hours are not wrapped at 24: an interval may have more. */
function printTime(micros: number): string {
  const seconds = Math.floor(micros / 1e6);
  const fraction = micros - seconds * 1e6;
  const whole = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return fraction === 0 ? whole : `${whole}.${String(fraction).padStart(6, '0').replace(/0+$/, '')}`;
}
