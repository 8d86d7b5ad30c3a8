import { isUtf8 } from 'node:buffer';
import { timestampUsOf } from './timestamp.ts';

/** One measurement or one line in a payload. `path` is its JSON path joined by `_`, '' for the topic's own name. */
export type PayloadItem =
  | {
      readonly kind: 'value';
      readonly path: string;
      readonly value: number;
      readonly timestampUs: number | undefined;
    }
  | { readonly kind: 'line'; readonly line: string; readonly timestampUs: number | undefined };

export type DeadLetterReason =
  | 'too-large'
  | 'not-utf8'
  | 'binary'
  | 'bad-json'
  | 'bad-payload'
  | 'no-value'
  | 'unknown-alias'
  | 'bad-timestamp'
  | 'too-deep'
  | 'too-many-values'
  | 'name-too-long'
  | 'labels-too-large';

export type ParsedPayload =
  | { readonly ok: true; readonly items: readonly PayloadItem[] }
  | { readonly ok: false; readonly reason: DeadLetterReason };

export interface PayloadLimits {
  readonly payloadBytesMax: number;
  readonly jsonDepthMax: number;
  readonly valuesPerPayloadMax: number;
  readonly metricNameBytesMax: number;
}

const number = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf(?:inity)?)$/i;
/** Members at the top of an object that say its time; the first that is there counts. */
export const timestampNames: readonly string[] = ['ts', 'timestamp', 'time'];

/** All of a payload or the reason why it has to be set aside; an empty one has no items. */
export function parsePayload(payload: Uint8Array, limits: PayloadLimits): ParsedPayload {
  if (payload.length > limits.payloadBytesMax) return { ok: false, reason: 'too-large' };
  if (!isUtf8(payload)) return { ok: false, reason: 'not-utf8' };
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
  if (text.includes('\0')) return { ok: false, reason: 'binary' };
  const trimmed = text.trim();
  if (trimmed === '') return { ok: true, items: [] };
  const value = scalar(trimmed);
  if (value !== undefined)
    return { ok: true, items: [{ kind: 'value', path: '', value, timestampUs: undefined }] };
  if (trimmed.startsWith('{') || trimmed.startsWith('[')) return parseJson(trimmed, limits);
  return { ok: true, items: [{ kind: 'line', line: text, timestampUs: undefined }] };
}

function scalar(text: string): number | undefined {
  if (text === 'true') return 1;
  if (text === 'false') return 0;
  if (!number.test(text)) return undefined;
  return /n/i.test(text) ? namedNumber(text) : Number(text);
}

/** NaN and infinities as sensors print them. */
function namedNumber(text: string): number {
  if (/nan/i.test(text)) return Number.NaN;
  return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

function parseJson(text: string, limits: PayloadLimits): ParsedPayload {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, reason: 'bad-json' };
  }
  const items: PayloadItem[] = [];
  for (const element of Array.isArray(json) ? json : [json]) {
    const reason = isObject(element)
      ? readObject(element, element === json ? text : undefined, items, limits)
      : 'no-value';
    if (reason !== undefined) return { ok: false, reason };
    if (items.length > limits.valuesPerPayloadMax) return { ok: false, reason: 'too-many-values' };
  }
  return items.length === 0 ? { ok: false, reason: 'no-value' } : { ok: true, items };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Adds what one object holds; `text` is its source where it is at hand. Returns why it cannot be used. */
function readObject(
  object: Record<string, unknown>,
  text: string | undefined,
  items: PayloadItem[],
  limits: PayloadLimits,
): DeadLetterReason | undefined {
  const timestampName = timestampNames.find((name) => (object[name] ?? null) !== null);
  const timestampUs = timestampName === undefined ? undefined : timestampUsOf(object[timestampName]);
  if (timestampName !== undefined && timestampUs === undefined) return 'bad-timestamp';

  const before = items.length;
  let strings = 0;
  const walk = (value: unknown, path: string, depth: number): DeadLetterReason | undefined => {
    if (typeof value === 'string') strings++;
    if (typeof value === 'number' || typeof value === 'boolean') {
      if (path.length > limits.metricNameBytesMax) return 'name-too-long';
      items.push({ kind: 'value', path, value: Number(value), timestampUs });
    }
    if (!isObject(value)) return undefined;
    if (depth > limits.jsonDepthMax) return 'too-deep';
    for (const [name, member] of Object.entries(value)) {
      if (depth === 1 && timestampNames.includes(name)) continue;
      // {"value": ...} at the top takes its name from the topic.
      const own = depth === 1 && name === 'value' && !isObject(member);
      const reason = walk(member, own ? '' : path === '' ? name : `${path}_${name}`, depth + 1);
      if (reason !== undefined) return reason;
    }
    return undefined;
  };
  const reason = walk(object, '', 1);
  if (reason !== undefined || items.length > before) return reason;
  if (strings === 0) return 'no-value';
  items.push({ kind: 'line', line: text ?? JSON.stringify(object), timestampUs });
  return undefined;
}
