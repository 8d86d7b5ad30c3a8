// Numbers and times as ASCII, written as bytes without a string for each value. What is rare is left to the caller: -1 is
// returned then. Every function writes at `at`, where there are `digitsMax` bytes of room, and returns where its text ends.

/** The four digits of 0 to 9999, side by side. */
const quads = new Uint8Array(40_000);
for (let value = 0; value < 10_000; value++)
  Buffer.from(String(value).padStart(4, '0'), 'latin1').copy(quads, value * 4);

const zero = 0x30;
const minus = 0x2d;
const dot = 0x2e;
const colon = 0x3a;

/** More than the text of any number or time, with quotes. */
export const digitsMax = 64;

/** A whole number from 0 to 2^53. */
function putPositive(bytes: Uint8Array, at: number, value: number): number {
  if (value < 10_000) return putSmall(bytes, at, value);
  if (value < 100_000_000) {
    const high = (value / 10_000) | 0;
    return putFour(bytes, putSmall(bytes, at, high), value - high * 10_000);
  }
  const high = Math.floor(value / 100_000_000);
  const low = value - high * 100_000_000;
  const middle = (low / 10_000) | 0;
  return putFour(bytes, putFour(bytes, putPositive(bytes, at, high), middle), low - middle * 10_000);
}

function putFour(bytes: Uint8Array, at: number, value: number): number {
  const from = value * 4;
  bytes[at] = quads[from] as number;
  bytes[at + 1] = quads[from + 1] as number;
  bytes[at + 2] = quads[from + 2] as number;
  bytes[at + 3] = quads[from + 3] as number;
  return at + 4;
}

function putTwo(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = quads[value * 4 + 2] as number;
  bytes[at + 1] = quads[value * 4 + 3] as number;
  return at + 2;
}

/** 0 to 9999, without zeros in front. */
function putSmall(bytes: Uint8Array, at: number, value: number): number {
  const from = value * 4;
  let end = at;
  if (value >= 1000) bytes[end++] = quads[from] as number;
  if (value >= 100) bytes[end++] = quads[from + 1] as number;
  if (value >= 10) bytes[end++] = quads[from + 2] as number;
  bytes[end++] = quads[from + 3] as number;
  return end;
}

/** A safe integer; -0 is 0. */
export function putWhole(bytes: Uint8Array, at: number, value: number): number {
  if (value >= 0) return putPositive(bytes, at, value);
  bytes[at] = minus;
  return putPositive(bytes, at + 1, -value);
}

/** A text of ASCII. */
export function putAscii(bytes: Uint8Array, at: number, text: string): number {
  for (let index = 0; index < text.length; index++) bytes[at + index] = text.charCodeAt(index);
  return at + text.length;
}

/** Powers of ten by which a double may be a whole number. */
const scales = [10, 100, 1000, 10_000, 100_000, 1_000_000] as const;

/** Up to here a double that is a whole number divided by a power of ten has no shorter text than that. */
const exactMax = 1e15;

/** The shortest text that is read back as this value, without an exponent; -1 where that may need one or is not quickly found. */
export function putDouble(bytes: Uint8Array, at: number, value: number): number {
  const size = Math.abs(value);
  if (size < exactMax && Number.isInteger(value) && !Object.is(value, -0)) return putWhole(bytes, at, value);
  if (!(size >= 1e-4)) return -1;
  for (let decimals = 1; decimals <= scales.length; decimals++) {
    const scale = scales[decimals - 1] as number;
    const scaled = Math.round(size * scale);
    if (scaled >= exactMax) break;
    // The division rounds as reading the text does, so the text is read as this value.
    if (scaled / scale !== size) continue;
    if (value < 0) bytes[at++] = minus;
    return putDecimal(bytes, at, scaled, decimals, scale);
  }
  return -1;
}

function putDecimal(bytes: Uint8Array, at: number, scaled: number, decimals: number, scale: number): number {
  const whole = Math.floor(scaled / scale);
  const start = putPositive(bytes, at, whole) + 1;
  bytes[start - 1] = dot;
  let rest = scaled - whole * scale;
  for (let place = decimals - 1; place >= 0; place--) {
    const tenth = (rest / 10) | 0;
    bytes[start + place] = zero + rest - tenth * 10;
    rest = tenth;
  }
  return start + decimals;
}

const dayMs = 86_400_000;
const dayUs = 86_400_000_000;

/** Days since 1970 of the years 1 to 9999, whose dates are ten characters. */
const firstDay = -719_162;
const lastDay = 2_932_896;

type Put = (bytes: Uint8Array, at: number, value: number) => number;

/** Dates, days since 1970; it remembers the last, which in most results is the next, too. -1 outside the years 1 to 9999. */
export function createDatePut(): Put {
  let known = Number.NaN;
  const ascii = new Uint8Array(10);
  return (bytes, at, days) => {
    if (days < firstDay || days > lastDay) return -1;
    if (days !== known) {
      known = days;
      putAscii(ascii, 0, new Date(days * dayMs).toISOString().slice(0, 10));
    }
    for (let index = 0; index < 10; index++) bytes[at + index] = ascii[index] as number;
    return at + 10;
  };
}

/** What stands between date and time, and behind them. */
export interface TimestampStyle {
  readonly between: ' ' | 'T';
  readonly zone: '' | '+00' | 'Z';
}

/** Timestamps, safe integers of microseconds since 1970 (years 1684 to 2255). */
export function createTimestampPut({ between, zone }: TimestampStyle): Put {
  const putDate = createDatePut();
  const separator = between.charCodeAt(0);
  return (bytes, start, micros) => {
    const days = Math.floor(micros / dayUs);
    let at = putDate(bytes, start, days);
    const restUs = micros - days * dayUs;
    const seconds = Math.floor(restUs / 1e6);
    const minutes = (seconds / 60) | 0;
    const hours = (minutes / 60) | 0;
    bytes[at++] = separator;
    at = putTwo(bytes, at, hours);
    bytes[at++] = colon;
    at = putTwo(bytes, at, minutes - hours * 60);
    bytes[at++] = colon;
    at = putTwo(bytes, at, seconds - minutes * 60);
    const fraction = restUs - seconds * 1e6;
    if (fraction !== 0) at = putFraction(bytes, at, fraction);
    return zone === '' ? at : putAscii(bytes, at, zone);
  };
}

/** A dot and the decimals of a second, without zeros at the end. */
function putFraction(bytes: Uint8Array, at: number, micros: number): number {
  bytes[at] = dot;
  const high = (micros / 10_000) | 0;
  let end = putFour(bytes, putTwo(bytes, at + 1, high), micros - high * 10_000);
  while (bytes[end - 1] === zero) end--;
  return end;
}
