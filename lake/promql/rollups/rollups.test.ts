import fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { canonicalLabels } from '../../model/labels.ts';
import { defaultLookbackMs, defaultQueryLimits } from '../limits.ts';
import { memorySource } from '../memory-source.ts';
import { parseQuery, type QueryResult, rangeQuery } from '../query.ts';
import { bitsOf, type SeriesData, type SeriesSource, setStaleAt } from '../source.ts';
import { type Buckets, foldSeries, joinBuckets } from './buckets.ts';
import { closeTo } from './close-to.fixture.ts';
import { rolledQueries } from './queries.fixture.ts';

const hourMs = 3_600_000;
const fromMs = 1_000 * hourMs;

interface Drawn {
  readonly gapMs: number;
  readonly value: number | 'stale';
}

function seriesOf(name: string, drawn: readonly Drawn[]): SeriesData {
  const values = Float64Array.from(drawn, ({ value }) => (value === 'stale' ? 0 : value));
  let timestampMs = fromMs;
  const timestampsMs = Float64Array.from(drawn, ({ gapMs }) => (timestampMs += gapMs));
  drawn.forEach(({ value }, index) => {
    if (value === 'stale') setStaleAt(bitsOf(values), index);
  });
  return { labels: canonicalLabels([['__name__', name]]), timestampsMs, values };
}

/** As the lake does it, from pieces that are cut anywhere. */
function inBuckets(series: readonly SeriesData[], cutAt: number, change?: (buckets: Buckets) => void) {
  const samples = memorySource(series);
  const source: SeriesSource = {
    ...samples,
    selectBuckets: async (selection, signal) => {
      const { afterMs, toMs, unusable } = selection;
      const found = await samples.select({ ...selection, fromMs: afterMs + 1, toMs }, signal);
      const cutMs = Math.floor(afterMs + (toMs - afterMs) * cutAt);
      const rolled = found.map((one) => {
        const buckets = joinBuckets([
          foldSeries(one, { ...selection, toMs: cutMs }),
          foldSeries(one, { ...selection, afterMs: cutMs }),
        ]);
        change?.(buckets);
        return { labels: one.labels, buckets };
      });
      if (rolled.some(({ buckets }) => buckets.flags.some((flags) => flags & unusable))) return undefined;
      return { series: rolled, table: 'metrics_rollup_1h', read: 1 };
    },
  };
  return source;
}

const ask = (text: string, source: SeriesSource, stepMs: number): Promise<QueryResult> =>
  rangeQuery(
    parseQuery(text),
    { startMs: fromMs, endMs: fromMs + 8 * hourMs, stepMs },
    {
      ...{ source, clock: systemClock, lookbackMs: defaultLookbackMs, limits: defaultQueryLimits },
      signal: new AbortController().signal,
    },
  );

const valueMax = 1e6;
const value = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 50 }) },
  { weight: 4, arbitrary: fc.integer({ min: -valueMax * 1e3, max: valueMax * 1e3 }).map((n) => n / 1e3) },
  { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Infinity, -Infinity, -0) },
  // Only what is summed is exact over all magnitudes.
  { weight: 1, arbitrary: fc.constantFrom(1, 1e16, -1e16, 1.7e308, -1.7e308) },
  { weight: 1, arbitrary: fc.constant('stale' as const) },
);
// Often exactly on the border of a bucket.
const gapMs = fc.oneof(
  fc.constantFrom(15_000, 60_000, 600_000, hourMs),
  fc.integer({ min: 1, max: 2_000_000 }),
);
const drawn = fc.array(fc.record({ gapMs, value }), { minLength: 1, maxLength: 60 });

/** Where differences of large numbers are taken. */
const tolerance = 1e-14 * valueMax;

test.each(rolledQueries)('%s gives the same from rollups', async (text) => {
  let rolledUp = 0;
  const property = fc.asyncProperty(
    drawn,
    drawn,
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.constantFrom(hourMs, 2 * hourMs, 60_000 * 17),
    async (one, other, cutAt, stepMs) => {
      const series = [seriesOf('a_total', one), seriesOf('b_total', other)];
      const { rollups, samplesRead: _, ...rolled } = await ask(text, inBuckets(series, cutAt), stepMs);
      const { rollups: none, samplesRead: __, ...plain } = await ask(text, memorySource(series), stepMs);
      rolledUp += rollups.length;
      expect(none).toEqual([]);
      closeTo(rolled, plain, tolerance);
    },
  );
  await fc.assert(property, { seed: 5, numRuns: 40 });
  expect(rolledUp).toBeGreaterThan(20);
});

test.each<[string, string, (buckets: Buckets) => void]>([
  ['what resets took away is forgotten', 'increase(a_total[2h])', ({ resetSums }) => resetSums.fill(0)],
  ['ends are forgotten', 'a_total', ({ flags }) => flags.fill(0)],
  ['rounding is forgotten', 'sum_over_time(a_total[2h])', ({ compensations }) => compensations.fill(0)],
  ['times are those of the bucket', 'rate(a_total[2h])', ({ firstsMs, endsMs }) => firstsMs.set(endsMs)],
])('it is noticed when %s', async (_, text, change) => {
  const property = fc.asyncProperty(drawn, fc.double({ min: 0, max: 1, noNaN: true }), async (one, cutAt) => {
    const series = [seriesOf('a_total', one)];
    const rolled = await ask(text, inBuckets(series, cutAt, change), hourMs);
    const plain = await ask(text, memorySource(series), hourMs);
    closeTo(rolled.data, plain.data, tolerance);
  });
  await expect(fc.assert(property, { seed: 5, numRuns: 500 })).rejects.toThrow();
});

test.each([
  ['stddev_over_time(a_total[2h])', hourMs],
  ['irate(a_total[2h])', hourMs],
  ['rate(a_total[2h] offset 7s)', hourMs],
  ['rate(a_total[90s])', hourMs],
  ['rate(a_total[2h])', 61_000],
  ['sum_over_time(a_total[2h]) + quantile_over_time(0.5, a_total[2h])', hourMs],
])('%s by %i ms needs samples', async (text, stepMs) => {
  const { rollups } = await ask(
    text,
    inBuckets([seriesOf('a_total', [{ gapMs: 1, value: 1 }])], 0.5),
    stepMs,
  );
  expect(rollups).toEqual([]);
});
