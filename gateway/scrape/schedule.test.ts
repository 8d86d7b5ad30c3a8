import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nextScrapeMs, phaseOf, scrapeTimestampMs } from './schedule.ts';

const interval = fc.integer({ min: 100, max: 3_600_000 });

test('the next scrape is within one interval, on the grid, and after the last one', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 41), interval, fc.string(), (nowMs, intervalMs, key) => {
      const phaseMs = phaseOf(key, intervalMs);
      const first = nextScrapeMs(nowMs, undefined, intervalMs, phaseMs);
      expect(first - nowMs).toBeGreaterThan(0);
      expect(first - nowMs).toBeLessThanOrEqual(intervalMs);
      expect((first - phaseMs) % intervalMs).toBe(0);
      // A timer that fires a little early does not make two scrapes of one.
      expect(nextScrapeMs(first - 1, first, intervalMs, phaseMs)).toBe(first + intervalMs);
      expect(nextScrapeMs(first + 1, first, intervalMs, phaseMs)).toBe(first + intervalMs);
      // A scrape that took long skips what it missed.
      expect(nextScrapeMs(first + 2.5 * intervalMs, first, intervalMs, phaseMs)).toBe(first + 3 * intervalMs);
      // A clock that was set back does not stop scraping.
      expect(nextScrapeMs(first - 10 * intervalMs, first, intervalMs, phaseMs)).toBeLessThanOrEqual(
        first - 9 * intervalMs,
      );
    }),
  );
});

test('targets are spread over the interval', () => {
  const tenths = new Set(
    Array.from({ length: 200 }, (_, index) => Math.floor(phaseOf(`target ${index}`, 10_000) / 1000)),
  );
  expect(tenths.size).toBe(10);
});

test.each([
  [1000, 1003, 15_000, 1000],
  [1000, 1011, 15_000, 1011],
  [1000, 1003, 200, 1003],
  [1000, 999, 15_000, 1000],
])('due at %i, begun at %i, every %i ms: %i', (scheduled, now, intervalMs, expected) => {
  expect(scrapeTimestampMs(scheduled, now, intervalMs)).toBe(expected);
});
