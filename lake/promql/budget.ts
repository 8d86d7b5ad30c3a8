import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { executionError, PromqlError } from './errors.ts';

/** What one evaluation has used of its limits, and its turns at the event loop. */
export interface Budget {
  /** Samples held now: those read by scans and those of values that are still needed. */
  used: number;
  /** Counts samples that are about to be held; throws PromqlError `execution` when they are too many. */
  charge(samples: number): void;
  /** True when others have waited long enough for the event loop; ask in every long loop, then `await pause()`. */
  due(): boolean;
  /** Lets others run; throws when the query was canceled or timed out meanwhile. */
  pause(): Promise<void>;
}

/** How long evaluation holds the event loop at a time. */
const turnMs = 15;

export function createBudget(samplesMax: number, clock: Clock, signal: AbortSignal): Budget {
  let turnStartMs = clock.monotonicMs();
  const budget: Budget = {
    used: 0,
    charge: (samples) => {
      budget.used += samples;
      if (budget.used > samplesMax) throw tooManySamples();
    },
    due: () => clock.monotonicMs() - turnStartMs > turnMs,
    pause: async () => {
      await setImmediate();
      throwIfStopped(signal);
      turnStartMs = clock.monotonicMs();
    },
  };
  return budget;
}

export function tooManySamples(): PromqlError {
  return executionError('query processing would load too many samples into memory in query execution');
}

/** Why a query's signal is aborted: its timeout was met. */
export const timeoutReason = Symbol('query timeout');

export function throwIfStopped(signal: AbortSignal): void {
  if (!signal.aborted) return;
  if (signal.reason === timeoutReason)
    throw new PromqlError('timeout', 'query timed out in expression evaluation');
  throw new PromqlError('canceled', 'query was canceled in expression evaluation', signal.reason);
}
