import type { Socket } from 'node:net';
import { createFrameReader, type Frame, type Phase } from './codec.ts';
import type { SessionInput } from './session.ts';

/** Frames of a socket, in order. */
export interface Inbox {
  /**
   * The next frame; undefined when the client has gone. Throws what the frame reader throws (SqlError 08P01, 54000).
   * One call at a time.
   */
  next(phase: Phase): Promise<Frame | undefined>;
  /** The same, but it stays the next. */
  peek(phase: Phase): Promise<Frame | undefined>;
  /** Nothing more is read; who waits for a frame is told that the client has gone. */
  end(): void;
  /** Bytes received and not asked for yet. */
  readonly bufferedBytes: number;
}

/**
 * Reads ahead by `readAheadBytesMax` and then pauses the socket until those frames are taken; a frame that is longer is
 * still read whole. Reading goes on while a statement runs, so that the end of a connection is seen at once.
 */
export function createInbox(
  socket: Socket,
  limits: { readonly messageBytesMax: number; readonly readAheadBytesMax: number },
): Inbox {
  const frames = createFrameReader(limits.messageBytesMax);
  let ended = false;
  let waiting: (() => void) | undefined;
  const wake = (): void => {
    waiting?.();
    waiting = undefined;
  };
  socket.on('data', (chunk) => {
    frames.push(chunk);
    if (frames.bufferedBytes >= limits.readAheadBytesMax) socket.pause();
    wake();
  });
  const end = (): void => {
    ended = true;
    wake();
  };
  for (const event of ['end', 'error', 'close'] as const) socket.on(event, end);
  const read = async (phase: Phase): Promise<Frame | undefined> => {
    for (;;) {
      const frame = frames.next(phase);
      if (frame) return frame;
      if (ended) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting = resolve;
      // Everything that came is part of this frame.
      socket.resume();
      await promise;
    }
  };
  let peeked: Frame | undefined;
  return {
    end,
    get bufferedBytes() {
      return frames.bufferedBytes;
    },
    next: async (phase) => {
      const frame = peeked ?? (await read(phase));
      peeked = undefined;
      return frame;
    },
    peek: async (phase) => {
      peeked ??= await read(phase);
      return peeked;
    },
  };
}

/** What a session reads while it answers a message. */
export const sessionInput = (inbox: Inbox): SessionInput => ({
  next: () => inbox.next('session'),
  peek: () => inbox.peek('session'),
});
