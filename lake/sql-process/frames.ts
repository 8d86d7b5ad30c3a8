import { once } from 'node:events';
import type { Socket } from 'node:net';

// What goes over a socket between the two processes begins with a frame of JSON: its length in four bytes, and the JSON. The
// answer to a statement over HTTP is such a frame too, then frames of its body, and an empty one when it is complete.

const lengthBytes = 4;

function lengthOf(bytes: number): Buffer {
  const length = Buffer.allocUnsafe(lengthBytes);
  length.writeUInt32BE(bytes);
  return length;
}

export function jsonFrame(value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  return Buffer.concat([lengthOf(json.length), json]);
}

/** The first frame of a socket; what follows it stays there. Undefined when the other side is gone. */
export async function readJsonFrame(socket: Socket): Promise<unknown> {
  let bytes = Buffer.alloc(0);
  try {
    for await (const piece of socket.iterator({ destroyOnReturn: false })) {
      bytes = Buffer.concat([bytes, piece as Buffer]);
      if (bytes.length < lengthBytes) continue;
      const end = lengthBytes + bytes.readUInt32BE();
      if (bytes.length < end) continue;
      socket.unshift(bytes.subarray(end));
      return JSON.parse(bytes.toString('utf8', lengthBytes, end));
    }
  } catch (error) {
    if (!socket.destroyed) throw error;
  }
  return undefined;
}

/** What comes first of an answer. */
interface AnswerHead {
  readonly status: number;
  readonly contentType: string;
}

/** Sends an answer as fast as the other side takes it. Ends early when that is gone. */
export async function sendAnswer(socket: Socket, answer: Response): Promise<void> {
  const head: AnswerHead = {
    status: answer.status,
    contentType: answer.headers.get('content-type') ?? '',
  };
  socket.write(jsonFrame(head));
  const closed = once(socket, 'close').catch(() => undefined);
  for await (const piece of answer.body ?? []) {
    if (piece.length === 0) continue;
    socket.cork();
    socket.write(lengthOf(piece.length));
    socket.write(piece);
    socket.uncork();
    if (socket.writableNeedDrain) await Promise.race([once(socket, 'drain'), closed]).catch(() => undefined);
    if (!socket.writable) return;
  }
  socket.end(lengthOf(0));
}

export interface AnswerTaker {
  head(head: AnswerHead): void;
  /** Bytes of the body, valid during the call. */
  body(bytes: Uint8Array): void;
  end(): void;
}

/** Takes an answer apart, in whatever pieces it comes. */
export function createAnswerReader(taker: AnswerTaker): (bytes: Uint8Array) => void {
  let seen: 'nothing' | 'head' | 'end' = 'nothing';
  /** Of the frame that has begun: bytes that are missing; undefined: its length is. */
  let missing: number | undefined;
  let kept = Buffer.alloc(0);
  /** Keeps bytes until there are `count`; true when there are. */
  const keep = (bytes: Uint8Array, count: number): boolean => {
    kept = Buffer.concat([kept, bytes]);
    return kept.length === count;
  };
  const takeLength = (bytes: Uint8Array): number => {
    const part = bytes.subarray(0, lengthBytes - kept.length);
    if (keep(part, lengthBytes)) {
      missing = kept.readUInt32BE();
      kept = Buffer.alloc(0);
      if (missing === 0 && seen === 'head') {
        seen = 'end';
        taker.end();
      }
    }
    return part.length;
  };
  const takeFrame = (bytes: Uint8Array, left: number): number => {
    const part = bytes.subarray(0, left);
    if (seen === 'head') taker.body(part);
    else if (keep(part, kept.length + left)) {
      seen = 'head';
      taker.head(JSON.parse(kept.toString('utf8')) as AnswerHead);
      kept = Buffer.alloc(0);
    }
    missing = left > part.length ? left - part.length : undefined;
    return part.length;
  };
  return (bytes) => {
    for (let at = 0; at < bytes.length && seen !== 'end'; ) {
      const rest = bytes.subarray(at);
      at += missing === undefined ? takeLength(rest) : takeFrame(rest, missing);
    }
  };
}
