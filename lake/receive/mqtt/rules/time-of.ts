import { timestampUsOf } from '../timestamp.ts';
import type { Fail } from './rule-error.ts';

export const timeUnits = ['auto', 's', 'ms', 'us', 'ns', 'iso'] as const;
type TimeUnit = (typeof timeUnits)[number];

const microseconds: Readonly<Record<string, number>> = { s: 1e6, ms: 1e3, us: 1, ns: 1e-3 };
const zoneless = /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?$/;

/** Reads a value as µs since the Unix epoch; undefined when it is no time. */
export type TimeReader = (value: unknown) => number | undefined;

/** `zone`: where text without a zone is local: an IANA name, `local` (this machine's) or `utc`. */
export function compileTime(unit: TimeUnit, zone: string, fail: Fail): TimeReader {
  const local = zoneOffset(zone, fail);
  const factor = microseconds[unit];
  return (value) => {
    if (typeof value === 'bigint') return timestampUsOf(Number(value));
    if (factor !== undefined && unit !== 'auto') {
      const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
      return typeof number === 'number' && Number.isFinite(number) ? Math.round(number * factor) : undefined;
    }
    if (unit === 'iso' && typeof value !== 'string') return undefined;
    const us = timestampUsOf(value);
    if (us === undefined || local === undefined || typeof value !== 'string') return us;
    return zoneless.test(value.trim()) ? us - local(us / 1000) * 1000 : us;
  };
}

/** How far the zone's clocks are ahead of UTC when they show `wallMs`, in ms. Undefined for UTC. */
function zoneOffset(zone: string, fail: Fail): ((wallMs: number) => number) | undefined {
  if (/^(utc|z)$/i.test(zone)) return undefined;
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      ...(zone !== 'local' && { timeZone: zone }),
      ...{ era: 'short', year: 'numeric', month: 'numeric', day: 'numeric' },
      ...{ hour: 'numeric', minute: 'numeric', second: 'numeric', hourCycle: 'h23' },
    });
  } catch {
    throw fail(`zone ${JSON.stringify(zone)} is not known`, 'write a name as Europe/Berlin, local or utc');
  }
  const offsetAt = (utcMs: number): number => {
    const parts = Object.fromEntries(
      format.formatToParts(utcMs).map(({ type, value }) => [type, Number(value)]),
    );
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(utcMs / 1000) * 1000;
  };
  // Offsets change at quarters of an hour at the finest; formatting is slow, so the last one is remembered.
  let [known, offset] = [Number.NaN, 0];
  return (wallMs) => {
    const quarter = Math.floor(wallMs / 900_000);
    if (quarter === known) return offset;
    if (Math.abs(wallMs) > 8e15) return 0;
    // In the hour that clocks show twice, the later of the two.
    offset = offsetAt(wallMs - offsetAt(wallMs - offsetAt(wallMs)));
    known = quarter;
    return offset;
  };
}
