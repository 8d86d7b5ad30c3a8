import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { executionError, PromqlError } from './errors.ts';
import type { QueryLimits } from './limits.ts';

/** What one evaluation has used of its limits, and its turns at the event loop. */
export interface Budget {
  /** Samples held now: those read by scans and those of values that are still needed. */
  used: number;
  /** The most that it has been. */
  peak: number;
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
    ...{ used: 0, peak: 0 },
    charge: (samples) => {
      budget.used += samples;
      if (budget.used > budget.peak) budget.peak = budget.used;
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

const tooManyText = 'query processing would load too many samples into memory in query execution';

export function tooManySamples(): PromqlError {
  return executionError(tooManyText);
}

/** Adds to Prometheus' own text, which clients may match, which limit was met and how to stay within it. */
export function withLimit(error: unknown, { samplesMax, timeoutMs }: QueryLimits): unknown {
  if (!(error instanceof PromqlError)) return error;
  const { errorType, message } = error;
  const limit =
    errorType === 'timeout'
      ? `timeoutMs = ${timeoutMs}`
      : message === tooManyText
        ? `samplesMax = ${samplesMax}`
        : undefined;
  if (limit === undefined) return error;
  const less = 'select fewer series, a shorter range or a longer step';
  return new PromqlError(errorType, `${message} (${limit}); ${less}`, error);
}

/** Why a query's signal is aborted: its timeout was met. */
export const timeoutReason = Symbol('query timeout');

export function throwIfStopped(signal: AbortSignal): void {
  if (!signal.aborted) return;
  if (signal.reason === timeoutReason)
    throw new PromqlError('timeout', 'query timed out in expression evaluation');
  throw new PromqlError('canceled', 'query was canceled in expression evaluation', signal.reason);
}
