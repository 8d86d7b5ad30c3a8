import type { ColumnType } from '../../lake/schema/tables.ts';

// Lower and upper bounds of columns: Iceberg's binary single-value serialisation (specification, appendix D), with long
// text cut as other writers cut it.

/** Characters (code points) that a text bound keeps. */
export const boundCharactersMax = 16;

/** The bound of a column from its text in a shipment manifest; undefined when there is no usable bound. */
export function encodeBound(type: ColumnType, text: string, side: 'lower' | 'upper'): Buffer | undefined {
  switch (type) {
    case 'string': {
      const bound = side === 'lower' ? truncateText(text) : truncateTextUp(text);
      return bound === undefined ? undefined : Buffer.from(bound);
    }
    case 'long':
    case 'timestamptz':
      return encodeLong(BigInt(text));
    case 'double':
      return Number.isNaN(Number(text)) ? undefined : encodeDouble(Number(text));
  }
}

/** A bound as a value that compares: bigint for long and timestamptz, number for double, UTF-8 bytes for string. */
export function decodeLong(bytes: Uint8Array): bigint {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readBigInt64LE();
}

export function encodeLong(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes;
}

/** Dates and partition days. */
export function encodeInt(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

export function decodeInt(bytes: Uint8Array): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readInt32LE();
}

function encodeDouble(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

/** A prefix is never greater than the text it was cut from. */
function truncateText(text: string): string {
  return [...text].slice(0, boundCharactersMax).join('');
}

/**
 * Not less than `text`: when it is cut, its last character that can be is raised by one and the rest dropped. Undefined
 * when none can be. Surrogates are stepped over, since UTF-8 cannot hold them.
 */
function truncateTextUp(text: string): string | undefined {
  const characters = [...text];
  if (characters.length <= boundCharactersMax) return text;
  for (let length = boundCharactersMax; length > 0; length--) {
    const code = characters[length - 1]?.codePointAt(0) ?? 0;
    if (code === 0x10ffff) continue;
    const raised = code + 1 >= 0xd800 && code + 1 <= 0xdfff ? 0xe000 : code + 1;
    return characters.slice(0, length - 1).join('') + String.fromCodePoint(raised);
  }
  return undefined;
}
