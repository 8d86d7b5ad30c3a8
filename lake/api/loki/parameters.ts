import { LogqlError } from '../../logql/errors.ts';
import { parseDuration, quoted } from '../../logql/units.ts';
import type { Parameters } from '../prometheus/parameters.ts';

// The parameters of Loki's API, which are not Prometheus': times are nanoseconds, or seconds when they are short.

/** A parameter that cannot be understood (HTTP 400), in Loki's words where it has some. */
export const badParameter = (message: string): LogqlError => new LogqlError('parse', message);

const rfc3339 = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9})\d*)?(Z|[+-]\d{2}:\d{2})$/;

/** Nanoseconds since the Unix epoch, or undefined when the parameter is not given. */
export function timeParameter(parameters: Parameters, name: string): bigint | undefined {
  const text = parameters.text(name);
  if (text === '') return undefined;
  if (/^-?\d+$/.test(text)) return text.length <= 10 ? BigInt(text) * 1_000_000_000n : BigInt(text);
  const seconds = /^(-?)(\d+)\.(\d*)$/.exec(text);
  if (seconds !== null) {
    const [, sign, whole = '0', fraction = ''] = seconds;
    const ns = BigInt(whole) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0').slice(0, 9));
    return sign === '-' ? -ns : ns;
  }
  const [, moment, fraction = '', zone] = rfc3339.exec(text) ?? [];
  const ms = moment === undefined ? Number.NaN : Date.parse(`${moment}${zone}`);
  if (Number.isNaN(ms)) {
    const problem = `strconv.ParseInt: parsing ${quoted(text)}: invalid syntax`;
    throw badParameter(name === 'time' ? problem : `could not parse '${name}' parameter: ${problem}`);
  }
  return BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0') || '0');
}

/** Nanoseconds of `15`, `0.5` (seconds), `15s` or `15000ms`; undefined when it is not given. */
export function durationParameter(parameters: Parameters, name: string): number | undefined {
  const text = parameters.text(name);
  if (text === '') return undefined;
  if (/^-?\d*\.?\d+(?:[eE][-+]?\d+)?$/.test(text)) return Math.round(Number(text) * 1e9);
  try {
    return parseDuration(text);
  } catch {
    throw badParameter(
      name === 'since'
        ? `could not parse 'since' parameter: not a valid duration string: ${quoted(text)}`
        : `cannot parse ${quoted(text)} to a valid duration`,
    );
  }
}

/** A whole number above 0; `fallback` when it is not given. */
export function countParameter(parameters: Parameters, name: string, fallback: number): number {
  const text = parameters.text(name);
  if (text === '') return fallback;
  if (!/^-?\d{1,15}$/.test(text)) throw badParameter(`strconv.Atoi: parsing ${quoted(text)}: invalid syntax`);
  const count = Number(text);
  if (count <= 0) throw badParameter(`${name} must be a positive value`);
  return count;
}

export interface TimeRange {
  readonly fromNs: bigint;
  readonly toNs: bigint;
}

const hourNs = 3_600_000_000_000n;

/** `start` and `end`; without them the last hour, or the last `since`. */
export function rangeParameters(parameters: Parameters, nowNs: bigint): TimeRange {
  const end = timeParameter(parameters, 'end');
  const since = durationParameter(parameters, 'since');
  const toNs = end ?? nowNs;
  const before = toNs > nowNs ? nowNs : toNs;
  const fromNs =
    timeParameter(parameters, 'start') ?? before - (since === undefined ? hourNs : BigInt(since));
  return { fromNs, toNs };
}

export function directionParameter(parameters: Parameters): 'forward' | 'backward' {
  const text = parameters.text('direction').toLowerCase();
  if (text === '' || text === 'backward') return 'backward';
  if (text === 'forward') return 'forward';
  throw badParameter(`invalid direction '${parameters.text('direction')}'`);
}
