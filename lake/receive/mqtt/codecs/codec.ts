import { isUtf8 } from 'node:buffer';
import { gunzipSync, inflateSync } from 'node:zlib';
import { decode as decodeCbor } from 'cborg';
import { parseLines } from '../../influx/parse-line.ts';
import type { PayloadLimits } from '../payload.ts';
import { PayloadError } from './payload-error.ts';
import { resolveSenml } from './senml.ts';

// What a payload is written in. All become values as JSON has them, which the paths of a rule then look into.

export const wrappers = ['gzip', 'zlib', 'base64', 'hex'] as const;
export const formats = ['json', 'number', 'text', 'senml', 'senml-cbor', 'influx', 'cbor'] as const;
export type Wrapper = (typeof wrappers)[number];
export type Format = (typeof formats)[number];

export type Codec = (payload: Uint8Array, receivedUs: number) => unknown;

/** `wrapped` from the outside in. The codec throws PayloadError. */
export function createCodec(wrapped: readonly Wrapper[], format: Format, limits: PayloadLimits): Codec {
  const read = readers[format];
  const sized = (bytes: Uint8Array): Uint8Array => {
    if (bytes.length > limits.payloadBytesMax) throw new PayloadError('too-large');
    return bytes;
  };
  return (payload, receivedUs) => {
    let bytes = sized(payload);
    for (const wrapper of wrapped) bytes = sized(unwrap(wrapper, bytes, limits.payloadBytesMax));
    return read(bytes, receivedUs);
  };
}

function unwrap(wrapper: Wrapper, bytes: Uint8Array, maxOutputLength: number): Uint8Array {
  if (wrapper === 'gzip' || wrapper === 'zlib') {
    try {
      return wrapper === 'gzip'
        ? gunzipSync(bytes, { maxOutputLength })
        : inflateSync(bytes, { maxOutputLength });
    } catch (error) {
      const bomb = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
      throw new PayloadError(bomb ? 'too-large' : 'bad-payload');
    }
  }
  const text = textOf(bytes).replaceAll(/\s/g, '');
  const right = wrapper === 'hex' ? /^(?:[0-9a-fA-F]{2})*$/ : /^[A-Za-z0-9+/_-]*={0,2}$/;
  if (!right.test(text)) throw new PayloadError('bad-payload');
  return Buffer.from(text, wrapper);
}

const readers: Readonly<Record<Format, Codec>> = {
  json: readJson,
  number: (bytes) => {
    const text = textOf(bytes).trim();
    const value = Number(text);
    if (text === '' || Number.isNaN(value)) throw new PayloadError('no-value');
    return value;
  },
  text: (bytes) => textOf(bytes).trim(),
  cbor: readCbor,
  senml: (bytes, receivedUs) => resolveSenml(readJson(bytes), receivedUs),
  'senml-cbor': (bytes, receivedUs) => resolveSenml(readCbor(bytes), receivedUs),
  influx: readInflux,
};

function readJson(bytes: Uint8Array): unknown {
  const text = textOf(bytes);
  try {
    return JSON.parse(text);
  } catch {
    throw new PayloadError('bad-json');
  }
}

function readCbor(bytes: Uint8Array): unknown {
  try {
    // Maps with keys that are no text (SenML's labels are numbers) become Maps, and those objects.
    return plain(
      decodeCbor(bytes, { useMaps: true, allowBigInt: true, rejectDuplicateMapKeys: true, tags: cborTags }),
    );
  } catch {
    // Its own errors, and the end of the stack for what is nested too deeply.
    throw new PayloadError('bad-payload');
  }
}

/** Times (0: text, 1: seconds) stay what they are; of other tagged values only these are known. */
const cborTags = { 0: <T>(read: () => T): T => read(), 1: <T>(read: () => T): T => read() };

function plain(value: unknown): unknown {
  if (value instanceof Map) {
    const entries = [...value].map(([key, member]): [string, unknown] => [String(key), plain(member)]);
    return Object.fromEntries(entries);
  }
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return typeof value === 'bigint' ? Number(value) : value;
}

/** Points as Telegraf's JSON has them; the time in µs. */
function readInflux(bytes: Uint8Array): unknown {
  try {
    return [...parseLines(textOf(bytes))].map(({ measurement, tags, fields, timestamp }) => ({
      name: measurement,
      tags: Object.fromEntries(tags),
      fields: Object.fromEntries(fields),
      ...(timestamp !== undefined && { timestamp: Number(timestamp / 1000n) }),
    }));
  } catch {
    throw new PayloadError('bad-payload');
  }
}

function textOf(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new PayloadError('not-utf8');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  if (text.includes('\0')) throw new PayloadError('binary');
  return text;
}
