import { labelName } from '../label-name.ts';
import { readDouble, readEnd, readInt64, readTag, readVarint32, skipField } from '../protobuf.ts';
import {
  type BufferCursor,
  eachField,
  enter,
  fixed64Tag,
  invalid,
  leave,
  messageTag,
  readName,
  readText,
  varintTag,
  within,
} from './wire.ts';

// opentelemetry.proto.common.v1: AnyValue, KeyValue. Values become JSON text, in which a double always has a point or an
// exponent, so that 1 and 1.0 stay apart; or the text that they are as a label, as the collector writes it.

const stringValue = messageTag(1);
const boolValue = varintTag(2);
const intValue = varintTag(3);
const doubleValue = fixed64Tag(4);
const arrayValue = messageTag(5);
const mapValue = messageTag(6);
const bytesValue = messageTag(7);
const keyTag = messageTag(1);
const valueTag = messageTag(2);

/** Levels of values within values; a request with more is refused. */
export const valueDepthMax = 32;

/** A value that stands in a message: text, or the JSON of what is not a text. */
export interface AnyValue {
  readonly kind: 'none' | 'string' | 'number' | 'bytes' | 'array' | 'map';
  /** As a label has it. */
  readonly text: string;
  /** See `jsonOf`; '' for strings, most of which are never asked for it. */
  readonly json: string;
}

const jsonOf = ({ kind, text, json }: AnyValue): string => (kind === 'string' ? JSON.stringify(text) : json);

const none: AnyValue = { kind: 'none', text: '', json: 'null' };

/** Reads the AnyValue between the cursor and its end. */
export function readAnyValue(cursor: BufferCursor, depth = 0): AnyValue {
  if (depth > valueDepthMax) throw invalid(`values are nested in more than ${valueDepthMax} levels`);
  const alone = readTextAlone(cursor);
  if (alone !== undefined) return { kind: 'string', text: alone, json: '' };
  let value = none;
  eachField(cursor, (tag) => {
    if (tag === stringValue) {
      const text = readText(cursor);
      value = { kind: 'string', text, json: '' };
    } else if (tag === boolValue) value = plain(readVarint32(cursor) === 0 ? 'false' : 'true');
    else if (tag === intValue) value = plain(readInt64Text(cursor));
    else if (tag === doubleValue) value = doubleOf(readDouble(cursor));
    else if (tag === bytesValue) value = bytesOf(cursor);
    else if (tag === arrayValue) value = arrayOf(cursor, depth);
    else if (tag === mapValue) value = mapOf(cursor, depth);
    else return false;
    return true;
  });
  return value;
}

/** The text of a value that is nothing but one, as most are. */
function readTextAlone(cursor: BufferCursor): string | undefined {
  const start = cursor.pos;
  if (start >= cursor.end || cursor.bytes[start] !== stringValue) return undefined;
  cursor.pos++;
  const end = readEnd(cursor);
  const from = cursor.pos;
  cursor.pos = end === cursor.end ? end : start;
  return end === cursor.end ? cursor.bytes.toString('utf8', from, end) : undefined;
}

const plain = (text: string): AnyValue => ({ kind: 'number', text, json: text });

function doubleOf(value: number): AnyValue {
  if (!Number.isFinite(value)) {
    const text = Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
    return { kind: 'number', text, json: `"${text}"` };
  }
  const text = Object.is(value, -0) ? '-0' : String(value);
  return { kind: 'number', text, json: /[.e]/.test(text) ? text : `${text}.0` };
}

function bytesOf(cursor: BufferCursor): AnyValue {
  const end = readEnd(cursor);
  const text = cursor.bytes.toString('base64', cursor.pos, end);
  cursor.pos = end;
  return { kind: 'bytes', text, json: `"${text}"` };
}

function arrayOf(cursor: BufferCursor, depth: number): AnyValue {
  const items: string[] = [];
  within(cursor, () =>
    eachField(
      cursor,
      (tag) => tag === keyTag && within(cursor, () => items.push(jsonOf(readAnyValue(cursor, depth + 1)))),
    ),
  );
  const json = `[${items.join(',')}]`;
  return { kind: 'array', text: json, json };
}

function mapOf(cursor: BufferCursor, depth: number): AnyValue {
  const pairs: Pair[] = [];
  within(cursor, () =>
    eachField(
      cursor,
      (tag) => tag === keyTag && within(cursor, () => pairs.push(readKeyValue(cursor, depth + 1))),
    ),
  );
  const json = objectJson(pairs);
  return { kind: 'map', text: json, json };
}

/** int64 in decimal, exact. */
function readInt64Text(cursor: BufferCursor): string {
  const start = cursor.pos;
  const value = readInt64(cursor);
  if (Number.isSafeInteger(value)) return String(value);
  let exact = 0n;
  for (let at = start; at < cursor.pos; at++)
    exact |= BigInt((cursor.bytes[at] ?? 0) & 127) << BigInt(7 * (at - start));
  return String(BigInt.asIntN(64, exact));
}

export interface Pair {
  readonly key: string;
  readonly value: AnyValue;
}

/** Reads the KeyValue between the cursor and its end. */
export function readKeyValue(cursor: BufferCursor, depth = 0): Pair {
  let key = '';
  let value = none;
  while (cursor.pos < cursor.end) {
    const tag = readTag(cursor);
    if (tag === keyTag) key = readName(cursor);
    else if (tag === valueTag) {
      const outer = enter(cursor);
      value = readAnyValue(cursor, depth);
      leave(cursor, outer);
    } else skipField(cursor, tag);
  }
  return { key, value };
}

/** The pairs as a JSON object with sorted keys; of a key that is there twice the last counts. */
export function objectJson(pairs: readonly Pair[]): string {
  if (pairs.length === 0) return '{}';
  const byKey = new Map(pairs.map(({ key, value }) => [key, jsonOf(value)]));
  const keys = [...byKey.keys()].sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${byKey.get(key)}`).join(',')}}`;
}

/** What a pair is as labels: maps become a label for each of their members. */
export function* labelPairs(
  { key, value }: Pair,
  prefix = '',
): Generator<readonly [name: string, value: string]> {
  const name = labelName(prefix === '' ? key : `${prefix}_${key}`);
  if (value.kind !== 'map') {
    yield [name, value.text];
    return;
  }
  // Members of a map were read already; their JSON is what there is of them.
  for (const [member, inner] of Object.entries(JSON.parse(value.json) as Record<string, unknown>))
    yield* labelPairs({ key: member, value: parsed(inner) }, name);
}

function parsed(inner: unknown): AnyValue {
  if (typeof inner === 'string') return { kind: 'string', text: inner, json: '' };
  const json = JSON.stringify(inner);
  const isMap = typeof inner === 'object' && inner !== null && !Array.isArray(inner);
  return { kind: isMap ? 'map' : 'number', text: inner === null ? '' : json, json };
}
