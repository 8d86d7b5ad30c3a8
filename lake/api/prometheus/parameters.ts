import type { Context } from 'hono';
import { type Matcher, selectorMatchers } from '../../promql/ast.ts';
import { PromqlError } from '../../promql/errors.ts';
import { parseDurationMs } from '../../promql/literals.ts';
import { matches } from '../../promql/matcher.ts';
import { parseSelector } from '../../promql/parse-selector.ts';

/** The parameters of a request: those of a POST form first, then those of the URL; both count. */
export interface Parameters {
  /** The first value, or '' when there is none. */
  text(name: string): string;
  all(name: string): readonly string[];
}

/** Reads the parameters of a request. */
export async function readParameters(c: Context): Promise<Parameters> {
  const type = c.req.header('content-type') ?? '';
  const form = c.req.method === 'POST' && type.startsWith('application/x-www-form-urlencoded');
  const sources = [
    ...(form ? [new URLSearchParams(await c.req.text())] : []),
    new URL(c.req.url).searchParams,
  ];
  return {
    text: (name) => sources.map((source) => source.get(name)).find((value) => value !== null) ?? '',
    all: (name) => sources.flatMap((source) => source.getAll(name)),
  };
}

/** A parameter that cannot be understood (HTTP 400). */
export function badParameter(name: string, cause: unknown): PromqlError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new PromqlError('bad_data', `invalid parameter ${JSON.stringify(name)}: ${why}`, cause);
}

// Prometheus' way to say "from the beginning" and "to the end".
const firstTime = '-292273086-05-16T16:47:06Z';
const lastTime = '292277025-08-18T07:12:54.999999999Z';
const rfc3339 = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|[+-]\d{2}:\d{2})$/;

/** A time in milliseconds: seconds as a decimal number, or RFC 3339. Throws an Error with Prometheus' text. */
function parseTimeMs(text: string): number {
  const seconds = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isFinite(seconds)) return Math.round(seconds * 1000);
  if (text === firstTime) return -Number.MAX_SAFE_INTEGER;
  if (text === lastTime) return Number.MAX_SAFE_INTEGER;
  const [, moment = '', fraction = '', zone = ''] = rfc3339.exec(text) ?? [];
  const ms = Date.parse(`${moment}.${fraction.padEnd(3, '0').slice(0, 3)}${zone}`);
  if (moment === '' || Number.isNaN(ms))
    throw new Error(`cannot parse ${JSON.stringify(text)} to a valid timestamp`);
  return ms;
}

/** A time parameter, or undefined when it is not given. */
export function timeParameter(parameters: Parameters, name: string): number | undefined {
  const text = parameters.text(name);
  if (text === '') return undefined;
  try {
    return parseTimeMs(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw badParameter(name, new Error(`invalid time value for '${name}': ${why}`, { cause }));
  }
}

/** A duration parameter in milliseconds: seconds as a number, or `5m`; undefined when it is not given. */
export function durationParameter(parameters: Parameters, name: string): number | undefined {
  const text = parameters.text(name);
  if (text === '') return undefined;
  const quoted = JSON.stringify(text);
  const seconds = Number(text);
  if (!Number.isNaN(seconds)) {
    if (Math.abs(seconds) * 1e9 > 2 ** 63)
      throw badParameter(name, new Error(`cannot parse ${quoted} to a valid duration. It overflows int64`));
    return seconds * 1000;
  }
  try {
    return parseDurationMs(text);
  } catch (cause) {
    throw badParameter(name, new Error(`cannot parse ${quoted} to a valid duration`, { cause }));
  }
}

/** The `limit` parameter; 0 when it does not limit. */
export function limitParameter(parameters: Parameters, name = 'limit'): number {
  const text = parameters.text(name);
  if (text === '') return 0;
  const limit = Number(text);
  if (!Number.isInteger(limit))
    throw badParameter(name, new Error(`cannot parse ${JSON.stringify(text)} to a valid limit`));
  if (limit < 0) throw badParameter(name, new Error('limit must be non-negative'));
  return limit;
}

/** The matchers of every `match[]` parameter. */
export function matcherSets(parameters: Parameters): readonly (readonly Matcher[])[] {
  const sets = parameters.all('match[]').map((text) => selectorMatchers(parseSelector(text)));
  if (sets.some((set) => set.every((matcher) => matches(matcher, ''))))
    throw new PromqlError('bad_data', 'match[] must contain at least one non-empty matcher');
  return sets;
}

/**
 * The label of a path: names that hold more than letters, digits and `_` may come escaped, as `U__` and with
 * `_<hex>_` for other characters and `__` for `_`.
 */
export function unescapeLabel(name: string): string {
  if (!name.startsWith('U__')) return name;
  let valid = true;
  const text = name.slice(3).replace(/__|_([0-9a-fA-F]{1,6})_|_/g, (whole, code?: string) => {
    if (whole === '__') return '_';
    const point = code === undefined ? -1 : Number.parseInt(code, 16);
    if (point < 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) valid = false;
    return valid ? String.fromCodePoint(point) : '';
  });
  // What is no valid escape is a name like any other.
  return valid ? text : name;
}
