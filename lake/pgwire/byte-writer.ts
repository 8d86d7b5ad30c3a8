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
  /** Forgets what was written after `length`: half a message that couldn't be finished. */
  truncate(length: number): void;
  /** What was written since the last call. The buffer goes to the caller; the next write begins another one. */
  take(): Buffer;
}

const initialBytes = 4096;

export function createByteWriter(): ByteWriter {
  let buffer = Buffer.allocUnsafe(initialBytes);
  let length = 0;
  let messageAt = 0;

  /** Makes room for `bytes` more and returns the buffer that they are in: its last ones before `length`. */
  const room = (bytes: number): Buffer => {
    const before = length;
    length += bytes;
    if (length > buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(buffer.length * 2, length));
      buffer.copy(larger, 0, 0, before);
      buffer = larger;
    }
    return buffer;
  };
  const uint8 = (value: number): void => void room(1).writeUInt8(value, length - 1);
  const int32 = (value: number): void => void room(4).writeInt32BE(value, length - 4);
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
    end: () => void buffer.writeInt32BE(length - messageAt, messageAt),
    endValue: (at) => void buffer.writeInt32BE(length - at - 4, at),
    truncate: (to) => {
      length = to;
    },
    take: () => {
      const taken = buffer.subarray(0, length);
      buffer = Buffer.allocUnsafe(initialBytes);
      length = 0;
      return taken;
    },
  };
}
