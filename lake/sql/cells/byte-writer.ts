import { type Bytes, bytesOf } from '../duckdb/bytes.ts';

/**
 * Bytes in network order, appended to one buffer that doubles when it is full. A message (`begin` ... `end`) gets its
 * type and length; a value inside it (`beginValue` ... `endValue`) its length, or -1 for NULL.
 */
export interface ByteWriter {
  readonly length: number;
  uint8(value: number): void;
  int16(value: number): void;
  int32(value: number): void;
  int64(value: bigint): void;
  float32(value: number): void;
  float64(value: number): void;
  bytes(value: Uint8Array): void;
  /** UTF-8 without a terminator. */
  text(value: string): void;
  /** UTF-8 with a terminator. A NUL inside would end it early, so it is left out. */
  cstring(value: string): void;
  /** Starts a message by the ASCII code of its type. Messages don't nest. */
  begin(type: string): void;
  end(): void;
  /** Leaves room for a length and returns where; values nest. */
  beginValue(): number;
  endValue(at: number): void;
  /** Room for so many more bytes, from `length` on, for who writes them himself and then says `setLength`. */
  reserve(bytes: number): Bytes;
  /** Also forgets what was written after `length`: half a message that couldn't be finished. */
  setLength(length: number): void;
  /** What was written since the last call. The buffer goes to the caller; the next write begins another one. */
  take(): Buffer;
  /** What was taken last is needed no more: it is written into again. */
  giveBack(): void;
}

const initialBytes = 4096;
/** From so many bytes on, what was written last time tells what will be next time. */
const largeBytes = 32_768;

/** The buffer that is written into. */
interface Memory {
  readonly buffer: Buffer;
  /** Makes it large enough for what is in it, which is kept, and so many bytes more. */
  reserve(used: number, bytes: number): Buffer;
  /** The same memory as `reserve` gave. */
  seen(): Bytes;
  take(used: number): Buffer;
  giveBack(): void;
}

function createMemory(): Memory {
  let buffer = Buffer.allocUnsafe(initialBytes);
  let seen: Bytes | undefined;
  let taken: typeof buffer | undefined;
  let spare: typeof buffer | undefined;
  const replace = (by: typeof buffer): void => {
    buffer = by;
    seen = undefined;
  };
  return {
    get buffer() {
      return buffer;
    },
    reserve: (used, bytes) => {
      if (used + bytes > buffer.length) {
        const larger = Buffer.allocUnsafe(Math.max(buffer.length * 2, used + bytes));
        buffer.copy(larger, 0, 0, used);
        replace(larger);
      }
      return buffer;
    },
    seen: () => {
      seen ??= bytesOf(buffer);
      return seen;
    },
    take: (used) => {
      taken = buffer;
      replace(spare ?? Buffer.allocUnsafe(used < largeBytes ? initialBytes : buffer.length));
      spare = undefined;
      return taken.subarray(0, used);
    },
    giveBack: () => {
      if (taken && taken.length >= largeBytes) spare = taken;
      taken = undefined;
    },
  };
}

export function createByteWriter(): ByteWriter {
  const memory = createMemory();
  let length = 0;
  let messageAt = 0;

  /** Makes room for `bytes` more and returns the buffer that they are in: its last ones before `length`. */
  const room = (bytes: number): Buffer => {
    const buffer = memory.reserve(length, bytes);
    length += bytes;
    return buffer;
  };
  const uint8 = (value: number): void => {
    room(1)[length - 1] = value;
  };
  const int32 = (value: number): void => putInt32(room(4), length - 4, value);
  const text = (value: string): void => {
    const bytes = Buffer.byteLength(value);
    room(bytes).write(value, length - bytes);
  };
  const beginValue = (): number => {
    room(4);
    return length - 4;
  };

  return {
    get length() {
      return length;
    },
    uint8,
    int32,
    text,
    beginValue,
    int16: (value) => void room(2).writeInt16BE(value, length - 2),
    int64: (value) => void room(8).writeBigInt64BE(value, length - 8),
    float32: (value) => void room(4).writeFloatBE(value, length - 4),
    float64: (value) => void room(8).writeDoubleBE(value, length - 8),
    bytes: (value) => room(value.length).set(value, length - value.length),
    cstring: (value) => {
      text(value.includes('\0') ? value.replaceAll('\0', '') : value);
      uint8(0);
    },
    begin: (type) => {
      uint8(type.charCodeAt(0));
      messageAt = beginValue();
    },
    // A message's length counts itself, a value's doesn't.
    end: () => putInt32(memory.buffer, messageAt, length - messageAt),
    endValue: (at) => putInt32(memory.buffer, at, length - at - 4),
    reserve: (bytes) => {
      memory.reserve(length, bytes);
      return memory.seen();
    },
    setLength: (to) => {
      length = to;
    },
    take: () => {
      const bytes = memory.take(length);
      length = 0;
      return bytes;
    },
    giveBack: memory.giveBack,
  };
}

export function putInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
