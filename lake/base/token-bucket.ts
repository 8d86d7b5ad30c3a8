import assert from 'node:assert';
import type { Clock } from './clock.ts';
import { createBell } from './retry.ts';

export interface BucketLimits {
  /** Absent: as fast as it goes. */
  readonly bytesPerSecond?: number;
  /** What may go out at once after a quiet time. Default: a second's worth. */
  readonly burstBytes?: number;
  /** Per UTC day. Absent: no limit. */
  readonly bytesPerDay?: number;
}

/** What was taken on a day of UTC (`2026-11-25`); kept over a restart, it keeps the day's limit. */
export interface DaySpent {
  readonly day: string;
  readonly bytes: number;
}

interface TakeOptions {
  /** 0 (the default) goes first, 1 after it, and so on. */
  readonly rank?: number;
  /** What is taken from the day's budget; default: the bytes. */
  readonly dayBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Shares out a budget of bytes. At any time no more than bytesPerSecond * time + burstBytes have been given. Of the
 * waiting ones the lowest rank goes first, but the ones behind it still get `lowShare` of the bytes, whoever of them came
 * first; so nobody starves.
 *
 * The day's budget is never exceeded, except by one take that is larger than all of it: that one gets a fresh day. The day
 * is the wall clock's; should that jump, by whatever and in whichever direction, a new day begins.
 */
export interface TokenBucket {
  /** Resolves once so many bytes may go out. Rejects with the signal's reason. */
  take(bytes: number, options?: TakeOptions): Promise<void>;
  /** For `WriteOptions.pace`: a body is taken from the day's budget as a whole, before its first byte. */
  pace(
    rank: number,
  ): (bytes: number, signal: AbortSignal | undefined, request: BodyProgress) => Promise<void>;
  /** Other limits from now on, also for those who wait. */
  setLimits(limits: BucketLimits): void;
  readonly spent: DaySpent;
}

interface BodyProgress {
  readonly sentBytes: number;
  readonly totalBytes: number;
}

/** The longest sleep: the wall clock may jump meanwhile, and a rate may be next to nothing. */
const lookMs = 60_000;
const dayMs = 24 * 3600 * 1000;
const never = new AbortController().signal;

interface Waiter {
  readonly rank: number;
  readonly bytes: number;
  readonly dayBytes: number;
  readonly go: () => void;
}

export function createTokenBucket(
  clock: Clock,
  limits: BucketLimits,
  { lowShare = 0.2, spent }: { readonly lowShare?: number; readonly spent?: DaySpent } = {},
): TokenBucket {
  assert(lowShare >= 0 && lowShare < 1, 'lowShare is a share, and not all');
  const level = createLevel(clock, limits);
  const day = createDay(clock, limits.bytesPerDay, spent);
  const bell = createBell(clock);
  const queue = createQueue(lowShare, day.fits);
  let running = false;

  const run = async (): Promise<void> => {
    if (running) return;
    running = true;
    while (queue.size() > 0) {
      const next = queue.next();
      const waitMs = next === undefined ? day.lookAgainMs() : level.waitMs(next.bytes);
      if (next === undefined || waitMs > 0) {
        await bell.wait(never, waitMs);
        continue;
      }
      queue.serve(next);
      level.take(next.bytes);
      day.take(next.dayBytes);
      next.go();
    }
    running = false;
  };

  const takePiece = async (piece: Omit<Waiter, 'go'>, signal: AbortSignal | undefined): Promise<void> => {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { ...piece, go: resolve };
    const giveUp = (): void => {
      queue.leave(waiter);
      bell.ring();
      reject(signal?.reason);
    };
    queue.join(waiter);
    signal?.addEventListener('abort', giveUp, { once: true });
    bell.ring();
    void run();
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  };

  const take: TokenBucket['take'] = async (bytes, { rank = 0, dayBytes = bytes, signal } = {}) => {
    // No more than a burst is ever there at once.
    for (let left = bytes; left > 0; ) {
      const piece = Math.min(left, level.burstBytes());
      await takePiece({ rank, bytes: piece, dayBytes: left === bytes ? dayBytes : 0 }, signal);
      left -= piece;
    }
  };

  return {
    take,
    pace: (rank) => (bytes, signal, request) =>
      take(bytes, { rank, signal, dayBytes: request.sentBytes === 0 ? request.totalBytes : 0 }),
    setLimits: (changed) => {
      level.setLimits(changed);
      day.setLimit(changed.bytesPerDay);
      bell.ring();
    },
    get spent() {
      return day.spent();
    },
  };
}

/** Who waits, and who of them goes next. `fits`: whether the day's budget lets somebody. */
function createQueue(lowShare: number, fits: (dayBytes: number) => boolean) {
  /** In the order in which they came. */
  const waiters: Waiter[] = [];
  /** Bytes that those behind the first rank have coming. */
  let owed = 0;
  const leave = (waiter: Waiter): void => {
    const index = waiters.indexOf(waiter);
    if (index >= 0) waiters.splice(index, 1);
  };
  return {
    size: () => waiters.length,
    join: (waiter: Waiter): void => void waiters.push(waiter),
    leave,
    next: (): Waiter | undefined => {
      const fitting = waiters.filter(({ dayBytes }) => fits(dayBytes));
      const behind = firstBehind(fitting, lowestRank(waiters)?.rank ?? 0);
      return behind !== undefined && owed >= behind.bytes ? behind : lowestRank(fitting);
    },
    serve: (waiter: Waiter): void => {
      const firstRank = lowestRank(waiters)?.rank ?? 0;
      const behind = firstBehind(waiters, firstRank);
      if (waiter.rank > firstRank) owed = Math.max(0, owed - waiter.bytes);
      else if (behind === undefined) owed = 0;
      else owed = Math.min(behind.bytes, owed + (waiter.bytes * lowShare) / (1 - lowShare));
      leave(waiter);
    },
  };
}

const lowestRank = (waiters: readonly Waiter[]): Waiter | undefined =>
  waiters.reduce<Waiter | undefined>(
    (best, waiter) => (best === undefined || waiter.rank < best.rank ? waiter : best),
    undefined,
  );

const firstBehind = (waiters: readonly Waiter[], rank: number): Waiter | undefined =>
  waiters.find((waiter) => waiter.rank > rank);

/** The bucket itself: what has come in since, up to a burst. */
function createLevel(clock: Clock, limits: BucketLimits) {
  let bytesPerSecond = Number.POSITIVE_INFINITY;
  let burstBytes = Number.POSITIVE_INFINITY;
  let levelBytes = 0;
  let atMs = clock.monotonicMs();
  const fill = (): void => {
    const nowMs = clock.monotonicMs();
    if (bytesPerSecond !== Number.POSITIVE_INFINITY)
      levelBytes = Math.min(burstBytes, levelBytes + ((nowMs - atMs) * bytesPerSecond) / 1000);
    atMs = nowMs;
  };
  const setLimits = (changed: BucketLimits): void => {
    fill();
    bytesPerSecond = changed.bytesPerSecond ?? Number.POSITIVE_INFINITY;
    burstBytes = Math.max(1, changed.burstBytes ?? bytesPerSecond);
    if (bytesPerSecond === Number.POSITIVE_INFINITY) levelBytes = burstBytes = Number.POSITIVE_INFINITY;
    levelBytes = Math.min(levelBytes, burstBytes);
  };
  setLimits(limits);
  levelBytes = burstBytes;
  return {
    setLimits,
    burstBytes: () => burstBytes,
    waitMs: (bytes: number): number => {
      fill();
      // Smaller limits may have come since this was asked for.
      const missing = Math.min(bytes, burstBytes) - levelBytes;
      return missing <= 0 ? 0 : Math.min(lookMs, Math.ceil((missing * 1000) / bytesPerSecond));
    },
    take: (bytes: number): void => {
      if (levelBytes !== Number.POSITIVE_INFINITY) levelBytes -= bytes;
    },
  };
}

function createDay(clock: Clock, limit: number | undefined, before: DaySpent | undefined) {
  let limitBytes = limit ?? Number.POSITIVE_INFINITY;
  let spent: DaySpent = before ?? { day: '', bytes: 0 };
  const look = (): DaySpent => {
    const day = new Date(clock.nowMs()).toISOString().slice(0, 10);
    if (day !== spent.day) spent = { day, bytes: 0 };
    return spent;
  };
  return {
    spent: look,
    setLimit: (changed: number | undefined): void => {
      limitBytes = changed ?? Number.POSITIVE_INFINITY;
    },
    fits: (bytes: number): boolean => bytes === 0 || look().bytes + bytes <= limitBytes || look().bytes === 0,
    take: (bytes: number): void => {
      spent = { day: look().day, bytes: look().bytes + bytes };
    },
    /** Until midnight, or until the clock should be looked at again. */
    lookAgainMs: (): number => Math.min(lookMs, dayMs - (clock.nowMs() % dayMs)),
  };
}
