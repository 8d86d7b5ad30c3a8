import type { Clock } from '../../lake/base/clock.ts';
import { createTokenBucket, type DaySpent } from '../../lake/base/token-bucket.ts';
import type { Pace } from '../../lake/object-store/object-store.ts';
import { createGate, type Lane, lanes } from './lanes.ts';

/** The way to the object store: what it may carry, and when. */
export interface Link {
  /** It is paid by the byte or the request: few and large uploads. */
  readonly metered: boolean;
  /** Whether something of this lane may be begun now. */
  isOpen(lane: Lane): boolean;
  /** Everything that may be sent now is sent. */
  settled(): void;
  /** Paces the bodies of one lane. */
  pace(lane: Lane): Pace;
  /** What the day's budget has given. */
  readonly spent: DaySpent;
}

export interface LinkSettings {
  /** Cron expressions (UTC): alarms apart, it is only sent in minutes that match one. None: always. */
  readonly windows: readonly string[];
  /** 0: no limit. */
  readonly bytesPerSecondMax: number;
  readonly bytesPerDayMax: number;
  readonly metered: boolean;
  readonly meteredIntervalMs: number;
}

/** `spent`: what the day's budget had given before a restart. */
export function createLink(settings: LinkSettings, clock: Clock, spent: DaySpent | undefined): Link {
  const { windows, bytesPerSecondMax, bytesPerDayMax, metered, meteredIntervalMs } = settings;
  const gate = createGate(windows);
  const bucket = createTokenBucket(
    clock,
    {
      ...(bytesPerSecondMax > 0 && { bytesPerSecond: bytesPerSecondMax }),
      ...(bytesPerDayMax > 0 && { bytesPerDay: bytesPerDayMax }),
    },
    spent === undefined ? {} : { spent },
  );
  const rounds = createRounds(clock, metered ? meteredIntervalMs : 0);
  return {
    metered,
    isOpen: (lane) => lane === 'alarms' || (gate.isOpen(clock.nowMs()) && rounds.isOpen()),
    settled: rounds.end,
    pace: (lane) => {
      if (lane !== 'alarms') return bucket.pace(lanes.indexOf(lane));
      // Of the day's budget alarms take nothing: they go also when it is spent.
      return (bytes, signal) => bucket.take(bytes, { rank: 0, dayBytes: 0, signal });
    },
    get spent() {
      return bucket.spent;
    },
  };
}

/** A metered link is used in rounds: what waits when one begins is sent, and then nothing until the next. */
function createRounds(clock: Clock, intervalMs: number) {
  let nextMs = clock.monotonicMs() + intervalMs;
  return {
    isOpen: (): boolean => clock.monotonicMs() >= nextMs,
    end: (): void => {
      if (clock.monotonicMs() >= nextMs) nextMs = clock.monotonicMs() + intervalMs;
    },
  };
}
