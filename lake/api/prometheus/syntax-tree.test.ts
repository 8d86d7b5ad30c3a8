import { expect, test } from 'vitest';
import { parseExpr } from '../../promql/parse.ts';
import { syntaxTree } from './syntax-tree.ts';

const selector = {
  ...{ name: 'a', offset: 0, offsetExpr: null, timestamp: null, startOrEnd: null },
  ...{ anchored: false, smoothed: false, matchers: [{ name: '__name__', value: 'a', type: '=' }] },
};

test.each([
  ['1.5', { type: 'numberLiteral', val: '1.5' }],
  ['"x"', { type: 'stringLiteral', val: 'x' }],
  [
    '-(a)',
    {
      type: 'unaryExpr',
      op: '-',
      expr: { type: 'parenExpr', expr: { type: 'vectorSelector', ...selector } },
    },
  ],
  [
    'rate(a[5m] offset 1m @ end())',
    {
      type: 'call',
      func: { name: 'rate', argTypes: ['matrix'], variadic: 0, returnType: 'vector' },
      args: [
        {
          ...{ type: 'matrixSelector', range: 300_000, rangeExpr: null },
          ...{ ...selector, offset: 60_000, startOrEnd: 'end' },
        },
      ],
    },
  ],
  [
    'topk by (b) (2, a)',
    {
      ...{ type: 'aggregation', op: 'topk', grouping: ['b'], without: false },
      param: { type: 'numberLiteral', val: '2' },
      expr: { type: 'vectorSelector', ...selector },
    },
  ],
  [
    'a > bool on (b) group_left (c) a',
    {
      ...{ type: 'binaryExpr', op: '>', bool: true },
      lhs: { type: 'vectorSelector', ...selector },
      rhs: { type: 'vectorSelector', ...selector },
      matching: {
        ...{ card: 'many-to-one', labels: ['b'], on: true, include: ['c'] },
        fillValues: { lhs: null, rhs: null },
      },
    },
  ],
  ['1 + 2', { type: 'binaryExpr', op: '+', bool: false, matching: null }],
  [
    'a[1m:step() * 2]',
    {
      ...{ type: 'subquery', range: 60_000, rangeExpr: null, step: 0, offset: 0, timestamp: null },
      stepExpr: {
        ...{ type: 'durationExpr', op: '*', wrapped: false },
        rhs: { type: 'numberLiteral', val: '2', duration: false },
      },
    },
  ],
])('%s in the shape of parse_query', (text, tree) => {
  expect(syntaxTree(parseExpr(text))).toMatchObject(tree);
});
