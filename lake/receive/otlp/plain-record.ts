import { createByteTable } from '../../base/byte-table.ts';
import { labelName } from '../label-name.ts';
import { readEnd, readFixed32, readTag, readVarint32, skipField } from '../protobuf.ts';
import { readAnyValue } from './any-value.ts';
import { levelRankOf } from './log-metadata.ts';
import {
  attributesTag,
  bodyTag,
  droppedTag,
  eventNameTag,
  flagsTag,
  observedTag,
  severityNumberTag,
  severityTextTag,
  spanTag,
  timeTag,
  traceTag,
} from './log-record-tags.ts';
import { type BufferCursor, enter, leave, messageTag, readFixed64, readName } from './wire.ts';

// A LogRecord whose texts stay where they are in the request, as most can: without an event name, and with attributes
// that are not maps. What it says is in `plain` until the next one is read.

/** Bytes of the request, or a text of its own where `text` is one. */
export interface Slice {
  start: number;
  end: number;
  text: string | undefined;
}

const slice = (): Slice => ({ start: 0, end: 0, text: undefined });

const attributesMax = 64;

export const plain = {
  time: { low: 0, high: 0 },
  observed: { low: 0, high: 0 },
  ...{ severityNumber: 0, severityText: '', dropped: 0, flags: 0 },
  body: slice(),
  trace: slice(),
  span: slice(),
  /** How many attributes there are: `keys` and `values` of the same index. */
  attributes: 0,
  /** For `attributeKey`. */
  keys: new Int32Array(attributesMax),
  values: Array.from({ length: attributesMax }, slice),
  attributesBytes: 0,
};

export interface AttributeKey {
  /** As a label has it. */
  readonly name: string;
  /** Among the names that name levels; undefined: it is none. */
  readonly levelRank: number | undefined;
}

const keysMax = 10_000;
let keys = createByteTable();
let keysByIndex: AttributeKey[] = [];

export const attributeKey = (index: number): AttributeKey | undefined => keysByIndex[index];

/** Call it before a request: what is remembered of keys has its limit, and must not change within one. */
export function makeRoomForKeys(): void {
  if (keys.size < keysMax) return;
  keys = createByteTable();
  keysByIndex = [];
}

const stringValue = messageTag(1);
const keyTag = messageTag(1);
const valueTag = messageTag(2);

/** Reads the record between the cursor and its end; false: it is not plain, and has to be read in another way. */
export function readPlainRecord(cursor: BufferCursor): boolean {
  plain.time.low = plain.time.high = plain.observed.low = plain.observed.high = 0;
  plain.severityNumber = plain.dropped = plain.flags = plain.attributes = plain.attributesBytes = 0;
  plain.severityText = '';
  clear(plain.body);
  clear(plain.trace);
  clear(plain.span);
  while (cursor.pos < cursor.end) {
    const tag = readTag(cursor);
    if (tag === bodyTag) {
      if (!readSlice(cursor, plain.body)) return false;
    } else if (tag === attributesTag) {
      if (!readAttribute(cursor)) return false;
    } else if (tag === timeTag) readFixed64(cursor, plain.time);
    else if (tag === observedTag) readFixed64(cursor, plain.observed);
    else if (tag === severityNumberTag) plain.severityNumber = readVarint32(cursor);
    else if (tag === severityTextTag) plain.severityText = readName(cursor);
    else if (tag === traceTag) readId(cursor, plain.trace);
    else if (tag === spanTag) readId(cursor, plain.span);
    else if (tag === flagsTag) plain.flags = readFixed32(cursor) >>> 0;
    else if (tag === droppedTag) plain.dropped = readVarint32(cursor);
    else if (tag === eventNameTag) return false;
    else skipField(cursor, tag);
  }
  return true;
}

function clear(to: Slice): void {
  to.start = to.end = 0;
  to.text = undefined;
}

/** An AnyValue; false: it is a map. */
function readSlice(cursor: BufferCursor, to: Slice): boolean {
  const outer = enter(cursor);
  const { bytes, pos, end } = cursor;
  // Nothing but a text, as most are.
  if (pos < end && bytes[pos] === stringValue) {
    cursor.pos++;
    const textEnd = readEnd(cursor);
    if (textEnd === end) {
      to.start = cursor.pos;
      to.end = end;
      to.text = undefined;
      leave(cursor, outer);
      return true;
    }
    cursor.pos = pos;
  }
  const value = readAnyValue(cursor);
  leave(cursor, outer);
  to.text = value.text;
  return value.kind !== 'map';
}

/** All zeros are no id. */
function readId(cursor: BufferCursor, to: Slice): void {
  to.end = readEnd(cursor);
  to.start = cursor.pos;
  cursor.pos = to.end;
  for (let at = to.start; at < to.end; at++) if (cursor.bytes[at] !== 0) return;
  to.start = to.end;
}

function readAttribute(cursor: BufferCursor): boolean {
  const at = plain.attributes;
  const to = plain.values[at];
  if (to === undefined) return false;
  const outer = enter(cursor);
  plain.attributesBytes += cursor.end - cursor.pos;
  let key = -1;
  let isPlain = true;
  clear(to);
  while (cursor.pos < cursor.end) {
    const tag = readTag(cursor);
    if (tag === keyTag) key = readKey(cursor);
    else if (tag === valueTag) isPlain = readSlice(cursor, to);
    else skipField(cursor, tag);
  }
  leave(cursor, outer);
  plain.keys[at] = key;
  plain.attributes = at + 1;
  return isPlain && key >= 0;
}

/** Index of the key; -1: it is not remembered. */
function readKey(cursor: BufferCursor): number {
  const end = readEnd(cursor);
  const { bytes, pos } = cursor;
  cursor.pos = end;
  const known = keys.find(bytes, pos, end);
  if (known >= 0) return known;
  if (end - pos > keyBytesMax || keys.size >= 2 * keysMax) return -1;
  const name = labelName(bytes.toString('utf8', pos, end));
  const index = keys.insert(bytes, pos, end);
  keysByIndex[index] = { name, levelRank: levelRankOf(name) };
  return index;
}

const keyBytesMax = 256;
