import type { Matcher } from '../../promql/ast.ts';
import { type Cursor, readEnd, readInt64, readTag, readVarint32, skipField } from '../../receive/protobuf.ts';

/** One selection of prometheus.ReadRequest (prompb/remote.proto); milliseconds, both inclusive. */
export interface ReadQuery {
  readonly matchers: readonly Matcher[];
  readonly fromMs: number;
  readonly toMs: number;
}

const operators = ['=', '!=', '=~', '!~'] as const;

/** Throws FirnError `invalid` when it is no such message. */
export function decodeReadRequest(bytes: Uint8Array): readonly ReadQuery[] {
  const queries: ReadQuery[] = [];
  eachField({ bytes, pos: 0, end: bytes.length }, (cursor, field) => {
    if (field !== 1) return false;
    queries.push(nested(cursor, readQuery));
    return true;
  });
  return queries;
}

function readQuery(query: Cursor): ReadQuery {
  const matchers: Matcher[] = [];
  let [fromMs, toMs] = [0, 0];
  eachField(query, (cursor, field) => {
    if (field === 1) fromMs = readInt64(cursor);
    else if (field === 2) toMs = readInt64(cursor);
    else if (field === 3) matchers.push(nested(cursor, readMatcher));
    else return false;
    return true;
  });
  return { matchers, fromMs, toMs };
}

function readMatcher(matcher: Cursor): Matcher {
  let type = 0;
  let [label, value] = ['', ''];
  eachField(matcher, (cursor, field) => {
    if (field === 1) type = readVarint32(cursor);
    else if (field === 2) label = readText(cursor);
    else if (field === 3) value = readText(cursor);
    else return false;
    return true;
  });
  return { label, op: operators[type] ?? '=', value };
}

/** Reads all fields; those that `read` does not take are stepped over. */
function eachField(message: Cursor, read: (cursor: Cursor, field: number) => boolean): void {
  while (message.pos < message.end) {
    const tag = readTag(message);
    if (!read(message, tag >>> 3)) skipField(message, tag);
  }
}

function nested<T>(cursor: Cursor, read: (message: Cursor) => T): T {
  const end = readEnd(cursor);
  const found = read({ bytes: cursor.bytes, pos: cursor.pos, end });
  cursor.pos = end;
  return found;
}

const readText = (cursor: Cursor): string =>
  nested(cursor, ({ bytes, pos, end }) =>
    Buffer.from(bytes.buffer, bytes.byteOffset + pos, end - pos).toString(),
  );
