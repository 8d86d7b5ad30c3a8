/** Bits of an interval's field mask (PostgreSQL's datetime.h: INTERVAL_MASK), for `INTERVAL '5' minute`. */
const unitOfMask: Readonly<Record<number, string>> = {
  4: 'years',
  2: 'months',
  8: 'days',
  1024: 'hours',
  2048: 'minutes',
  4096: 'seconds',
};

const isoDateUnits: Readonly<Record<string, string>> = { Y: 'years', M: 'months', W: 'weeks', D: 'days' };
const isoTimeUnits: Readonly<Record<string, string>> = { H: 'hours', M: 'minutes', S: 'seconds' };

/**
 * An interval constant as DuckDB reads it: ISO 8601 durations are spelled out, a bare number gets the unit of its field
 * (seconds without one), fractions of a unit are carried into smaller ones. Anything else is left as it is.
 */
export function interval(constant: string, mask: number | undefined): string {
  const trimmed = constant.trim();
  if (/^[+-]?\d+(\.\d+)?$/.test(trimmed))
    return `${trimmed} ${unitOfMask[mask ?? 0] ?? 'seconds'}`.replace(/^\+/, '');
  const clock = /^([+-]?)(\d+):(\d{1,2})$/.exec(trimmed);
  if (clock) return `${clock[1]}${clock[2]}:${clock[3]}:00`.replace(/^\+/, '');
  return isoDuration(trimmed) ?? carryFractions(trimmed);
}

function isoDuration(text: string): string | undefined {
  const [, date = '', time = ''] = /^P(?!$)((?:-?[\d.]+[YMWD])*)(?:T((?:-?[\d.]+[HMS])+))?$/.exec(text) ?? [];
  if (date === '' && time === '') return undefined;
  const spell = (part: string, units: Readonly<Record<string, string>>): string[] =>
    [...part.matchAll(/(-?[\d.]+)([A-Z])/g)].map(([, count, unit]) => `${count} ${units[unit ?? ''] ?? ''}`);
  return carryFractions([...spell(date, isoDateUnits), ...spell(time, isoTimeUnits)].join(' '));
}

const seconds: Readonly<Record<string, number>> = { w: 604800, d: 86400, h: 3600, m: 60 };

/** DuckDB refuses `1.5 hours`; as seconds it takes it. Months and years have no fixed length and stay. */
function carryFractions(text: string): string {
  return text.replace(
    /(-?\d+\.\d+)\s*(weeks?|days?|hours?|hrs?|hr|h|d|w|minutes?|mins?|min|m)\b/gi,
    (whole, count: string, unit: string) => {
      const factor = /^mon/i.test(unit) ? undefined : seconds[unit[0]?.toLowerCase() ?? ''];
      return factor === undefined ? whole : `${Number((Number(count) * factor).toFixed(6))} seconds`;
    },
  );
}
