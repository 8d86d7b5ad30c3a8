import type { Node } from 'libpg-query';
import { castTo, text, textOf } from '../ast.ts';

// PostgreSQL's words for intervals: `1 day 02:03:04`, `-1.5 hours`, `60.000s`, `P1DT2H`, `1 week ago`. DuckDB reads only
// some of them.

interface Interval {
  readonly months: number;
  readonly days: number;
  readonly us: number;
}

const units: Readonly<Record<string, Interval>> = {
  microsecond: { months: 0, days: 0, us: 1 },
  millisecond: { months: 0, days: 0, us: 1e3 },
  second: { months: 0, days: 0, us: 1e6 },
  minute: { months: 0, days: 0, us: 60e6 },
  hour: { months: 0, days: 0, us: 3600e6 },
  day: { months: 0, days: 1, us: 0 },
  week: { months: 0, days: 7, us: 0 },
  month: { months: 1, days: 0, us: 0 },
  year: { months: 12, days: 0, us: 0 },
  decade: { months: 120, days: 0, us: 0 },
  century: { months: 1200, days: 0, us: 0 },
};

const shortUnits: Readonly<Record<string, string>> = {
  us: 'microsecond',
  usec: 'microsecond',
  usecs: 'microsecond',
  ms: 'millisecond',
  msec: 'millisecond',
  msecs: 'millisecond',
  s: 'second',
  sec: 'second',
  secs: 'second',
  m: 'minute',
  min: 'minute',
  mins: 'minute',
  h: 'hour',
  hr: 'hour',
  hrs: 'hour',
  d: 'day',
  w: 'week',
  mon: 'month',
  mons: 'month',
  y: 'year',
  yr: 'year',
  yrs: 'year',
  centuries: 'century',
};

/** `field` is the unit of a bare number: `INTERVAL '5' HOUR`. Undefined when the text is no interval. */
function parseInterval(input: string, field = 'second'): Interval | undefined {
  const iso =
    /^\s*(-?)P(?=.)(?:(-?[\d.]+)Y)?(?:(-?[\d.]+)M)?(?:(-?[\d.]+)W)?(?:(-?[\d.]+)D)?(?:T(?:(-?[\d.]+)H)?(?:(-?[\d.]+)M)?(?:(-?[\d.]+)S)?)?\s*$/.exec(
      input,
    );
  if (iso) {
    const names = ['year', 'month', 'week', 'day', 'hour', 'minute', 'second'];
    const parts = names.map((name, index) => times(units[name], Number(iso[index + 2] ?? 0)));
    return times(parts.reduce(plus), iso[1] === '-' ? -1 : 1);
  }
  const yearsMonths = /^\s*([+-]?)(\d+)-(\d+)\s*$/.exec(input);
  if (yearsMonths) {
    const months = Number(yearsMonths[2]) * 12 + Number(yearsMonths[3]);
    return { months: yearsMonths[1] === '-' ? -months : months, days: 0, us: 0 };
  }
  let rest = input.trim().toLowerCase().replace(/^@\s*/, '');
  const ago = /\s+ago$/.test(rest);
  if (ago) rest = rest.replace(/\s+ago$/, '');
  let total: Interval = { months: 0, days: 0, us: 0 };
  if (rest === '') return undefined;
  while (rest !== '') {
    const clock = /^([+-]?)(\d+):(\d+)(?::(\d+(?:\.\d+)?))?(?=\s|$)/.exec(rest);
    const amount = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-zµ]*)/.exec(rest);
    const taken = clock ?? amount;
    const added = clock ? ofClock(clock, field) : amount && ofAmount(Number(amount[1]), amount[2] || field);
    if (!taken || !added) return undefined;
    total = plus(total, added);
    rest = rest.slice(taken[0].length).replace(/^[\s,]+/, '');
  }
  return ago ? times(total, -1) : total;
}

/** `h:m:s` or `h:m`; the latter is `m:s` when the interval's fields say so. */
function ofClock([, sign, first, second, third]: RegExpExecArray, field: string): Interval {
  const short = third === undefined && field === 'minute to second';
  const [hours, minutes, seconds] = short ? [0, first, second] : [first, second, third ?? 0];
  const us = Number(hours) * 3600e6 + Number(minutes) * 60e6 + Math.round(Number(seconds) * 1e6);
  return { months: 0, days: 0, us: sign === '-' ? -us : us };
}

function ofAmount(amount: number, word: string): Interval | undefined {
  const name = shortUnits[word] ?? (units[word] ? word : word.replace(/s$/, ''));
  const unit = Object.hasOwn(units, name) ? units[name] : undefined;
  return unit && times(unit, amount);
}

/** A fraction of a month is days of 30, a fraction of a day is time, as in PostgreSQL. */
function times(unit: Interval | undefined, factor: number): Interval {
  if (!unit || factor === 0) return { months: 0, days: 0, us: 0 };
  const months = unit.months * factor;
  const days = unit.days * factor + (unit.months === 12 ? 0 : (months % 1) * 30);
  return {
    months: unit.months === 12 ? Math.round(months) : Math.trunc(months),
    days: Math.trunc(days),
    us: Math.round(unit.us * factor + (days % 1) * 86_400e6),
  };
}

const plus = (a: Interval, b: Interval): Interval => ({
  months: a.months + b.months,
  days: a.days + b.days,
  us: a.us + b.us,
});

/** A text constant as an interval that DuckDB reads; undefined for anything else, also for text that is no interval. */
export function intervalLiteral(node: Node, field?: string): Node | undefined {
  const input = textOf(node);
  const interval = input === undefined ? undefined : parseInterval(input, field);
  if (!interval) return undefined;
  const { months, days, us } = interval;
  return castTo(text(`${months} months ${days} days ${us} microseconds`), 'interval');
}
