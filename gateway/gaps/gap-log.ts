import type { Clock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { createBell } from '../../lake/base/retry.ts';
import type { Gap } from '../../lake/model/gap.ts';
import { mergeGaps } from './merge-gaps.ts';

export interface GapLogOptions {
  /** Resolves when the gaps are rows on disk: all of them or none. */
  readonly write: (gaps: readonly Gap[]) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly flushIntervalMs?: number;
  readonly mergeWindowMs?: number;
  /** Gaps that wait to be written; beyond it they become coarser, none is forgotten. */
  readonly gapsMax?: number;
}

const gapLogDefaults = { flushIntervalMs: 5000, mergeWindowMs: 60_000, gapsMax: 1000 } as const;

/**
 * Collects what is known to be missing and writes it as rows of the table `gaps` every few seconds. For losses that no
 * transaction of the log records (a dropped QoS 0 message): what was not written yet is lost with the process, as the
 * messages were. Steps that take stored rows away write their gaps in the same transaction instead.
 */
export interface GapLog extends AsyncDisposable {
  /** `reason` is one of few words, such as `disk-budget`; what differs from case to case goes into `detail`. */
  record(gap: Gap): void;
  /** Writes what waits. Never rejects: what could not be written waits on. */
  flush(): Promise<void>;
  readonly status: { readonly waiting: number; readonly recorded: number };
}

export function startGapLog(options: GapLogOptions): GapLog {
  const { write, clock, logger, flushIntervalMs, mergeWindowMs, gapsMax } = { ...gapLogDefaults, ...options };
  const limits = { mergeWindowUs: mergeWindowMs * 1000, gapsMax };
  const status = { waiting: 0, recorded: 0 };
  const logged = new Set<string>();
  let waiting: Gap[] = [];
  let failing = false;
  let last: Promise<void> = Promise.resolve();

  /** Not at each record: there may be thousands a second. */
  const merge = (): void => {
    waiting = mergeGaps(waiting, limits);
    status.waiting = waiting.length;
  };
  const writeWaiting = async (): Promise<void> => {
    merge();
    const taken = waiting;
    if (taken.length === 0) return;
    waiting = [];
    try {
      await write(taken);
      failing = false;
    } catch (error) {
      if (!failing) logger.warn('gaps cannot be stored yet', { gaps: taken.length, error: messageOf(error) });
      failing = true;
      waiting.push(...taken);
    }
    merge();
  };
  const flush = (): Promise<void> => {
    last = last.then(writeWaiting);
    return last;
  };
  const stop = new AbortController();
  const bell = createBell(clock);
  const loop = (async () => {
    while (!stop.signal.aborted) {
      await bell.wait(stop.signal, flushIntervalMs);
      await flush();
    }
  })();
  return {
    status,
    flush,
    record: (gap) => {
      status.recorded++;
      waiting.push(gap);
      status.waiting = waiting.length;
      if (waiting.length > 2 * gapsMax) merge();
      const { signal, kind, reason, detail, rows } = gap;
      const key = `${kind} ${reason}`;
      if (logged.has(key) || logged.size >= reasonsLoggedMax) return;
      logged.add(key);
      logger.warn('data is missing; see the table gaps', {
        ...{ signal, class: gap.class, kind, reason, rows },
        detail: detail ?? undefined,
      });
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await loop;
      await flush();
      if (waiting.length > 0) logger.error('gaps could not be stored', { gaps: waiting.length });
    },
  };
}

const reasonsLoggedMax = 100;
