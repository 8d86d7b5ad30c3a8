import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Clock, systemClock } from '../../base/clock.ts';
import { defaultQueryLimits } from '../limits.ts';
import { parseQuery, type QueryOptions, type QueryResult, rangeQuery } from '../query.ts';
import type { SeriesSource } from '../source.ts';
import { blockSteps } from './block.ts';
import { type CachedResult, cachedRangeQuery } from './cached-query.ts';
import { type Broken, changes, createModelLake } from './model-lake.fixture.ts';
import { createResultCache } from './result-cache.ts';
import { isStepLocal } from './step-local.ts';

const lookbackMs = 300_000;
const startMs = 1_700_000_000_000;
const optionsOf = (source: SeriesSource, clock: Clock = systemClock): QueryOptions => ({
  ...{ source, clock, lookbackMs, limits: defaultQueryLimits, signal: new AbortController().signal },
});

const texts = [
  'temperature',
  'temperature offset 7m',
  'temperature offset -20m',
  `temperature @ ${startMs / 1000 + 2000} - other`,
  'sum(temperature)',
  'sum by (line) (rate(parts_total[2m]))',
  // An information about the name, as long as there is data.
  'rate(temperature[1m])',
  'increase(temperature[30m]) > 3',
  'max_over_time(temperature[10m:30s])',
  'min_over_time(sum(other)[40m:1m] offset 3m)',
  'topk(1, temperature)',
  'bottomk(1, sum by (line) (other))',
  'limitk(1, other)',
  'temperature or vector(0)',
  'temperature or other',
  'sum_over_time(temperature[20m])',
  'timestamp(temperature) - time()',
  'absent(temperature{line="b"})',
  'histogram_quantile(0.5, sum by (le) (rate(wait_bucket[5m])))',
  'quantile(2, other)',
  'count_values("v", temperature)',
  'predict_linear(temperature[5m], 60)',
  'scalar(temperature)',
  'temperature unless on (line) other',
  'sum_over_time(temperature[5m]) + start()',
  'time()',
];

interface Ask {
  readonly kind: 'ask';
  readonly text: string;
  /** Before now, or beyond it. */
  readonly backSteps: number;
  readonly steps: number;
  readonly line: string | undefined;
}
const asksOf = (few: readonly string[]): fc.Arbitrary<Ask> =>
  fc.record({
    kind: fc.constant('ask' as const),
    text: fc.constantFrom(...few),
    backSteps: fc.integer({ min: -10, max: 60 }),
    steps: fc.oneof(fc.constant(5 * blockSteps), fc.integer({ min: 1, max: 5 * blockSteps })),
    line: fc.constantFrom(undefined, undefined, 'a', 'b'),
  });

const shown = ({ data, warnings, infos, read }: QueryResult) => {
  if (data.type !== 'matrix') throw new Error(data.type);
  const series = data.series.map(({ labels, timestampsMs, values }) => ({ labels, timestampsMs, values }));
  // Annotations come in the order in which they are made.
  return { series, read, warnings: warnings.toSorted(), infos: infos.toSorted() };
};

/** What happens to a lake, and what is asked of it: few texts in a run, so that they are asked again. */
const runs = fc
  .record({ stepMs: fc.constantFrom(10_000, 30_000), phaseMs: fc.constantFrom(0, 3_000) })
  .chain((run) =>
    fc.tuple(fc.constantFrom(...texts), fc.constantFrom(...texts)).chain((few) =>
      fc.record({
        ...{ stepMs: fc.constant(run.stepMs), phaseMs: fc.constant(run.phaseMs) },
        bytesMax: fc.constantFrom(1e6, 1e6, 40_000),
        steps: fc.array(fc.oneof({ weight: 2, arbitrary: changes }, { weight: 3, arbitrary: asksOf(few) }), {
          minLength: 20,
          maxLength: 40,
        }),
      }),
    ),
  );

/** How often something was answered from memory, so that a test that never does shows. */
interface Counts {
  reusedSteps: number;
  answers: number;
}

/** Whatever happens to the lake, answers are the same with the cache and without. */
const sameAnswers = (counts: Counts, broken?: Broken) =>
  fc.asyncProperty(runs, async ({ stepMs, phaseMs, bytesMax, steps }) => {
    const lake = createModelLake(startMs);
    const cache = createResultCache(bytesMax);
    for (const series of [0, 2, 4, 6]) lake.change({ kind: 'write', series, rows: 40, value: series });
    lake.change({ kind: 'seal' });
    for (const step of steps) {
      if (step.kind !== 'ask') {
        lake.change(step);
        continue;
      }
      const endMs = (Math.floor(lake.nowMs() / stepMs) - step.backSteps) * stepMs + phaseMs;
      const times = { startMs: endMs - (step.steps - 1) * stepMs, endMs, stepMs };
      const query = parseQuery(step.text);
      const options = optionsOf(lake.source(step.line, broken));
      const cached = await cachedRangeQuery(query, times, options, cache);
      expect(shown(cached), step.text).toEqual(shown(await rangeQuery(query, times, options)));
      expect(cache.counters().bytes).toBeLessThanOrEqual(bytesMax);
      counts.reusedSteps += cached.cachedSteps ?? 0;
      counts.answers++;
    }
  });

test('answers are the same with the cache and without, whatever is written, sealed, merged and deleted', async () => {
  const counts = { reusedSteps: 0, answers: 0 };
  await fc.assert(sameAnswers(counts), { numRuns: 100 });
  expect(counts.reusedSteps).toBeGreaterThan(10 * counts.answers);
});

const brokenVersions: Record<string, Broken> = {
  'rows that wait to be sealed are not seen': (versions) => ({
    ...versions,
    look: async (fromMs, toMs) => {
      const of = await versions.look(fromMs, toMs);
      return (from, to) => of(from, to) ?? '';
    },
  }),
  'what lies before the first step does not count': (versions) => ({
    ...versions,
    look: async (fromMs, toMs) => {
      const of = await versions.look(fromMs, toMs);
      return (from, to) => of(from + 900_000, to);
    },
  }),
  'what is taken away does not count': (versions) => ({
    ...versions,
    look: async (fromMs, toMs) => {
      const of = await versions.look(fromMs, toMs);
      return (from, to) => of(from, to) && String(of(from, to)?.split('-').length);
    },
  }),
  'all see the same': (versions) => ({ ...versions, scope: 'lake' }),
};
test.each(Object.entries(brokenVersions))('it is noticed when %s', async (_, broken) => {
  const outcome = await fc.check(sameAnswers({ reusedSteps: 0, answers: 0 }, broken), {
    ...{ numRuns: 400, seed: 5, endOnFailure: true },
  });
  expect(outcome.failed).toBe(true);
});

/** A lake with three hours of rows, all sealed. */
function quietLake() {
  const lake = createModelLake(startMs);
  lake.change({ kind: 'write', series: 0, rows: 540, value: 1 });
  lake.change({ kind: 'seal' });
  return lake;
}

const panel = { startMs: startMs + 1_200_000, endMs: startMs + 9_000_000, stepMs: 15_000 };
const moved = (steps: number) => ({
  ...panel,
  startMs: panel.startMs + steps * panel.stepMs,
  endMs: panel.endMs + steps * panel.stepMs,
});

/** How many of the steps are evaluated, when the query is asked again after `change`. */
async function evaluatedAfter(
  text: string,
  change: (lake: ReturnType<typeof quietLake>) => void,
  steps = 4,
): Promise<{ readonly evaluated: number; readonly result: CachedResult }> {
  const lake = quietLake();
  const cache = createResultCache(1e6);
  const query = parseQuery(text);
  // The second time, blocks with annotations are evaluated each by itself.
  for (let time = 0; time < 2; time++)
    await cachedRangeQuery(query, panel, optionsOf(lake.source(undefined)), cache);
  change(lake);
  const before = cache.counters().evaluatedSteps;
  const options = optionsOf(lake.source(undefined));
  const result = await cachedRangeQuery(query, moved(steps), options, cache);
  expect(shown(result)).toEqual(shown(await rangeQuery(query, moved(steps), options)));
  return { evaluated: cache.counters().evaluatedSteps - before, result };
}

test('of a panel that has moved little is evaluated, and after late rows what they touch', async () => {
  const all = 521;
  const none = () => undefined;
  const moving = await evaluatedAfter('sum(temperature)', none);
  expect(moving.evaluated).toBeLessThanOrEqual(blockSteps);
  expect(moving.result.cachedSteps).toBe(all - moving.evaluated);
  // With annotations the block in which the range begins is evaluated too.
  const noted = await evaluatedAfter('rate(temperature[5m])', none);
  expect(noted.evaluated).toBeLessThanOrEqual(2 * blockSteps);
  expect(noted.result.infos).toHaveLength(1);
  // One late row, in two hours of a range: its block, and the next one because of the lookback.
  const late = await evaluatedAfter('sum(temperature)', (lake) => {
    lake.change({ kind: 'late', series: 0, backMs: 5_000_010, value: 7 });
    lake.change({ kind: 'seal' });
  });
  expect(late.evaluated).toBeGreaterThan(moving.evaluated);
  expect(late.evaluated).toBeLessThanOrEqual(moving.evaluated + 2 * blockSteps);
  // A merge of all files is another state of everything here.
  const merged = await evaluatedAfter('sum(temperature)', (lake) => {
    lake.change({ kind: 'merge' });
  });
  expect(merged.evaluated).toBe(all);
});

test('annotations that count are never put together of parts', async () => {
  const lake = createModelLake(startMs);
  for (let index = 0; index < 100; index++) {
    // Less in the larger bucket: the quantile has to mend that.
    lake.change({ kind: 'write', series: 4, rows: 1, value: 3 * index + 7 });
    lake.change({ kind: 'write', series: 5, rows: 1, value: index });
  }
  lake.change({ kind: 'seal' });
  const query = parseQuery('histogram_quantile(0.5, sum by (le) (wait_bucket))');
  const cache = createResultCache(1e6);
  const options = optionsOf(lake.source(undefined));
  for (const steps of [0, 0, 1]) {
    const times = { startMs: startMs + steps * 15_000, endMs: startMs + 3_600_000, stepMs: 15_000 };
    const cached = await cachedRangeQuery(query, times, options, cache);
    expect(cached.infos.join()).toMatch(/over \d+ samples from/);
    expect(shown(cached)).toEqual(shown(await rangeQuery(query, times, options)));
    expect(cached.cachedSteps).toBeUndefined();
  }
});

test('nothing is remembered where rows change while they are read', async () => {
  const lake = quietLake();
  const source = lake.source(undefined);
  const cache = createResultCache(1e6);
  const query = parseQuery('sum(temperature)');
  const late = (): void => {
    lake.change({ kind: 'late', series: 0, backMs: 5_000_000, value: 7 });
    lake.change({ kind: 'seal' });
  };
  const racing: SeriesSource = {
    ...source,
    select: (selection, signal) => {
      late();
      return source.select(selection, signal);
    },
  };
  await cachedRangeQuery(query, panel, optionsOf(racing), cache);
  const options = optionsOf(lake.source(undefined));
  const again = await cachedRangeQuery(query, panel, options, cache);
  expect(shown(again)).toEqual(shown(await rangeQuery(query, panel, options)));
  expect(again.cachedSteps).toBeGreaterThan(0);
});

test('the time of a query is that of all its parts together', async () => {
  const lake = quietLake();
  const cache = createResultCache(1e6);
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  const source = lake.source(undefined);
  const query = parseQuery('rate(temperature[5m])');
  const slow: SeriesSource = {
    ...source,
    select: (selection, signal) => {
      nowMs += 50_000;
      return source.select(selection, signal);
    },
  };
  await cachedRangeQuery(query, panel, optionsOf(slow, clock), cache);
  await expect(cachedRangeQuery(query, panel, optionsOf(slow, clock), cache)).rejects.toMatchObject({
    errorType: 'timeout',
  });
});

test('an answer whose parts are all remembered may not have more samples than others', async () => {
  const cache = createResultCache(1e6);
  const query = parseQuery('temperature');
  const options = optionsOf(quietLake().source(undefined));
  const times = { ...panel, endMs: panel.startMs + 900_000 };
  await cachedRangeQuery(query, panel, options, cache);
  const few = { ...options, limits: { ...defaultQueryLimits, samplesMax: 20 } };
  await expect(cachedRangeQuery(query, times, few, cache)).rejects.toMatchObject({ errorType: 'execution' });
});

test.each([
  ['sum by (line) (rate(m[5m]))', true],
  ['m @ 1000', true],
  ['m @ start()', false],
  ['m[5m:1m] @ end()', false],
  ['sum(m offset (step()))', false],
  ['avg_over_time(m[range() / 2])', false],
  ['m + start()', false],
  ['m * step()', false],
  ['topk(5, rate(m[5m]))', true],
  ['topk(5, round(m / 2))', true],
  ['topk(5, sum by (line) (m))', false],
  ['limitk(5, label_replace(m, "a", "b", "", ""))', false],
  ['limit_ratio(0.5, sum by (line) (m))', true],
  ['topk(scalar(n), m)', false],
  ['quantile(time() / 2, m)', false],
  ['m or vector(0)', true],
  ['sum(m) or sum by (line) (n)', true],
  ['m or n', true],
  ['m or rate(n[5m])', false],
  ['info(m)', false],
])('%s is made of its steps alone: %s', (text, local) => {
  const { expr } = parseQuery(text.includes('[5m:1m]') ? `sum_over_time(${text})` : text);
  expect(isStepLocal(expr)).toBe(local);
});
