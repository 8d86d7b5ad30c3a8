/** Cuts a TCP stream into messages: RFC 6587, octet counting or line by line, told apart for each message. */
export interface FrameReader {
  /** The messages that are whole by now. Throws an Error when the stream can't be understood any more. */
  push(chunk: Uint8Array): Uint8Array[];
  /** The sender closed: the rest, if any, is its last message. */
  end(): Uint8Array[];
}

const newline = 10;
const space = 32;
const digitsMax = 9;

/** A longer message is cut: its start is a message, the rest is skipped. */
export function createFrameReader(messageBytesMax: number, onCut: () => void): FrameReader {
  let held = Buffer.alloc(0);
  /** Bytes of a message that is counted, and of it those beyond the limit, or a line that goes on. */
  let skipBytes = 0;
  let skipLine = false;

  const next = (): Uint8Array | undefined => {
    if (skipBytes > 0) {
      const gone = Math.min(skipBytes, held.length);
      held = held.subarray(gone);
      skipBytes -= gone;
    }
    if (skipLine) {
      const end = held.indexOf(newline);
      held = end < 0 ? Buffer.alloc(0) : held.subarray(end + 1);
      skipLine = end < 0;
    }
    if (held.length === 0) return undefined;
    return isDigit(held[0]) ? nextCounted() : nextLine();
  };
  const nextCounted = (): Uint8Array | undefined => {
    const end = held.indexOf(space);
    if (end < 0 && held.length <= digitsMax) return undefined;
    const digits = held.subarray(0, end < 0 ? digitsMax + 1 : end).toString('latin1');
    // A line may begin with a digit too.
    if (!/^[1-9]\d{0,8}$/.test(digits)) return nextLine();
    const bytes = Number(digits);
    const whole = end + 1 + bytes;
    const kept = Math.min(bytes, messageBytesMax);
    if (held.length < end + 1 + kept) return undefined;
    const message = Buffer.from(held.subarray(end + 1, end + 1 + kept));
    if (bytes > kept) onCut();
    skipBytes = whole;
    const gone = Math.min(skipBytes, held.length);
    held = held.subarray(gone);
    skipBytes -= gone;
    return message;
  };
  const nextLine = (): Uint8Array | undefined => {
    const end = held.indexOf(newline);
    const length = end < 0 ? held.length : end;
    if (end < 0 && length < messageBytesMax) return undefined;
    const message = Buffer.from(held.subarray(0, Math.min(length, messageBytesMax)));
    if (length > messageBytesMax || end < 0) onCut();
    skipLine = end < 0;
    held = end < 0 ? Buffer.alloc(0) : held.subarray(end + 1);
    return message;
  };
  return {
    push: (chunk) => {
      held = held.length === 0 ? Buffer.from(chunk) : Buffer.concat([held, chunk]);
      const messages: Uint8Array[] = [];
      for (let message = next(); message !== undefined; message = next())
        if (trimmed(message).length > 0) messages.push(trimmed(message));
      return messages;
    },
    end: () => {
      const rest = skipLine || skipBytes > 0 ? Buffer.alloc(0) : trimmed(held);
      held = Buffer.alloc(0);
      return rest.length > 0 ? [rest] : [];
    },
  };
}

/** Without line ends and the NUL that some put at the end. */
export function trimmed(message: Uint8Array): Uint8Array {
  let end = message.length;
  while (end > 0 && [0, newline, 13].includes(message[end - 1] ?? -1)) end--;
  return message.subarray(0, end);
}

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 49 && byte <= 57;
