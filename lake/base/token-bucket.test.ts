import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Clock } from './clock.ts';
import { createTokenBucket } from './token-bucket.ts';

/** A clock that jumps to the next sleeper whenever nothing else is left to do. */
function virtualClock(startMs = Date.UTC(2026, 10, 25, 12)) {
  let nowMs = 0;
  let offsetMs = startMs;
  const sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>();
  const clock: Clock = {
    nowMs: () => offsetMs + nowMs,
    monotonicMs: () => nowMs,
    sleep: (ms, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const sleeper = { atMs: nowMs + ms, wake: resolve };
      sleepers.add(sleeper);
      signal?.addEventListener('abort', () => {
        sleepers.delete(sleeper);
        reject(signal.reason);
      });
      return promise;
    },
  };
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    clock,
    settle,
    setWallClock: (ms: number) => {
      offsetMs = ms - nowMs;
    },
    /** Lets time pass until `done`, or so long. */
    run: async (untilMs: number, done: () => boolean = () => false) => {
      for (;;) {
        await settle();
        const next = [...sleepers].sort((a, b) => a.atMs - b.atMs)[0];
        if (done() || next === undefined || next.atMs > untilMs) break;
        sleepers.delete(next);
        nowMs = Math.max(nowMs, next.atMs);
        next.wake();
      }
      if (!done()) nowMs = Math.max(nowMs, untilMs);
    },
  };
}

const takes = fc.array(
  fc.record({
    atMs: fc.integer({ min: 0, max: 20_000 }),
    bytes: fc.integer({ min: 1, max: 30_000 }),
    rank: fc.integer({ min: 0, max: 3 }),
  }),
  { minLength: 1, maxLength: 40 },
);

test('never more than rate * time + burst, and all are served in the end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 100, max: 50_000 }),
      fc.integer({ min: 500, max: 20_000 }),
      takes,
      async (bytesPerSecond, burstBytes, wanted) => {
        const { clock, run } = virtualClock();
        const bucket = createTokenBucket(clock, { bytesPerSecond, burstBytes });
        let given = 0;
        let served = 0;
        const tooMuch: number[] = [];
        for (const { atMs, bytes, rank } of wanted) {
          void (atMs === 0 ? Promise.resolve() : clock.sleep(atMs))
            .then(() => bucket.take(bytes, { rank }))
            .then(() => {
              given += bytes;
              served++;
              const over = given - (clock.monotonicMs() * bytesPerSecond) / 1000 - burstBytes;
              if (over > 1e-6) tooMuch.push(over);
            });
        }
        await run(Number.MAX_SAFE_INTEGER, () => served === wanted.length);
        expect(tooMuch).toEqual([]);
        expect(served).toBe(wanted.length);
        // Nor is the line left idle: it is as quick as the rate lets it be, give or take the sleeps' milliseconds.
        const bytes = wanted.reduce((sum, take) => sum + take.bytes, 0);
        const pieces = wanted.reduce((sum, take) => sum + Math.ceil(take.bytes / burstBytes), 0);
        expect(clock.monotonicMs()).toBeLessThanOrEqual(
          20_000 + (bytes * 1000) / bytesPerSecond + pieces + 1,
        );
      },
    ),
    { numRuns: 100 },
  );
});

/** Whoever is served asks again at once; returns the bytes each rank got in 100 s. */
async function contend(ranks: readonly number[], lowShare?: number): Promise<Record<number, number>> {
  const { clock, run } = virtualClock();
  const options = lowShare === undefined ? {} : { lowShare };
  const bucket = createTokenBucket(clock, { bytesPerSecond: 10_000, burstBytes: 1000 }, options);
  const got: Record<number, number> = {};
  const stop = new AbortController();
  for (const rank of ranks)
    void (async () => {
      for (;;) {
        await bucket.take(500, { rank, signal: stop.signal });
        got[rank] = (got[rank] ?? 0) + 500;
      }
    })().catch(() => undefined);
  await run(100_000);
  stop.abort();
  return got;
}

test('the first rank goes first, and those behind it get their share', async () => {
  const two = await contend([0, 2]);
  expect((two[2] ?? 0) / ((two[0] ?? 0) + (two[2] ?? 0))).toBeCloseTo(0.2, 2);
  const half = await contend([0, 1], 0.5);
  expect((half[1] ?? 0) / ((half[0] ?? 0) + (half[1] ?? 0))).toBeCloseTo(0.5, 2);
  const three = await contend([0, 1, 2]);
  const total = (three[0] ?? 0) + (three[1] ?? 0) + (three[2] ?? 0);
  expect([0, 1, 2].map((rank) => Math.round((10 * (three[rank] ?? 0)) / total))).toEqual([8, 1, 1]);
  expect(total).toBeGreaterThan(990_000);
});

test('who comes later with a better rank is served before who waits', async () => {
  const { clock, run, settle } = virtualClock();
  const bucket = createTokenBucket(clock, { bytesPerSecond: 1000, burstBytes: 1000 });
  const order: string[] = [];
  for (const name of ['full', 'low', 'lower'])
    void bucket.take(1000, { rank: name === 'full' ? 0 : 2 }).then(() => order.push(name));
  await settle();
  void bucket.take(1000, { rank: 0 }).then(() => order.push('late'));
  await run(10_000);
  expect(order).toEqual(['full', 'late', 'low', 'lower']);
});

test('a wait can be aborted, and takes nothing', async () => {
  const { clock, run } = virtualClock();
  const bucket = createTokenBucket(clock, { bytesPerSecond: 1000 });
  await bucket.take(1000);
  const stop = new AbortController();
  const aborted = bucket.take(1000, { signal: stop.signal });
  let second = false;
  void bucket.take(1000).then(() => {
    second = true;
  });
  stop.abort(new Error('enough'));
  await expect(aborted).rejects.toThrow('enough');
  await expect(bucket.take(1, { signal: stop.signal })).rejects.toThrow('enough');
  await run(1000);
  expect(second).toBe(true);
});

test('a day of UTC has its budget; what is larger than all of it gets a fresh day', async () => {
  const { clock, run } = virtualClock(Date.UTC(2026, 10, 25, 23));
  const limits = { bytesPerDay: 1000 };
  const bucket = createTokenBucket(clock, limits, { spent: { day: '2026-11-25', bytes: 300 } });
  const days: string[] = [];
  const take = (name: string, bytes: number) =>
    void bucket.take(bytes).then(() => days.push(`${name} ${new Date(clock.nowMs()).toISOString()}`));
  for (const [name, bytes] of [
    ['a', 600],
    ['b', 200],
    ['huge', 5000],
    ['c', 100],
  ] as const)
    take(name, bytes);
  await run(3 * 24 * 3600 * 1000);
  expect(days).toEqual([
    'a 2026-11-25T23:00:00.000Z',
    'c 2026-11-25T23:00:00.000Z',
    'b 2026-11-26T00:00:00.000Z',
    'huge 2026-11-27T00:00:00.000Z',
  ]);
  expect(bucket.spent).toEqual({ day: '2026-11-28', bytes: 0 });
});

test('a body is taken from the day as a whole, before its first byte', async () => {
  const { clock, run } = virtualClock();
  const bucket = createTokenBucket(clock, { bytesPerDay: 1000 });
  const pace = bucket.pace(0);
  await pace(10, undefined, { sentBytes: 0, totalBytes: 900 });
  expect(bucket.spent.bytes).toBe(900);
  await pace(10, undefined, { sentBytes: 10, totalBytes: 900 });
  expect(bucket.spent.bytes).toBe(900);
  let second = '';
  void pace(10, undefined, { sentBytes: 0, totalBytes: 200 }).then(() => {
    second = bucket.spent.day;
  });
  await run(24 * 3600 * 1000);
  expect(second).toBe('2026-11-26');
});

test('a wall clock that jumps begins a new day, and holds nobody up', async () => {
  const { clock, run, setWallClock } = virtualClock();
  const bucket = createTokenBucket(clock, { bytesPerDay: 1000 });
  for (const year of [2036, 2026, 1970]) {
    await bucket.take(1000);
    let done = false;
    void bucket.take(500).then(() => {
      done = true;
    });
    await run(clock.monotonicMs() + 1000);
    expect(done).toBe(false);
    setWallClock(Date.UTC(year, 5, 1));
    await run(clock.monotonicMs() + 60_000);
    expect(done).toBe(true);
    expect(bucket.spent).toEqual({ day: `${year}-06-01`, bytes: 500 });
    await bucket.take(500);
    setWallClock(Date.UTC(year, 8, 1));
  }
});

test('other limits hold at once, also for those who wait', async () => {
  const { clock, run, settle } = virtualClock();
  const bucket = createTokenBucket(clock, { bytesPerSecond: 1, burstBytes: 1 });
  let done = 0;
  const take = (bytes: number) => void bucket.take(bytes).then(() => done++);
  take(1_000_000);
  await settle();
  bucket.setLimits({});
  await settle();
  await run(0);
  expect(done).toBe(1);
  bucket.setLimits({ bytesPerSecond: 1000, burstBytes: 1000 });
  take(3000);
  await run(clock.monotonicMs() + 1999);
  expect(done).toBe(1);
  await run(clock.monotonicMs() + 1);
  expect(done).toBe(2);
});
