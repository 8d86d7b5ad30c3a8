import { expect, test } from 'vitest';
import { parseExpr } from './parse.ts';
import { type PlanNode, planQuery } from './plan.ts';

const times = { startMs: 1_000_000, endMs: 1_100_000, stepMs: 10_000 };
const lookbackMs = 300_000;
const plan = (text: string, query = times) => planQuery(parseExpr(text), query, lookbackMs);

test.each([
  ['a', [[700_001, 1_100_000]]],
  ['a offset 1m', [[640_001, 1_040_000]]],
  ['a offset -1m', [[760_001, 1_160_000]]],
  ['a @ 500', [[200_001, 500_000]]],
  ['a @ start()', [[700_001, 1_000_000]]],
  ['a @ end() offset 10s', [[790_001, 1_090_000]]],
  ['rate(a[1m])', [[940_001, 1_100_000]]],
  ['rate(a[1m] offset 1m)', [[880_001, 1_040_000]]],
  ['rate(a[1m] anchored)', [[640_001, 1_100_000]]],
  ['rate(a[1m] smoothed)', [[640_001, 1_400_000]]],
  // The subquery's own steps are multiples of its step, here from 950 s to 1090 s.
  ['max_over_time(a[1m:10s] offset 10s)', [[640_001, 1_090_000]]],
  ['max_over_time(rate(a[1m])[1m:] @ 600)', [[540_001, 600_000]]],
  ['max_over_time(a[range():step() * 2])', [[620_001, 1_100_000]]],
  ['rate(a[1m]) / rate(a[5m])', [[700_001, 1_100_000]]],
  [
    'a / a offset 1h',
    [
      [700_001, 1_100_000],
      [-2_899_999, -2_500_000],
    ],
  ],
  [
    'a / b',
    [
      [700_001, 1_100_000],
      [700_001, 1_100_000],
    ],
  ],
  ['1 + time()', []],
])('%s reads %j', (text, ranges) => {
  expect(plan(text).scans.map(({ fromMs, toMs }) => [fromMs, toMs])).toEqual(ranges);
});

function kinds(node: PlanNode): string {
  switch (node.kind) {
    case 'once':
    case 'negate':
    case 'subquery':
      return `${node.kind}(${kinds(node.input)})`;
    case 'binary':
      return `binary(${kinds(node.left)}, ${kinds(node.right)})`;
    case 'aggregation':
      return `aggregation(${kinds(node.input)})`;
    case 'call':
      return `${node.name}(${node.args.map(kinds).join(', ')})`;
    default:
      return node.kind;
  }
}

test.each([
  ['a + b @ 1', 'binary(instant, once(instant))'],
  ['sum(a @ 1) + 1', 'once(binary(aggregation(instant), number))'],
  ['-(1 + 1)', 'once(negate(binary(number, number)))'],
  ['time() + 1', 'binary(time(), number)'],
  ['timestamp(a @ 1)', 'once(timestamp(instant))'],
  ['timestamp(abs(a @ 1))', 'timestamp(once(abs(instant)))'],
  ['predict_linear(a[5m] @ 1, 60)', 'predict_linear(window, number)'],
  ['sum_over_time(a[5m] @ 1)', 'once(sum_over_time(window))'],
  ['max_over_time((a @ 1)[5m:1m])', 'max_over_time(subquery(once(instant)))'],
  ['((start() + step()) * range())', 'once(binary(binary(number, number), number))'],
])('%s is planned as %s', (text, wanted) => {
  expect(kinds(plan(text).root)).toBe(wanted);
});

test('a plan is data', () => {
  const { root, scans, type } = plan('sum by (job) (rate(a{b="c"}[5m]))');
  expect(JSON.parse(JSON.stringify({ root, scans, type }))).toEqual({
    type: 'vector',
    scans: [
      {
        matchers: [
          { label: 'b', op: '=', value: 'c' },
          { label: '__name__', op: '=', value: 'a' },
        ],
        fromMs: 700_001,
        toMs: 1_100_000,
      },
    ],
    root: {
      kind: 'aggregation',
      op: 'sum',
      without: false,
      grouping: ['job'],
      span: { start: 0, end: 33 },
      input: {
        kind: 'call',
        name: 'rate',
        type: 'vector',
        pinned: [['b', 'c']],
        span: { start: 14, end: 32 },
        args: [
          {
            kind: 'window',
            scan: 0,
            statistics: false,
            rangeMs: 300_000,
            offsetMs: 0,
            span: { start: 19, end: 31 },
          },
        ],
      },
    },
  });
});

test.each([
  ['a[step() - 10]', 'duration must be greater than 0'],
  ['a[1 / (step() - 10)]', 'division by zero'],
  ['a offset (range() ^ 100)', 'duration is out of range'],
])('%s has no plan', (text, message) => {
  expect(() => plan(text)).toThrow(message);
});
