import { expect, test } from 'vitest';
import { planQuery } from './plan.ts';
import { parseQuery } from './query.ts';
import { readRangeOf } from './read-range.ts';

const times = { startMs: 1_000_000, endMs: 2_000_000, stepMs: 1000 };
const minuteMs = 60_000;
const rangeOf = (text: string) => readRangeOf(planQuery(parseQuery(text).expr, times, 5 * minuteMs));

test.each<[string, number, number]>([
  ['up', 1_000_000 - 5 * minuteMs + 1, 2_000_000],
  ['up offset 10m', 1_000_000 - 15 * minuteMs + 1, 2_000_000 - 10 * minuteMs],
  ['rate(up[2m])', 1_000_000 - 2 * minuteMs + 1, 2_000_000],
  ['up @ 500', 500_000 - 5 * minuteMs + 1, 500_000],
  ['up + down offset 20m', 1_000_000 - 25 * minuteMs + 1, 2_000_000],
  ['max_over_time(up[10m:1m])', 1_000_000 - 15 * minuteMs + 20_001, 1_980_000],
])('%s reads %d to %d', (text, fromMs, toMs) => {
  expect(rangeOf(text)).toMatchObject({ fromMs, toMs });
});

test('a query without selectors reads nothing', () => {
  expect(rangeOf('1 + 1')).toBeUndefined();
});

test.each<[string, string | undefined, string | undefined]>([
  ['up', undefined, undefined],
  ['up{site="a"}', 'a', undefined],
  ['up{site="a"} + down{site="a",gateway="g"}', 'a', undefined],
  ['up{site="a",gateway="g"} / down{gateway="g",site="a"}', 'a', 'g'],
  ['up{site="a"} + down{site="b"}', undefined, undefined],
  ['up{site="a"} + down', undefined, undefined],
  ['up{site=~"a"}', undefined, undefined],
])('%s is about site %s, gateway %s', (text, site, gateway) => {
  expect(rangeOf(text)).toMatchObject({ site, gateway });
});
