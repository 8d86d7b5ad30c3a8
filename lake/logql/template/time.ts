import type { Time } from './ast.ts';

// Go's time layouts: the parts of `Mon Jan 2 15:04:05.999 MST 2006 -0700`, written and read.

const layoutPart =
  /2006|January|Monday|Jan|Mon|MST|-07:00:00|-07:00|-0700|-07|Z07:00|Z0700|Z07|01|02|03|04|05|002|06|15|PM|pm|_2|[.,]0+(?!\d)|[.,]9+(?!\d)|1|2|3|4|5/g;

export const months =
  'January February March April May June July August September October November December'.split(' ');
export const weekdays = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');
const pad = (value: number, size = 2): string => String(value).padStart(size, '0');

export function formatTime(time: Time, layout: string): string {
  const offset = offsetMinutes(time);
  const ns = ((time.ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const local = dateOf(time);
  return layout.replace(layoutPart, (part) => partText(part, local, ns, offset, time.zone));
}

/** Whole seconds of a time as its own zone has them: what is UTC in the date is local there. */
export function dateOf(time: Time): Date {
  const ms = time.ns / 1_000_000n - (time.ns % 1_000_000n < 0n ? 1n : 0n);
  return new Date(Math.floor(Number(ms) / 1000) * 1000 + offsetMinutes(time) * 60_000);
}

function partText(part: string, date: Date, ns: bigint, offset: number, zone: string): string {
  const hours = date.getUTCHours();
  const month = date.getUTCMonth();
  const day = date.getUTCDate();
  switch (part) {
    case '2006':
      return pad(date.getUTCFullYear(), 4);
    case '06':
      return pad(date.getUTCFullYear() % 100);
    case 'January':
      return months[month] ?? '';
    case 'Jan':
      return (months[month] ?? '').slice(0, 3);
    case '01':
      return pad(month + 1);
    case '1':
      return String(month + 1);
    case 'Monday':
      return weekdays[date.getUTCDay()] ?? '';
    case 'Mon':
      return (weekdays[date.getUTCDay()] ?? '').slice(0, 3);
    case '02':
      return pad(day);
    case '_2':
      return String(day).padStart(2);
    case '2':
      return String(day);
    case '002':
      return pad(Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1, 3);
    case '15':
      return pad(hours);
    case '03':
      return pad(hours % 12 || 12);
    case '3':
      return String(hours % 12 || 12);
    case '04':
      return pad(date.getUTCMinutes());
    case '4':
      return String(date.getUTCMinutes());
    case '05':
      return pad(date.getUTCSeconds());
    case '5':
      return String(date.getUTCSeconds());
    case 'PM':
      return hours < 12 ? 'AM' : 'PM';
    case 'pm':
      return hours < 12 ? 'am' : 'pm';
    case 'MST':
      return zoneName(zone, date.getTime() - offset * 60_000);
    default:
      return /^[.,]/.test(part) ? fractionText(part, ns) : offsetText(part, offset);
  }
}

function fractionText(part: string, ns: bigint): string {
  const digits = String(ns)
    .padStart(9, '0')
    .slice(0, part.length - 1);
  if (part[1] === '0') return part[0] + digits;
  const short = digits.replace(/0+$/, '');
  return short === '' ? '' : part[0] + short;
}

function offsetText(part: string, offset: number): string {
  if (part.startsWith('Z') && offset === 0) return 'Z';
  const sign = offset < 0 ? '-' : '+';
  const hours = pad(Math.floor(Math.abs(offset) / 60));
  const minutes = pad(Math.abs(offset) % 60);
  if (part.includes(':')) return `${sign}${hours}:${minutes}`;
  return part.endsWith('00') ? `${sign}${hours}${minutes}` : `${sign}${hours}`;
}

/** Minutes east of UTC at a time; zones are those of the IANA database, or `+02:00`. */
function offsetMinutes({ ns, zone }: Time): number {
  if (zone === 'UTC' || zone === '' || zone === 'Local') return 0;
  const fixed = /^([+-])(\d{2}):?(\d{2})$/.exec(zone);
  if (fixed !== null) return (fixed[1] === '-' ? -1 : 1) * (Number(fixed[2]) * 60 + Number(fixed[3]));
  return zoneOffset(zone, Number(ns / 1_000_000n));
}

function zoneOffset(zone: string, ms: number): number {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    timeZoneName: 'longOffset',
  }).formatToParts(ms);
  const text = parts.find(({ type }) => type === 'timeZoneName')?.value ?? 'GMT';
  const [, sign, hours, minutes] = /GMT([+-])(\d{2}):(\d{2})/.exec(text) ?? [];
  return sign === undefined ? 0 : (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}

function zoneName(zone: string, ms: number): string {
  if (zone === 'UTC' || zone === '' || zone === 'Local') return 'UTC';
  if (/^[+-]/.test(zone)) return zone.replace(':', '');
  const parts = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'short' }).formatToParts(ms);
  return parts.find(({ type }) => type === 'timeZoneName')?.value ?? zone;
}

/** Reads a time; undefined where the text does not have the layout. A zone that does not exist is UTC. */
export function parseTime(layout: string, text: string, zone: string): Time | undefined {
  const fields: Record<string, string> = {};
  let pattern = '';
  let at = 0;
  const names: string[] = [];
  for (const match of layout.matchAll(layoutPart)) {
    pattern += escaped(layout.slice(at, match.index)) + partPattern(match[0]);
    names.push(match[0]);
    at = match.index + match[0].length;
  }
  // Go reads a fraction behind seconds also where the layout has none.
  pattern = (pattern + escaped(layout.slice(at))).replace('(SECONDS)', '(\\d{1,2})');
  const found = new RegExp(`^${pattern}$`).exec(text);
  if (found === null) return undefined;
  names.forEach((name, index) => {
    fields[name] = found[index + 1] ?? '';
  });
  return timeOf(fields, isZone(zone) ? zone : 'UTC');
}

function isZone(zone: string): boolean {
  try {
    offsetMinutes({ kind: 'time', ns: 0n, zone });
    return true;
  } catch {
    return false;
  }
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

function partPattern(part: string): string {
  if (/^[.,]0/.test(part)) return `([.,]\\d{${part.length - 1}})`;
  if (/^[.,]9/.test(part)) return '((?:[.,]\\d+)?)';
  if (/^(?:Z07|-07)/.test(part)) return '(Z|[+-]\\d{2}:?(?:\\d{2})?)';
  if (part === '2006') return '(\\d{4})';
  if (part === '002') return '(\\d{3})';
  if (/^0\d$|^15$/.test(part)) return '(\\d{2})';
  if (/^\d$|^_2$/.test(part)) return '\\s?(\\d{1,2})';
  if (part === 'MST') return '([A-Z]{3,5})';
  if (part === 'PM' || part === 'pm') return '([AaPp][Mm])';
  return '([A-Za-z]+)';
}

function timeOf(fields: Readonly<Record<string, string>>, zone: string): Time | undefined {
  const number = (...names: readonly string[]): number | undefined => {
    const text = names.map((name) => fields[name]).find((value) => value !== undefined);
    return text === undefined ? undefined : Number(text);
  };
  const name = (fields.January ?? fields.Jan)?.slice(0, 3).toLowerCase();
  const named =
    name === undefined ? -1 : months.findIndex((month) => month.slice(0, 3).toLowerCase() === name);
  const short = number('06');
  const year = number('2006') ?? (short === undefined ? 0 : short + (short >= 69 ? 1900 : 2000));
  const month = named >= 0 ? named : (number('01', '1') ?? 1) - 1;
  const half = (fields.PM ?? fields.pm)?.toLowerCase();
  const hours = number('15', '03', '3') ?? 0;
  const hour = half === undefined ? hours : (hours % 12) + (half === 'pm' ? 12 : 0);
  const day = number('02', '_2', '2') ?? 1;
  const [minute, second] = [number('04', '4') ?? 0, number('05', '5') ?? 0];
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  date.setUTCHours(hour, minute, second);
  const isReal = date.getUTCMonth() === month && date.getUTCDate() === day && minute < 60 && second < 60;
  if (!isReal) return undefined;
  const fraction =
    Object.entries(fields)
      .find(([key]) => /^[.,]/.test(key))?.[1]
      ?.slice(1) ?? '';
  const ns = BigInt(fraction.padEnd(9, '0').slice(0, 9) || '0');
  const offset = Object.entries(fields).find(([key]) => /^(?:Z07|-07)/.test(key))?.[1];
  const place = offset === undefined ? zone : offset === 'Z' ? 'UTC' : offset;
  const local = BigInt(date.getTime()) * 1_000_000n + ns;
  const minutes = offsetMinutes({ kind: 'time', ns: local, zone: place });
  return { kind: 'time', ns: local - BigInt(minutes) * 60_000_000_000n, zone: place };
}
