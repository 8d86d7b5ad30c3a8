// Thrift's compact protocol (github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), as far as
// Parquet's footers and page headers have it. Read as fields by their ids, without a class for each struct: a query may
// begin with the footers of a hundred files.

/** Fields by id. Numbers are exact up to 2^53; texts are bytes of the input, not copied. */
export type ThriftStruct = readonly (ThriftValue | undefined)[];
export type ThriftValue = number | boolean | Buffer | ThriftStruct | readonly ThriftValue[];

interface Input {
  readonly bytes: Buffer;
  at: number;
}

/** Reads a struct from the beginning. Throws RangeError where bytes are missing or make no sense. */
export function readThrift(bytes: Buffer): { readonly fields: ThriftStruct; readonly bytesRead: number } {
  const input = { bytes, at: 0 };
  const fields = readStruct(input, 0);
  return { fields, bytesRead: input.at };
}

const kinds = {
  true: 1,
  false: 2,
  byte: 3,
  i16: 4,
  i32: 5,
  i64: 6,
  double: 7,
  binary: 8,
  list: 9,
  set: 10,
  struct: 12,
};
/** Parquet's structs are nested less deeply. */
const depthMax = 32;

function readStruct(input: Input, depth: number): ThriftStruct {
  if (depth > depthMax) throw new RangeError('a footer is nested too deeply');
  const fields: (ThriftValue | undefined)[] = [];
  for (let id = 0; ; ) {
    const head = readByte(input);
    if (head === 0) return fields;
    const delta = head >>> 4;
    id = delta > 0 ? id + delta : zigzag(readVarint(input));
    if (id < 0 || id > 0x7fff) throw new RangeError(`a footer has a field ${id}`);
    const kind = head & 15;
    // Within a struct the kind of a boolean is its value.
    fields[id] = kind === kinds.true ? true : kind === kinds.false ? false : readValue(input, kind, depth);
  }
}

function readValue(input: Input, kind: number, depth: number): ThriftValue {
  switch (kind) {
    case kinds.true:
    case kinds.false:
      return readByte(input) === kinds.true;
    case kinds.byte:
      return (readByte(input) << 24) >> 24;
    case kinds.i16:
    case kinds.i32:
    case kinds.i64:
      return zigzag(readVarint(input));
    case kinds.double:
      return take(input, 8).readDoubleLE();
    case kinds.binary:
      return take(input, readVarint(input));
    case kinds.list:
    case kinds.set:
      return readList(input, depth);
    case kinds.struct:
      return readStruct(input, depth + 1);
    default:
      throw new RangeError(`a footer has a value of kind ${kind}`);
  }
}

function readList(input: Input, depth: number): readonly ThriftValue[] {
  const head = readByte(input);
  const length = head >>> 4 === 15 ? readVarint(input) : head >>> 4;
  // Each element takes a byte or more.
  if (length > input.bytes.length - input.at) throw new RangeError('a footer has a list that is too long');
  const values: ThriftValue[] = [];
  for (let index = 0; index < length; index++) values.push(readValue(input, head & 15, depth + 1));
  return values;
}

function readByte(input: Input): number {
  const byte = input.bytes[input.at++];
  if (byte === undefined) throw new RangeError('a footer is cut off');
  return byte;
}

function take(input: Input, length: number): Buffer {
  const end = input.at + length;
  if (end > input.bytes.length) throw new RangeError('a footer is cut off');
  const taken = input.bytes.subarray(input.at, end);
  input.at = end;
  return taken;
}

function readVarint(input: Input): number {
  let value = 0;
  for (let scale = 1; scale < 2 ** 70; scale *= 128) {
    const byte = readByte(input);
    value += (byte & 127) * scale;
    if (byte < 128) return value;
  }
  throw new RangeError('a number of a footer is too long');
}

const zigzag = (value: number): number => (value % 2 === 1 ? -(value + 1) / 2 : value / 2);

/** A field that has to be a number; undefined when it is absent. */
export function numberOf(value: ThriftValue | undefined): number | undefined {
  if (value === undefined || typeof value === 'number') return value;
  throw new RangeError('a footer has something else where a number belongs');
}

/** The same of bytes. */
export function bytesOf(value: ThriftValue | undefined): Buffer | undefined {
  if (value === undefined || Buffer.isBuffer(value)) return value;
  throw new RangeError('a footer has something else where a text belongs');
}

/** The same of a struct's fields, or a list's elements. */
export function partsOf(value: ThriftValue | undefined): ThriftStruct | undefined {
  if (value === undefined || Array.isArray(value)) return value as ThriftStruct | undefined;
  throw new RangeError('a footer has something else where a list belongs');
}
