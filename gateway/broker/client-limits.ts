import type { Clock } from '../../lake/base/clock.ts';

/** After a quiet time so much of the rate is let through at once. */
const burstMs = 1000;

/** How long one more has to wait, in ms, so that there are no more than `perSecond` after a burst of a second's worth. */
export function createRate(clock: Clock, perSecond: number): () => number {
  let dueMs = 0;
  if (perSecond === 0) return () => 0;
  return () => {
    const nowMs = clock.monotonicMs();
    dueMs = Math.max(dueMs, nowMs - burstMs) + 1000 / perSecond;
    return Math.max(0, dueMs - nowMs);
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
