import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { createFairQueue } from '../base/fair-queue.ts';
import { canonicalLabels } from '../model/labels.ts';
import { PromqlError } from '../promql/errors.ts';
import { histogramOf, newSum } from '../promql/histograms/sum.ts';
import { defaultLookbackMs, defaultQueryLimits } from '../promql/limits.ts';
import { memorySource } from '../promql/memory-source.ts';
import { instantQuery, parseQuery, rangeQuery } from '../promql/query.ts';
import { createEvaluationPool } from './evaluation-pool.ts';

const seriesOf = (count: number, samples: number) =>
  Array.from({ length: count }, (_, index) => ({
    labels: canonicalLabels([
      ['__name__', 'm'],
      ['i', String(index)],
    ]),
    timestampsMs: Float64Array.from({ length: samples }, (_value, at) => at * 1000),
    values: Float64Array.from({ length: samples }, (_value, at) => at + index),
  }));
const optionsOf = (source = memorySource(seriesOf(20, 600)), signal = new AbortController().signal) => ({
  ...{ source, signal, clock: systemClock, limits: defaultQueryLimits, lookbackMs: defaultLookbackMs },
});
const times = { startMs: 60_000, endMs: 500_000, stepMs: 1000 };

test.each(['sum by (i) (rate(m[1m]))', 'm', 'topk(3, m)', 'sum_over_time(m[30s:7s]) > 900'])(
  '%s is the same on another thread, with the same annotations',
  async (text) => {
    await using pool = createEvaluationPool({
      clock: systemClock,
      threads: 1,
      cacheBytesMax: 1e8,
      inlineSamplesMax: 0,
    });
    const here = await rangeQuery(parseQuery(text), times, optionsOf());
    const there = await rangeQuery(parseQuery(text), times, { ...optionsOf(), evaluator: pool });
    expect(there).toEqual(here);
  },
);

test('histograms go to the other thread and back', async () => {
  await using pool = createEvaluationPool({
    clock: systemClock,
    threads: 1,
    cacheBytesMax: 1e8,
    inlineSamplesMax: 0,
  });
  const buckets = { indexes: [1, 3], counts: [2, 1] };
  const one = histogramOf(
    newSum({
      ...{ schema: 0, count: 3, sum: 4, zeroThreshold: 0, zeroCount: 0, hint: 'unknown', customValues: [] },
      ...{ positive: buckets, negative: { indexes: [], counts: [] } },
    }),
  );
  const series = { ...seriesOf(1, 1)[0], histograms: [one], values: Float64Array.of(Number.NaN) };
  const source = memorySource([{ labels: [], timestampsMs: Float64Array.of(0), ...series }]);
  const { data } = await instantQuery(parseQuery('m * 2'), 1000, { ...optionsOf(source), evaluator: pool });
  expect(data).toMatchObject({
    samples: [{ histogram: { count: 6, positive: { ...buckets, counts: [4, 2] } } }],
  });
});

test('errors keep their type, and the next query is answered', async () => {
  await using pool = createEvaluationPool({
    clock: systemClock,
    threads: 1,
    cacheBytesMax: 1e8,
    inlineSamplesMax: 0,
  });
  const ask = (text: string) => rangeQuery(parseQuery(text), times, { ...optionsOf(), evaluator: pool });
  await expect(ask('m + ignoring (i) m')).rejects.toMatchObject({ errorType: 'execution' });
  expect((await ask('sum(m)')).data).toMatchObject({ type: 'matrix' });
});

test('a query that nobody waits for any more ends, also one that waits for the thread', async () => {
  await using pool = createEvaluationPool({
    clock: systemClock,
    threads: 1,
    cacheBytesMax: 1e8,
    inlineSamplesMax: 0,
  });
  const gone = new AbortController();
  const text = 'max_over_time(sum_over_time(m[8m:1s])[8m:1s])';
  const ask = () =>
    rangeQuery(parseQuery(text), times, {
      ...optionsOf(memorySource(seriesOf(60, 600)), gone.signal),
      evaluator: pool,
    });
  const both = Promise.allSettled([ask(), ask()]);
  setTimeout(() => gone.abort(), 100);
  for (const one of await both) expect(one).toMatchObject({ reason: { errorType: 'canceled' } });
  const next = await rangeQuery(parseQuery('sum(m)'), times, { ...optionsOf(), evaluator: pool });
  expect(next.data).toMatchObject({ type: 'matrix' });
});

const errors = {
  refused: (message: string) => new PromqlError('unavailable', message),
  canceled: () => new PromqlError('canceled', 'canceled'),
};

test('tenants are served in turn, and none takes every place', async () => {
  const queue = createFairQueue(errors, { runningMax: 2, runningPerTenantMax: 1, waitingPerTenantMax: 3 });
  const { signal } = new AbortController();
  const order: string[] = [];
  const ends: (() => void)[] = [];
  const run = (tenant: string) =>
    queue.run(tenant, signal, () => {
      order.push(tenant);
      return new Promise<void>((resolve) => ends.push(resolve));
    });
  const all = ['a', 'a', 'a', 'b', 'c', 'b'].map(run);
  await Promise.resolve();
  expect(order).toEqual(['a', 'b']);
  for (let done = 0; done < all.length; done++) {
    ends[done]?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(all);
  expect(order).toEqual(['a', 'b', 'a', 'b', 'c', 'a']);
});

test('more than may wait are refused, and who waits may leave', async () => {
  const queue = createFairQueue(errors, { runningMax: 1, runningPerTenantMax: 1, waitingPerTenantMax: 1 });
  const { promise, resolve } = Promise.withResolvers<void>();
  const gone = new AbortController();
  const first = queue.run('a', gone.signal, () => promise);
  const second = queue.run('a', gone.signal, async () => undefined);
  await expect(queue.run('a', gone.signal, async () => 1)).rejects.toThrow('waitingPerTenantMax = 1');
  gone.abort();
  await expect(second).rejects.toMatchObject({ errorType: 'canceled' });
  resolve();
  await first;
  expect(await queue.run('a', new AbortController().signal, async () => 2)).toBe(2);
});
