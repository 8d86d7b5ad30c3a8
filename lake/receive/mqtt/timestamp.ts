/**
 * Microseconds since the Unix epoch from a `ts` member: a number (or digits) in s, ms, µs or ns, told apart by their
 * magnitude, or ISO 8601 text; without a zone it is UTC. Undefined when it is neither. Whether such a time can be is
 * for device-time.ts to say.
 */
export function timestampUsOf(value: unknown): number | undefined {
  if (typeof value === 'number') return finite(microsecondsOf(value));
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  if (/^-?\d+(\.\d+)?$/.test(text)) return finite(microsecondsOf(Number(text)));
  return finite(isoUs(text));
}

/** The ranges meet where seconds would be the year 5138 and milliseconds 1973. */
function microsecondsOf(value: number): number {
  if (value < 1e11) return Math.round(value * 1e6);
  if (value < 1e14) return Math.round(value * 1e3);
  if (value < 1e17) return Math.round(value);
  return Math.round(value / 1e3);
}

const iso =
  /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?$/;

function isoUs(text: string): number {
  const [whole, day, minute, second = '00', fraction = '', zone = 'Z'] = iso.exec(text) ?? [];
  if (whole === undefined) return Number.NaN;
  const offset =
    zone.toUpperCase() === 'Z' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(3).replace(':', '') || '00'}`;
  const ms = Date.parse(`${day}T${minute}:${second}${offset}`);
  return ms * 1000 + Math.floor(Number(fraction.padEnd(9, '0')) / 1000);
}

const finite = (us: number): number | undefined => (Number.isFinite(us) ? us : undefined);
