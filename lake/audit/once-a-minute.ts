import type { Clock } from '../base/clock.ts';

/** The same refusal is written once in this time, however often it is asked for. */
const sameMs = 60_000;
const rememberedMax = 10_000;

/** Tells whether something is to be written: not when it was within a minute. */
export function onceAMinute(clock: Pick<Clock, 'monotonicMs'>): (key: string) => boolean {
  const noted = new Map<string, number>();
  return (key) => {
    const nowMs = clock.monotonicMs();
    if (nowMs - (noted.get(key) ?? Number.NEGATIVE_INFINITY) < sameMs) return false;
    if (noted.size >= rememberedMax) noted.clear();
    noted.set(key, nowMs);
    return true;
  };
}
