import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { LogqlError, limitError } from './errors.ts';
import type { LogqlLimits } from './limits.ts';

/** What one query has used of its limits, and its turns at the event loop. */
export interface Budget {
  readonly signal: AbortSignal;
  /** Counts samples that are about to be held. */
  chargeSamples(count: number): void;
  /** Ends the query when so many series are too many. */
  checkSeries(count: number): void;
  /** Lets others run when they have waited long enough; ask after every batch. */
  breathe(): Promise<void>;
}

/** How long evaluation holds the event loop at a time. */
const turnMs = 15;

export function createBudget(limits: LogqlLimits, clock: Clock, signal: AbortSignal): Budget {
  let samples = 0;
  let turnStartMs = clock.monotonicMs();
  return {
    signal,
    chargeSamples: (count) => {
      samples += count;
      if (samples > limits.samplesMax)
        throw limitError(
          'samplesMax',
          `the query would hold more than ${limits.samplesMax} samples (samplesMax): narrow it by labels or time, or aggregate`,
        );
    },
    checkSeries: (count) => {
      if (count > limits.seriesMax)
        throw limitError(
          'seriesMax',
          `maximum of series (${limits.seriesMax}) reached for a single query (seriesMax)`,
        );
    },
    breathe: async () => {
      if (clock.monotonicMs() - turnStartMs < turnMs) return;
      await setImmediate();
      throwIfStopped(signal, limits);
      turnStartMs = clock.monotonicMs();
    },
  };
}

/** Why a query's signal is aborted: its timeout was met. */
export const timeoutReason = Symbol('query timeout');

export function throwIfStopped(signal: AbortSignal, { timeoutMs }: LogqlLimits): void {
  if (!signal.aborted) return;
  if (signal.reason === timeoutReason)
    throw new LogqlError(
      'timeout',
      `request timed out after ${timeoutMs} ms (timeoutMs): narrow the query`,
      'timeoutMs',
    );
  throw new LogqlError('canceled', 'the request was cancelled by the client');
}
