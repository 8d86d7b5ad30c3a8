// Functions from one sample to one sample.

export const mathFunctions: Readonly<Record<string, (value: number) => number>> = {
  abs: Math.abs,
  acos: Math.acos,
  acosh: Math.acosh,
  asin: Math.asin,
  asinh: Math.asinh,
  atan: Math.atan,
  atanh: Math.atanh,
  ceil: Math.ceil,
  cos: Math.cos,
  cosh: Math.cosh,
  deg: (value) => (value * 180) / Math.PI,
  exp: Math.exp,
  floor: Math.floor,
  ln: Math.log,
  log10: Math.log10,
  log2: Math.log2,
  rad: (value) => (value * Math.PI) / 180,
  sgn: (value) => (value < 0 ? -1 : value > 0 ? 1 : value),
  sin: Math.sin,
  sinh: Math.sinh,
  sqrt: Math.sqrt,
  tan: Math.tan,
  tanh: Math.tanh,
};

/** A time as a date within 400 years, which is how long the calendar takes to repeat, and the years before that. */
interface Moment {
  readonly date: Date;
  readonly years: number;
}

const cycleSeconds = 146_097 * 86_400;

/** The date of seconds since the Unix epoch. What no int64 can hold (NaN too) is what amd64 makes of it in Go. */
export function dateOf(seconds: number): Moment {
  const whole = Math.abs(seconds) < 2 ** 63 ? Math.trunc(seconds) : 2 ** 63;
  const cycles = Math.floor(whole / cycleSeconds);
  return { date: new Date((whole - cycles * cycleSeconds) * 1000), years: cycles * 400 };
}

/** Parts of a UTC date. */
export const dateFunctions: Readonly<Record<string, (moment: Moment) => number>> = {
  minute: ({ date }) => date.getUTCMinutes(),
  hour: ({ date }) => date.getUTCHours(),
  day_of_week: ({ date }) => date.getUTCDay(),
  day_of_month: ({ date }) => date.getUTCDate(),
  day_of_year: ({ date }) =>
    Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1,
  days_in_month: ({ date }) =>
    new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate(),
  month: ({ date }) => date.getUTCMonth() + 1,
  year: ({ date, years }) => date.getUTCFullYear() + years,
};

/** round(): to the nearest multiple of `nearest`, ties up. */
export function roundTo(value: number, nearest: number): number {
  const inverse = 1 / nearest;
  return Math.floor(value * inverse + 0.5) / inverse;
}
