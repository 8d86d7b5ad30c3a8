import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Duration, Expr, Matcher, Matching, Shift, VectorSelector } from './ast.ts';
import { parseExpr } from './parse.ts';
import { formatExpr, printExpr } from './print.ts';

const span = { start: 0, end: 0 };
const labelName = fc.oneof(
  fc.constantFrom('a', 'job', 'by', 'le', 'sum', 'x y', 'ü"'),
  fc.string({ minLength: 1 }),
);
const text = fc.string({ unit: 'binary' }).filter((value) => value.isWellFormed());
const matcher: fc.Arbitrary<Matcher> = fc.record({
  label: labelName.filter((name) => name.isWellFormed() && name !== '__name__'),
  op: fc.constantFrom('=', '!=', '=~', '!~'),
  value: fc.oneof(fc.constantFrom('', 'a|b', '.*', '\\d+'), fc.constant('plain')),
});
const seconds = fc
  .integer({ min: 1, max: 10 ** 9 })
  .map((ms): Duration => ({ kind: 'seconds', value: ms / 1000, duration: true, span }));
const shift: fc.Arbitrary<Shift> = fc.record({
  offset: fc.option(seconds, { nil: undefined }),
  at: fc.option(
    fc.oneof(
      fc.integer({ min: -1e9, max: 1e12 }).map((timestampMs) => ({ kind: 'time' as const, timestampMs })),
      fc.constantFrom({ kind: 'start' as const }, { kind: 'end' as const }),
    ),
    { nil: undefined },
  ),
});
const selector: fc.Arbitrary<VectorSelector> = fc.record({
  kind: fc.constant('vector' as const),
  name: fc.constantFrom('', 'up', 'a:b', 'sum', 'offset', 'start', 'fill_left'),
  matchers: fc.array(matcher, { maxLength: 3 }),
  shift,
  extension: fc.constantFrom(undefined, 'anchored' as const, 'smoothed' as const),
  span: fc.constant(span),
});
const names = fc.array(fc.constantFrom('a', 'by', 'x y'), { maxLength: 2 });
const matching: fc.Arbitrary<Matching> = fc
  .record({
    on: fc.boolean(),
    labels: names,
    group: fc.constantFrom(undefined, 'left' as const, 'right' as const),
    include: names,
    fillLeft: fc.constantFrom(undefined, 0, -1.5),
    fillRight: fc.constantFrom(undefined, 0, 2),
  })
  .map((raw) => ({ ...raw, include: raw.group ? raw.include : [] }));

const { expr } = fc.letrec<{ expr: Expr; leaf: Expr }>((tie) => ({
  leaf: fc.oneof(
    fc
      .double({ noNaN: true, min: 0 })
      .map((value): Expr => ({ kind: 'number', value, duration: false, span })),
    text.map((value): Expr => ({ kind: 'string', value, span })),
    selector,
  ),
  // Operands in parentheses, so that the tree does not depend on precedences (parse.test.ts has those).
  expr: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'expr' },
    tie('leaf'),
    tie('expr').map((input): Expr => ({ kind: 'paren', input, span })),
    tie('expr').map(
      (input): Expr => ({ kind: 'unary', op: '-', input: { kind: 'paren', input, span }, span }),
    ),
    fc.tuple(selector, seconds).map(([one, range]): Expr => ({ kind: 'range', selector: one, range, span })),
    fc.tuple(tie('expr'), seconds, fc.option(seconds, { nil: undefined }), shift).map(
      ([input, range, step, when]): Expr => ({
        kind: 'subquery',
        input: { kind: 'paren', input, span },
        range,
        step,
        shift: when,
        span,
      }),
    ),
    fc.array(tie('expr'), { maxLength: 2 }).map((args): Expr => ({ kind: 'call', name: 'rate', args, span })),
    fc.tuple(tie('expr'), names, fc.boolean()).map(
      ([input, grouping, without]): Expr => ({
        kind: 'aggregation',
        op: 'sum',
        without,
        grouping,
        parameter: undefined,
        input,
        span,
      }),
    ),
    fc.tuple(tie('expr'), tie('expr')).map(
      ([parameter, input]): Expr => ({
        kind: 'aggregation',
        op: 'topk',
        without: false,
        grouping: [],
        parameter,
        input,
        span,
      }),
    ),
    fc
      .tuple(
        tie('expr'),
        tie('expr'),
        fc.constantFrom('+', '==', '>/', 'atan2', 'or' as const),
        fc.boolean(),
        matching,
      )
      .map(
        ([left, right, op, returnBool, match]): Expr => ({
          kind: 'binary',
          op: op as '+',
          left: { kind: 'paren', input: left, span },
          right: { kind: 'paren', input: right, span },
          returnBool,
          matching: match,
          span,
        }),
      ),
  ),
}));

/** A tree without positions, in the one form that printing gives: matchers are sorted, plain clauses left out. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value !== 'object' || value === null) return Object.is(value, -0) ? 0 : value;
  const entries = Object.entries(value).filter(([key]) => key !== 'span');
  const plain = Object.fromEntries(entries.map(([key, one]) => [key, bare(one)]));
  const { matchers } = plain;
  if (Array.isArray(matchers)) plain.matchers = matchers.map((one) => JSON.stringify(one)).sort();
  if (plain.group !== undefined && plain.on === undefined) plain.on = false;
  return plain;
}

test('parse(print(x)) = x', () => {
  fc.assert(
    fc.property(expr, (tree) => {
      expect(bare(parseExpr(printExpr(tree)))).toEqual(bare(tree));
      expect(bare(parseExpr(formatExpr(tree, 20)))).toEqual(bare(tree));
    }),
    { numRuns: 300 },
  );
});

test('what is longer than a line is broken up', () => {
  expect(formatExpr(parseExpr('sum by (a) (rate(x[5m])) / y'), 20)).toBe(
    '  sum by (a) (\n    rate(x[5m])\n  )\n/\n  y',
  );
});

const path = join(
  import.meta.dirname,
  '..',
  '..',
  '..',
  'shared',
  'corpora',
  'promql-parser',
  'dev',
  'format.jsonl',
);
const printed = existsSync(path)
  ? readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
  : [];

test.skipIf(printed.length === 0)("Prometheus' printer tests", () => {
  const wrong: string[] = [];
  for (const line of printed) {
    const { kind, in: input, out } = JSON.parse(line) as { kind: string; in: string; out: string };
    const tree = parseExpr(input);
    // Upstream breaks lines of its tests at 10 characters.
    const got = kind === 'string' ? printExpr(tree) : formatExpr(tree, 10);
    if (got !== out) wrong.push(`${input}: ${got}`);
  }
  expect(wrong).toEqual([]);
});
