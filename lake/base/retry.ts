import type { Clock } from './clock.ts';

/** Lets one loop sleep until something happens. A ring while it does not wait ends its next wait at once. */
export interface Bell {
  ring(): void;
  /** Resolves at a ring, after `ms` (absent: never), or when aborted; the caller looks which. */
  wait(signal: AbortSignal, ms?: number): Promise<void>;
}

export function createBell(clock: Clock): Bell {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring: () => {
      rung = true;
      wake?.();
    },
    wait: async (signal, ms) => {
      if (!rung && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const stop = new AbortController();
        wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true, signal: stop.signal });
        if (ms !== undefined) clock.sleep(ms, stop.signal).then(resolve, resolve);
        await promise;
        wake = undefined;
        stop.abort();
      }
      rung = false;
    },
  };
}

export interface Backoff {
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

/**
 * How long to wait after so many failures in a row (1 for the first): doubles from retryMinMs to retryMaxMs, less up to
 * half at random, so that many gateways don't come back at the same moment. `random`: 0 up to 1.
 */
export function backoffMs(failures: number, { retryMinMs, retryMaxMs }: Backoff, random: number): number {
  const full = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(failures - 1, 30));
  return full * (1 - random / 2);
}
