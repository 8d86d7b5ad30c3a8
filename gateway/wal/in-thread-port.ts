import type { ReachFaultPoint } from '../../lake/base/fault-points.ts';
import type { WalReply, WorkerOptions } from './wal-messages.ts';
import { openWalServer } from './wal-server.ts';
import type { WalPort } from './writer.ts';

/**
 * The owner of wal.db in the caller's own thread: for simulations, where every step is taken in one order. Each request
 * is done, and each append committed, before `postMessage` returns; replies come in a later microtask. What a fault
 * point throws goes to the caller of `postMessage`, and nothing is answered any more.
 */
export function inThreadPort(options: WorkerOptions, reach: ReachFaultPoint): WalPort {
  const listeners = new Set<(reply: WalReply) => void>();
  let dead = false;
  const post = (reply: WalReply): void =>
    queueMicrotask(() => {
      if (!dead) for (const listener of listeners) listener(reply);
    });
  const guarded: ReachFaultPoint = (point) => {
    try {
      reach(point);
    } catch (error) {
      dead = true;
      throw error;
    }
  };
  const server = openWalServer({ ...options, commitIntervalMs: 0 }, post, guarded);
  return {
    postMessage: (request) => {
      if (dead) return;
      server?.handle(request);
      server?.commitGroup();
    },
    on: (event: string, listener: (argument: never) => void) => {
      if (event === 'message') listeners.add(listener as (reply: WalReply) => void);
    },
    terminate: async () => {
      if (dead) server?.handle({ kind: 'close', id: 0 });
    },
  };
}
