import type { Client } from 'aedes';
import type { Clock } from '../../lake/base/clock.ts';

/** After a quiet time so much of the rate is let through at once. */
const burstMs = 1000;

/** Holds a client's publishes back so that they are no more than `perSecond`, after a burst of a second's worth. */
export function createRateLimit(clock: Clock, perSecond: number) {
  const clients = new WeakMap<Client, { dueMs: number; last: Promise<void> | undefined }>();
  /** Runs `publish` at once, or later, in the order of calls. */
  return (client: Client | null, publish: () => void): void => {
    if (perSecond === 0 || client === null) {
      publish();
      return;
    }
    const state = clients.get(client) ?? { dueMs: 0, last: undefined };
    clients.set(client, state);
    const nowMs = clock.monotonicMs();
    const dueMs = Math.max(state.dueMs, nowMs - burstMs) + 1000 / perSecond;
    state.dueMs = dueMs;
    if (dueMs <= nowMs && state.last === undefined) {
      publish();
      return;
    }
    const mine = Promise.resolve(state.last)
      .then(() => (dueMs > clock.monotonicMs() ? clock.sleep(dueMs - clock.monotonicMs()) : undefined))
      .then(() => {
        if (state.last === mine) state.last = undefined;
        if (!client.closed) publish();
      });
    state.last = mine;
  };
}

/** Counts what each key has. */
export function createTally<Key>() {
  const counts = new Map<Key, number>();
  return {
    of: (key: Key): number => counts.get(key) ?? 0,
    add: (key: Key): void => void counts.set(key, (counts.get(key) ?? 0) + 1),
    remove: (key: Key): void => {
      const left = (counts.get(key) ?? 0) - 1;
      if (left > 0) counts.set(key, left);
      else counts.delete(key);
    },
  };
}
