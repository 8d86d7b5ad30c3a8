import { type Cursor, readDouble, readInt64, readTag, wireFixed64, wireVarint } from '../protobuf.ts';

// The message Exemplar, whose labels each version writes differently.

const valueField = (2 << 3) | wireFixed64;
const timestampField = (3 << 3) | wireVarint;

/** Reads one Exemplar from the cursor to `end`; `readOther` gets the tags of what else it has and passes over it. */
export function readExemplarPoint(
  cursor: Cursor,
  end: number,
  readOther: (tag: number) => void,
): { readonly value: number; readonly timestampMs: number } {
  const outer = cursor.end;
  cursor.end = end;
  let value = 0;
  let timestampMs = 0;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === valueField) value = readDouble(cursor);
    else if (tag === timestampField) timestampMs = readInt64(cursor);
    else readOther(tag);
  }
  cursor.end = outer;
  return { value, timestampMs };
}
