import { messageOf } from '../../base/errors.ts';
import { valueDepthMax } from './any-value.ts';
import { type Field, type Message, requestMessages, type Scalar } from './json-schema.ts';
import { fixed32Tag, fixed64Tag, invalid, messageTag, varintTag } from './wire.ts';

// OTLP/JSON becomes the protobuf that it stands for, so that there is one decoder. Fields that are not known are left
// out, as the specification says; ids are hex, 64-bit integers texts or numbers.

/** Values nest in messages that nest; every level of a value is two or three of JSON. */
const depthMax = 12 + 3 * valueDepthMax;

/** The request as protobuf. Throws FirnError `invalid` that names the field. */
export function protobufOfJson(signal: 'logs' | 'traces' | 'metrics', body: Uint8Array): Uint8Array {
  let request: unknown;
  try {
    request = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
  } catch (error) {
    throw invalid(`the body is not valid JSON: ${messageOf(error)}`);
  }
  if (!isObject(request)) throw invalid('the body is not a JSON object');
  const parts: Uint8Array[] = [];
  const bytes = encodeMessage(request, requestMessages[signal], 0, parts);
  return Buffer.concat(parts, bytes);
}

type JsonObject = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Appends the fields of a message to `parts`, and returns how many bytes they are. */
function encodeMessage(object: JsonObject, message: Message, depth: number, parts: Uint8Array[]): number {
  if (depth > depthMax) throw invalid('values are nested too deeply');
  let bytes = 0;
  for (const [name, value] of Object.entries(object)) {
    const field = Object.hasOwn(message, name) ? message[name] : undefined;
    if (field === undefined || value === null) continue;
    if (field.repeated !== true) bytes += encodeField(name, value, field, depth, parts);
    else if (Array.isArray(value))
      for (const item of value as unknown[]) bytes += encodeField(name, item, field, depth, parts);
    else throw wrong(name, 'a list');
  }
  return bytes;
}

function encodeField(name: string, value: unknown, field: Field, depth: number, parts: Uint8Array[]): number {
  const { number, kind } = field;
  if (typeof kind === 'function') {
    if (!isObject(value)) throw wrong(name, 'an object');
    // Its length stands before it, and is known after it.
    const place = parts.push(none) - 1;
    const bytes = encodeMessage(value, kind(), depth + 1, parts);
    const header = lengthHeader(number, bytes);
    parts[place] = header;
    return header.length + bytes;
  }
  const encoded = encodeScalar(name, value, kind, field);
  for (const part of encoded) parts.push(part);
  return encoded.reduce((sum, part) => sum + part.length, 0);
}

const none = new Uint8Array();

const lengthHeader = (number: number, bytes: number): Uint8Array =>
  Buffer.concat([varint(BigInt(messageTag(number))), varint(BigInt(bytes))]);

const lengthDelimited = (number: number, content: Uint8Array): Uint8Array[] => [
  lengthHeader(number, content.length),
  content,
];

function encodeScalar(name: string, value: unknown, kind: Scalar, field: Field): Uint8Array[] {
  const { number } = field;
  switch (kind) {
    case 'string':
      if (typeof value !== 'string') throw wrong(name, 'a string');
      return lengthDelimited(number, Buffer.from(value));
    case 'hex':
      if (typeof value !== 'string' || !/^([0-9a-fA-F]{2})*$/.test(value)) throw wrong(name, 'hex');
      return lengthDelimited(number, Buffer.from(value, 'hex'));
    case 'bytes':
      if (typeof value !== 'string') throw wrong(name, 'base64');
      return lengthDelimited(number, Buffer.from(value, 'base64'));
    case 'bool':
      if (typeof value !== 'boolean') throw wrong(name, 'true or false');
      return [varint(BigInt(varintTag(number))), varint(value ? 1n : 0n)];
    case 'varint':
      return [varint(BigInt(varintTag(number))), varint(integer(name, value, field.names))];
    case 'sint32': {
      const whole = integer(name, value);
      return [varint(BigInt(varintTag(number))), varint(BigInt.asUintN(32, (whole << 1n) ^ (whole >> 31n)))];
    }
    case 'fixed32': {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(Number(BigInt.asUintN(32, integer(name, value))));
      return [varint(BigInt(fixed32Tag(number))), bytes];
    }
    case 'fixed64': {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt.asUintN(64, integer(name, value)));
      return [varint(BigInt(fixed64Tag(number))), bytes];
    }
    case 'double': {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(double(name, value));
      return [varint(BigInt(fixed64Tag(number))), bytes];
    }
  }
}

function integer(name: string, value: unknown, names: readonly string[] = []): bigint {
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value);
  if (typeof value === 'string') {
    const known = names.indexOf(value);
    if (known >= 0) return BigInt(known);
    if (/^-?\d{1,20}$/.test(value)) return BigInt(value);
  }
  throw wrong(name, 'a whole number');
}

function double(name: string, value: unknown): number {
  if (typeof value === 'number') return value;
  const text = typeof value === 'string' ? value.trim() : '';
  const number = Number(text);
  if (text === '' || (Number.isNaN(number) && text !== 'NaN')) throw wrong(name, 'a number');
  return number;
}

function varint(value: bigint): Uint8Array {
  if (value >= 0n && value < 128n) return oneByte[Number(value)] ?? Uint8Array.of(Number(value));
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

const oneByte = Array.from({ length: 128 }, (_, byte) => Uint8Array.of(byte));

const wrong = (name: string, what: string) => invalid(`the field ${name} is not ${what}`);
