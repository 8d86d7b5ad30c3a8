import { FirnError } from '../base/errors.ts';
import { createIdSet } from '../base/id-set.ts';

/**
 * The cardinality guard: how many series a gateway takes at all, and how many new ones a minute. A series is active from
 * its first sample until it had none for one to two turns. New ones beyond a limit are refused, the others go on.
 */
export interface SeriesGuard {
  /** Changes when a turn begins. A series that was admitted in this turn need not be asked for again. */
  readonly turn: number;
  /** Takes a series, by the halves of its id. Throws FirnError `limit` when it is not active and there is no room. */
  admit(idLow: number, idHigh: number): void;
  /** Also begins a turn when it is time; so ask now and then. */
  counts(): SeriesCounts;
}

interface SeriesCounts {
  readonly active: number;
  /** Series that became active, and refusals, since the start. */
  readonly admitted: number;
  readonly refused: number;
}

export interface SeriesGuardLimits {
  /** 0: no limit. */
  readonly activeSeriesMax: number;
  /** 0: no limit. */
  readonly newSeriesPerMinuteMax: number;
}

const turnMs = 30 * 60_000;

export function createSeriesGuard(limits: SeriesGuardLimits, monotonicMs: () => number): SeriesGuard {
  let current = createIdSet();
  let previous = createIdSet();
  /** In `current` but not in `previous`. */
  let fresh = 0;
  let turn = 1;
  let turnEndsMs = monotonicMs() + turnMs;
  let minute = -1;
  let newThisMinute = 0;
  let admitted = 0;
  let refused = 0;

  const beginTurn = (nowMs: number): void => {
    if (nowMs < turnEndsMs) return;
    // After a long sleep both are old.
    previous = nowMs < turnEndsMs + turnMs ? current : createIdSet();
    current = createIdSet();
    fresh = 0;
    turn++;
    turnEndsMs = nowMs + turnMs;
  };
  const takeNew = (nowMs: number): void => {
    const thisMinute = Math.floor(nowMs / 60_000);
    if (thisMinute !== minute) newThisMinute = 0;
    minute = thisMinute;
    const { activeSeriesMax, newSeriesPerMinuteMax } = limits;
    const full =
      activeSeriesMax > 0 && previous.size + fresh >= activeSeriesMax
        ? ('activeSeriesMax' as const)
        : newSeriesPerMinuteMax > 0 && newThisMinute >= newSeriesPerMinuteMax
          ? ('newSeriesPerMinuteMax' as const)
          : undefined;
    if (full !== undefined) {
      refused++;
      throw noRoom(full, limits[full]);
    }
    newThisMinute++;
    admitted++;
  };

  return {
    get turn() {
      return turn;
    },
    admit: (idLow, idHigh) => {
      const nowMs = monotonicMs();
      beginTurn(nowMs);
      if (current.has(idLow, idHigh)) return;
      const known = previous.has(idLow, idHigh);
      if (!known) {
        takeNew(nowMs);
        fresh++;
      }
      current.add(idLow, idHigh);
    },
    counts: () => {
      beginTurn(monotonicMs());
      return { active: previous.size + fresh, admitted, refused };
    },
  };
}

/** Takes everything. */
export const noGuard: SeriesGuard = {
  turn: 0,
  admit: () => undefined,
  counts: () => ({ active: 0, admitted: 0, refused: 0 }),
};

/** Whether an error says that a series is one too many, rather than that it is wrong. */
export const isSeriesRefusal = (error: unknown): error is FirnError =>
  error instanceof FirnError && error.code === 'limit' && error.operation === guardOperation;

const guardOperation = 'admit series';

function noRoom(subject: keyof SeriesGuardLimits, max: number): FirnError {
  const what =
    subject === 'activeSeriesMax'
      ? `the gateway has ${max} active series already`
      : `the gateway took ${max} new series this minute already`;
  return new FirnError({
    code: 'limit',
    operation: guardOperation,
    subject,
    message: `${what} (limits.${subject}); new ones are refused, the others go on`,
    hint: `send fewer series, or raise limits.${subject}`,
  });
}
