/** How fast something may come, on average. What comes is let in as long as there is no debt, and then makes one. */
export interface Rate {
  /** How long until something may come; 0: now. */
  waitMs(): number;
  take(amount: number): void;
}

/** What may come at once after a quiet time, in seconds' worth. */
const burstSeconds = 2;

/** `perSecondMax` is asked each time; 0 is no limit. */
export function createRate(perSecondMax: () => number, monotonicMs: () => number): Rate {
  /** What is left; below 0 is debt. */
  let level = Number.POSITIVE_INFINITY;
  let atMs = monotonicMs();
  const fill = (): number => {
    const perSecond = perSecondMax();
    const nowMs = monotonicMs();
    level = Math.min(level + ((nowMs - atMs) / 1000) * perSecond, burstSeconds * perSecond);
    atMs = nowMs;
    return perSecond;
  };
  return {
    waitMs: () => {
      const perSecond = fill();
      return perSecond === 0 || level > 0 ? 0 : Math.max(1, (-level / perSecond) * 1000);
    },
    take: (amount) => {
      if (fill() > 0) level -= amount;
    },
  };
}
