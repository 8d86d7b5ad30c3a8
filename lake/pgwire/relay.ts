import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { SqlError } from '../sql/errors.ts';
import type { Frame } from './codec.ts';
import { writeError } from './messages.ts';
import type { PgSession, SessionOutput } from './session.ts';

/** A session that another process has (backend.ts): what it says goes to the client as it is. */
export interface RemoteSession {
  readonly stream: Duplex;
  /**
   * What it says goes to `take` from now on, which returns whether it wants more at once: else `stream` is resumed for it. The
   * bytes are read over after that.
   */
  receive(take: (bytes: Uint8Array) => boolean): void;
  cancel(): void;
  /** Lets it say that the server closes, between two messages, and end. */
  terminate(): void;
}

/** What the relay needs of the client's side. */
interface Client extends SessionOutput {
  readonly socket: Duplex;
}

/**
 * The client's side of it. When the stream ends although the client has not said goodbye, the process is gone: the client is
 * told (57P02), as PostgreSQL does when another of its processes crashes, and may connect again.
 */
export function relaySession(remote: RemoteSession, { socket, writer, flush }: Client): PgSession {
  const { stream } = remote;
  const boundary = createBoundary();
  let leaving = false;
  let isWaiting = false;
  const goOn = (): void => {
    if (!isWaiting || socket.writableLength > 0) return;
    isWaiting = false;
    stream.resume();
  };
  remote.receive((bytes) => {
    boundary.pass(bytes);
    if (!socket.writable) return true;
    socket.write(bytes, goOn);
    // What the system has not taken yet is still in the memory that would be read into.
    isWaiting = socket.writableLength > 0;
    return !isWaiting;
  });
  stream.resume();
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  stream.on('error', () => undefined); // `close` follows.
  stream.once('close', () => {
    resolve();
    // Within a message nothing can be said.
    if (!leaving && socket.writable && boundary.isBetween()) {
      writeError(
        writer,
        'FATAL',
        new SqlError('57P02', 'terminating connection because the SQL engine of this database has crashed', {
          hint: 'Connect again: it is started anew. A statement that ended it before will again.',
        }),
      );
      void flush().catch(() => undefined);
    }
    socket.end();
  });
  return {
    start: flush,
    handle: async (frame) => {
      if (frame.type === 'X') leaving = true;
      if (stream.writable && !stream.write(bytesOf(frame)))
        await Promise.race([once(stream, 'drain'), closed]).catch(() => undefined);
      return leaving ? 'end' : 'continue';
    },
    cancel: remote.cancel,
    terminate: () => {
      leaving = true;
      remote.terminate();
    },
    [Symbol.asyncDispose]: async () => {
      leaving = true;
      stream.destroy();
      await closed;
    },
  };
}

function bytesOf({ type, body }: Frame): Buffer {
  const bytes = Buffer.allocUnsafe(5 + body.length);
  bytes.write(type, 'latin1');
  bytes.writeInt32BE(4 + body.length, 1);
  body.copy(bytes, 5);
  return bytes;
}

/** Follows a stream of messages: whether one is complete. */
function createBoundary(): { pass(bytes: Uint8Array): void; isBetween(): boolean } {
  /** Bytes that are missing of the message, whose header is known. */
  let missing = 0;
  let header = Buffer.alloc(0);
  return {
    pass: ({ buffer, byteOffset, length }) => {
      const bytes = Buffer.from(buffer, byteOffset, length);
      let at = Math.min(missing, bytes.length);
      missing -= at;
      while (at < bytes.length) {
        if (header.length > 0 || bytes.length - at < 5) {
          const more = bytes.subarray(at, at + 5 - header.length);
          header = Buffer.concat([header, more]);
          at += more.length;
          if (header.length < 5) return;
          missing = header.readInt32BE(1) - 4;
          header = Buffer.alloc(0);
        } else {
          missing = bytes.readInt32BE(at + 1) - 4;
          at += 5;
        }
        const step = Math.min(missing, bytes.length - at);
        missing -= step;
        at += step;
      }
    },
    isBetween: () => missing === 0 && header.length === 0,
  };
}
