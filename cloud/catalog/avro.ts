import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import avsc from 'avsc';
import { FirnError, messageOf } from '../../lake/base/errors.ts';

// Avro object container files (Avro specification 1.11, "Object Container Files"), the form of Iceberg's manifests and
// manifest lists. avsc encodes the values; the container is written here because Iceberg readers look for the schema
// with its `field-id` attributes verbatim, and because files made from the same values should be the same bytes.

/** A file decoded: its values, and the header's key-value metadata as text. */
export interface AvroFile {
  readonly values: readonly unknown[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Values of a `long`: a number where it is exact, else a bigint. */
export type AvroLong = number | bigint;

const MAGIC = Buffer.from('Obj\u0001', 'latin1');
const SYNC_BYTES = 16;
/** Uncompressed bytes after which a block is closed. */
const blockBytesTarget = 256 * 1024;
/** Uncompressed bytes of one block that a reader accepts: deflate can turn a small file into a huge one. */
export const avroBlockBytesMax = 64 * 1024 * 1024;

const exactLong = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer): AvroLong => {
    const value = bytes.readInt32LE(4) * 4294967296 + bytes.readUInt32LE(0);
    return Number.isSafeInteger(value) ? value : bytes.readBigInt64LE();
  },
  toBuffer: (value: AvroLong): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    return bytes;
  },
  isValid: (value: unknown): boolean => typeof value === 'bigint' || Number.isSafeInteger(value),
  fromJSON: (value: number): AvroLong => value,
  toJSON: (value: AvroLong): number => Number(value),
  compare: (a: AvroLong, b: AvroLong): number => (a < b ? -1 : a > b ? 1 : 0),
});

/** Exact ones go through a buffer and a bigint for each `long`, so plain ones are tried first: they refuse what they would round. */
interface Types {
  readonly plain: avsc.Type;
  readonly exact: avsc.Type;
}

const typesOf = (schema: unknown): Types => {
  const given = schema as Parameters<typeof avsc.Type.forSchema>[0];
  return {
    plain: avsc.Type.forSchema(given),
    exact: avsc.Type.forSchema(given, { registry: { long: exactLong } }),
  };
};
const headerMap = avsc.Type.forSchema({ type: 'map', values: 'bytes' });
const long = avsc.Type.forSchema('long');

/** Types of the schemas that were read last: the files of one writer have the same. */
const readTypes = new Map<string, Types>();
const readTypesMax = 16;

function typesOfText(schema: string): Types {
  const known = readTypes.get(schema);
  if (known) return known;
  const types = typesOf(JSON.parse(schema));
  if (readTypes.size >= readTypesMax) readTypes.clear();
  readTypes.set(schema, types);
  return types;
}

/**
 * Makes a writer for one schema; it is compiled once. `metadata` goes into the header beside `avro.schema`. Values of
 * `bytes` must be Buffers.
 */
export function avroWriter(
  schema: object,
): (values: readonly unknown[], metadata: Readonly<Record<string, string>>) => Buffer {
  const types = typesOf(schema);
  const schemaText = JSON.stringify(schema);
  return (values, metadata) => {
    const pairs = Object.entries({ ...metadata, 'avro.schema': schemaText, 'avro.codec': 'deflate' });
    const header = headerMap.toBuffer(
      Object.fromEntries(pairs.map(([key, text]) => [key, Buffer.from(text)])),
    );
    const blocks = [...blocksOf(values.map((value) => encode(types, value)))];
    const hash = createHash('sha256').update(header);
    for (const block of blocks) hash.update(block.data);
    const sync = hash.digest().subarray(0, SYNC_BYTES);
    const body = blocks.flatMap(({ count, data }) => [
      long.toBuffer(count),
      long.toBuffer(data.byteLength),
      data,
      sync,
    ]);
    return Buffer.concat([MAGIC, header, sync, ...body]);
  };
}

function encode({ plain, exact }: Types, value: unknown): Buffer {
  try {
    return plain.toBuffer(value);
  } catch {
    return exact.toBuffer(value);
  }
}

function* blocksOf(encoded: readonly Buffer[]): Generator<{ count: number; data: Buffer }> {
  let block: Buffer[] = [];
  let bytes = 0;
  for (const value of encoded) {
    block.push(value);
    bytes += value.byteLength;
    if (bytes < blockBytesTarget) continue;
    yield { count: block.length, data: deflateRawSync(Buffer.concat(block)) };
    block = [];
    bytes = 0;
  }
  if (block.length > 0) yield { count: block.length, data: deflateRawSync(Buffer.concat(block)) };
}

/** Decodes a file with the schema that is in it. `subject` names it in errors; throws FirnError `corrupt`. */
export function readAvro(bytes: Uint8Array, subject: string): AvroFile {
  try {
    return decodeFile(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (cause) {
    throw new FirnError({
      code: 'corrupt',
      operation: 'decode Avro file',
      subject,
      message: `${subject} is not a readable Avro file: ${messageOf(cause)}`,
      cause,
    });
  }
}

function decodeFile(bytes: Buffer): AvroFile {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error('it does not start with Obj1');
  let offset = MAGIC.length;
  const next = (type: avsc.Type): unknown => {
    const { value, offset: end } = type.decode(bytes, offset);
    if (end < 0) throw new Error('it is cut short');
    offset = end;
    return value;
  };
  const take = (length: number): Buffer => {
    if (length < 0 || offset + length > bytes.length) throw new Error('it is cut short');
    offset += length;
    return bytes.subarray(offset - length, offset);
  };
  const header = Object.entries(next(headerMap) as Record<string, Buffer>);
  const metadata = Object.fromEntries(header.map(([key, value]) => [key, value.toString()]));
  const types = typesOfText(metadata['avro.schema'] ?? 'null');
  const codec = metadata['avro.codec'] ?? 'null';
  if (codec !== 'null' && codec !== 'deflate') throw new Error(`codec ${codec} is not supported`);
  const sync = take(SYNC_BYTES);
  const values: unknown[] = [];
  while (offset < bytes.length) {
    const count = Number(next(long));
    const data = take(Number(next(long)));
    if (!take(SYNC_BYTES).equals(sync)) throw new Error('a sync marker is not where it should be');
    for (const value of readBlock(types, count, codec === 'null' ? data : inflate(data))) values.push(value);
  }
  return { values, metadata };
}

const inflate = (data: Buffer): Buffer => inflateRawSync(data, { maxOutputLength: avroBlockBytesMax });

function readBlock({ plain, exact }: Types, count: number, data: Buffer): unknown[] {
  try {
    return readValues(plain, count, data);
  } catch {
    return readValues(exact, count, data);
  }
}

function readValues(type: avsc.Type, count: number, data: Buffer): unknown[] {
  const values: unknown[] = [];
  let offset = 0;
  for (let index = 0; index < count; index++) {
    const { value, offset: end } = type.decode(data, offset);
    if (end < 0) throw new Error('a block ends within a value');
    values.push(value);
    offset = end;
  }
  if (offset !== data.length) throw new Error('a block is longer than its values');
  return values;
}
