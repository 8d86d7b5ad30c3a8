import { expect, test } from 'vitest';
import { createSeriesCache } from './series-cache.ts';
import { createSeriesGuard, isSeriesRefusal } from './series-guard.ts';

const minuteMs = 60_000;

function setUp(activeSeriesMax: number, newSeriesPerMinuteMax: number) {
  let nowMs = 0;
  const guard = createSeriesGuard({ activeSeriesMax, newSeriesPerMinuteMax }, () => nowMs);
  const takes = (id: number): boolean => {
    try {
      guard.admit(id, 0);
      return true;
    } catch (error) {
      if (!isSeriesRefusal(error)) throw error;
      return false;
    }
  };
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  return { guard, takes, pass };
}

test('a series is active until it had no sample for one to two turns; then there is room again', () => {
  const { guard, takes, pass } = setUp(2, 0);
  expect([1, 2, 3, 1].map(takes)).toEqual([true, true, false, true]);
  pass(31 * minuteMs);
  expect(guard.counts().active).toBe(2);
  expect([1, 3].map(takes)).toEqual([true, false]);
  pass(31 * minuteMs);
  expect(guard.counts().active).toBe(1);
  expect([3, 2].map(takes)).toEqual([true, false]);
  pass(24 * 60 * minuteMs);
  expect(guard.counts()).toEqual({ active: 0, admitted: 3, refused: 3 });
});

test('new series a minute; the known are not counted', () => {
  const { takes, pass } = setUp(0, 2);
  expect([1, 2, 3, 1, 2].map(takes)).toEqual([true, true, false, true, true]);
  pass(minuteMs);
  expect([3, 4, 5].map(takes)).toEqual([true, true, false]);
});

test('thousands of ids, the zero among them', () => {
  const { guard, takes } = setUp(0, 0);
  for (let round = 0; round < 2; round++) for (let id = -5000; id < 5000; id++) takes(id);
  expect(guard.counts()).toEqual({ active: 10_000, admitted: 10_000, refused: 0 });
});

test('the cache asks once a turn, and never for what is about the gateway itself', () => {
  const { guard, pass } = setUp(1, 0);
  const cache = createSeriesCache({ identity: [], guard });
  const bytes = Buffer.from('ab');
  const labels = (name: string) => [['__name__', name] as const];
  const series = cache.add(bytes, 0, 1, labels('a'));
  expect(() => cache.add(bytes, 1, 2, labels('b'))).toThrow(/1 active series/);
  expect(() => cache.ofKey('b', () => labels('b'))).toThrow(/1 active series/);
  expect(cache.ofKey('own', () => labels('own'), 'own').pending).toBeDefined();
  pass(65 * minuteMs);
  guard.counts();
  expect(cache.ofKey('b', () => labels('b')).pending).toBeDefined();
  expect(() => cache.find(bytes, 0, 1)).toThrow(/1 active series/);
  expect(series.pending?.labels).toBe('{"__name__":"a"}');
});
