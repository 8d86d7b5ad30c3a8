import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What is wrong with a line. */
export interface LineFaults {
  /** Each byte arrives so much later, in each direction. */
  readonly latencyMs?: number;
  /** In each direction, all connections together. */
  readonly bytesPerSecond?: number;
  /**
   * Connections are accepted, and nothing comes of them, also later: those that are there when it begins or that come
   * meanwhile stay silent for ever, as behind a router that has forgotten them.
   */
  readonly silent?: boolean;
  /** Nothing passes; when this ends, everything goes on as if nothing had been. */
  readonly held?: boolean;
}

export interface Line {
  readonly bytes: { up: number; down: number };
  set(faults: LineFaults): void;
  /** For a server's connections. */
  readonly accept: (client: Socket) => void;
  cut(): void;
}

/** In flight in one direction of one connection. */
const flightBytesMax = 1024 * 1024;
const pieceBytesMax = 16 * 1024;
const holdPollMs = 10;

interface Direction {
  readonly name: 'up' | 'down';
  /** When the line is free again. */
  freeMs: number;
}

export function createLine(connectTarget: () => Socket): Line {
  let faults: LineFaults = {};
  const bytes = { up: 0, down: 0 };
  const directions = { up: { name: 'up', freeMs: 0 }, down: { name: 'down', freeMs: 0 } } as const;
  /** Connections that still pass something. */
  const alive = new Set<AbortController>();
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // Whatever ends a connection, `close` follows.
    socket.on('error', () => undefined);
  };

  /** Waits until a piece may leave. */
  const wait = async (direction: Direction, size: number): Promise<void> => {
    const { bytesPerSecond } = faults;
    if (bytesPerSecond !== undefined) {
      direction.freeMs = Math.max(direction.freeMs, performance.now()) + (size * 1000) / bytesPerSecond;
      await until(direction.freeMs);
    }
    while (faults.held) await delay(holdPollMs);
  };

  const pump = async (from: Socket, to: Socket, direction: Direction, dead: AbortSignal): Promise<void> => {
    let last = Promise.resolve();
    let flightBytes = 0;
    const deliver = async (chunk: Buffer, dueMs: number): Promise<void> => {
      await until(dueMs);
      for (let start = 0; start < chunk.byteLength; ) {
        const piece = chunk.subarray(start, start + pieceSize(faults.bytesPerSecond));
        await wait(direction, piece.byteLength);
        if (dead.aborted) return;
        start += piece.byteLength;
        bytes[direction.name] += piece.byteLength;
        flightBytes -= piece.byteLength;
        if (!to.write(piece)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
      }
    };
    for await (const chunk of from as AsyncIterable<Buffer>) {
      if (dead.aborted) continue;
      flightBytes += chunk.byteLength;
      const dueMs = performance.now() + (faults.latencyMs ?? 0);
      last = last.then(() => deliver(chunk, dueMs)).catch(() => void from.destroy());
      if (flightBytes > flightBytesMax) await last;
    }
    await last;
    if (!dead.aborted) to.end();
  };

  const join = (client: Socket): void => {
    const target = connectTarget();
    track(target);
    const dead = new AbortController();
    alive.add(dead);
    client.once('close', () => alive.delete(dead));
    const endBoth = (): void => {
      client.destroy();
      target.destroy();
    };
    for (const [from, to, direction] of [
      [client, target, directions.up],
      [target, client, directions.down],
    ] as const) {
      // A socket that breaks ends the reading of it with an error.
      pump(from, to, direction, dead.signal).catch(() => {
        if (!dead.signal.aborted) endBoth();
      });
    }
  };

  return {
    bytes,
    set: (changed) => {
      faults = changed;
      if (!faults.silent) return;
      for (const controller of alive) controller.abort();
      alive.clear();
    },
    accept: (client) => {
      track(client);
      if (faults.silent) client.resume();
      else join(client);
    },
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** A tenth of a second's worth, so that a slow line flows and does not jump. */
const pieceSize = (bytesPerSecond: number | undefined): number =>
  bytesPerSecond === undefined
    ? pieceBytesMax
    : Math.min(pieceBytesMax, Math.max(1, Math.ceil(bytesPerSecond / 10)));

const until = async (atMs: number): Promise<void> => {
  const leftMs = atMs - performance.now();
  if (leftMs > 0) await delay(leftMs);
};
