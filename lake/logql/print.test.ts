import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Expr, LabelFilter, LogExpr, Matcher, MetricExpr, Stage } from './ast.ts';
import { parseExpr } from './parse.ts';
import { formatExpr } from './pretty.ts';
import { printExpr } from './print.ts';

const label = fc.constantFrom('app', 'level', 'a_b', '_x9', 'status');
const text = fc.string({
  unit: fc.constantFrom('a', '"', '\\', '\n', 'ü', '`', '{', '}', ' ', '.'),
  maxLength: 8,
});
const matcher: fc.Arbitrary<Matcher> = fc.oneof(
  fc.record({ label, op: fc.constantFrom('=' as const, '!=' as const), value: text }),
  fc.record({
    label,
    op: fc.constantFrom('=~' as const, '!~' as const),
    value: fc.constantFrom('a|b', '.+', 'x.*'),
  }),
);
const comparison = fc.constantFrom('==', '!=', '>', '>=', '<', '<=') as fc.Arbitrary<'=='>;
const filter: fc.Arbitrary<LabelFilter> = fc.letrec<{ filter: LabelFilter; leaf: LabelFilter }>((tie) => ({
  leaf: fc.oneof(
    matcher.map((one): LabelFilter => ({ kind: 'text', matcher: one })),
    fc.record({
      kind: fc.constant('number' as const),
      label,
      op: comparison,
      value: fc.integer({ min: -1000, max: 1000 }),
    }),
    fc.record({
      kind: fc.constant('duration' as const),
      label,
      op: comparison,
      ns: fc.integer({ min: 1, max: 1e9 }).map((n) => n * 1000),
    }),
    fc.record({
      kind: fc.constant('bytes' as const),
      label,
      op: comparison,
      bytes: fc.integer({ min: 0, max: 1e9 }),
    }),
    fc.record({
      kind: fc.constant('ip' as const),
      label,
      op: fc.constantFrom('=' as const, '!=' as const),
      pattern: fc.constant('10.0.0.0/8'),
    }),
  ),
  filter: fc.oneof(
    { maxDepth: 3 },
    tie('leaf'),
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      left: tie('filter'),
      right: tie('filter'),
    }),
  ),
})).filter;
const stage: fc.Arbitrary<Stage> = fc.oneof(
  fc.record({
    kind: fc.constant('line-filter' as const),
    op: fc.constantFrom('|=' as const, '|>' as const),
    alternatives: fc.array(
      fc.constantFrom('a', 'b <_> c', '"').map((value) => ({ kind: 'text' as const, value })),
      { minLength: 1, maxLength: 3 },
    ),
  }),
  // Alternatives of a negated filter are printed as filters of their own.
  text.map((value): Stage => ({ kind: 'line-filter', op: '!=', alternatives: [{ kind: 'text', value }] })),
  fc.constant<Stage>({ kind: 'json', expressions: [{ label: 'x', expression: 'a["b c"].d[0]' }] }),
  fc.record({
    kind: fc.constant('logfmt' as const),
    strict: fc.boolean(),
    keepEmpty: fc.boolean(),
    expressions: fc.constant([]),
  }),
  fc.constantFrom<Stage>(
    { kind: 'unpack' },
    { kind: 'decolorize' },
    { kind: 'pattern', pattern: '<a> - <b>' },
    { kind: 'regexp', pattern: '(?P<x>\\d+)' },
  ),
  filter.map((one): Stage => ({ kind: 'label-filter', filter: one })),
  text.filter((one) => !one.includes('{')).map((template): Stage => ({ kind: 'line-format', template })),
  fc.constant<Stage>({
    kind: 'label-format',
    formats: [
      { label: 'x', from: { kind: 'label', text: 'y' } },
      { label: 'z', from: { kind: 'template', text: '{{.x}}' } },
    ],
  }),
  fc.record({
    kind: fc.constantFrom('drop' as const, 'keep' as const),
    labels: fc.array(
      fc.oneof(
        label.map((name) => ({ label: name, matcher: undefined })),
        matcher.map((one) => ({ label: one.label, matcher: one })),
      ),
      { minLength: 1, maxLength: 3 },
    ),
  }),
);
/** `| drop app != "x"` drops labels that match, and does not filter lines: the language cannot say the other. */
const readsOn = (one: Stage, index: number, stages: readonly Stage[]): boolean => {
  const next = stages[index + 1];
  return (one.kind === 'drop' || one.kind === 'keep') && next?.kind === 'line-filter' && next.op === '!=';
};

const log: fc.Arbitrary<LogExpr> = fc.record({
  kind: fc.constant('log' as const),
  matchers: fc
    .array(matcher, { maxLength: 2 })
    .map((more): readonly Matcher[] => [{ label: 'app', op: '=', value: 'x' }, ...more]),
  stages: fc.array(stage, { maxLength: 4 }).filter((stages) => !stages.some(readsOn)),
});
const grouping = fc.option(
  fc.record({ without: fc.boolean(), labels: fc.uniqueArray(label, { maxLength: 2 }) }),
  { nil: undefined },
);
/** By no label is read as without a word of it. */
const vectorGrouping = grouping.filter((one) => one === undefined || one.without || one.labels.length > 0);
const ns = fc.constantFrom(1e9, 60e9, 90e9, 3600e9, 86_400e9, 1e6, 1500e6);
const metric: fc.Arbitrary<MetricExpr> = fc.letrec<{ metric: MetricExpr; leaf: MetricExpr }>((tie) => ({
  leaf: fc.oneof(
    log.chain((one) =>
      fc.record({ range: ns, offset: fc.constantFrom(0, 60e9) }).map(
        ({ range, offset }): MetricExpr => ({
          ...{ kind: 'range-aggregation', op: 'rate', parameter: undefined, grouping: undefined },
          range: { log: one, unwrap: undefined, rangeNs: range, offsetNs: offset },
        }),
      ),
    ),
    log.chain((one) =>
      fc.record({ by: grouping, filters: fc.array(filter, { maxLength: 2 }) }).map(
        ({ by, filters }): MetricExpr => ({
          ...{ kind: 'range-aggregation', op: 'quantile_over_time', parameter: 0.99, grouping: by },
          range: {
            log: one,
            unwrap: { label: 'took', conversion: 'duration', filters },
            rangeNs: 60e9,
            offsetNs: 0,
          },
        }),
      ),
    ),
    fc.constant<MetricExpr>({ kind: 'vector', value: 2 }),
  ),
  metric: fc.oneof(
    { maxDepth: 3 },
    tie('leaf'),
    fc.record({
      kind: fc.constant('vector-aggregation' as const),
      op: fc.constant('sum' as const),
      parameter: fc.constant(undefined),
      input: tie('metric'),
      grouping: vectorGrouping,
    }),
    fc.record({
      kind: fc.constant('vector-aggregation' as const),
      op: fc.constant('topk' as const),
      parameter: fc.constant(3),
      input: tie('metric'),
      grouping: vectorGrouping,
    }),
    fc.record({
      ...{
        kind: fc.constant('binary' as const),
        left: tie('metric'),
        right: tie('metric'),
        returnBool: fc.constant(false),
      },
      op: fc.constantFrom('+', '*', '^', 'and', 'or', '>') as fc.Arbitrary<'+'>,
      matching: fc.option(
        fc.record({
          on: fc.boolean(),
          labels: fc.uniqueArray(label, { maxLength: 2 }),
          many: fc.constantFrom(undefined, 'left' as const),
          include: fc.constant([]),
        }),
        { nil: undefined },
      ),
    }),
    fc.record({
      kind: fc.constant('label-replace' as const),
      input: tie('metric'),
      target: label,
      replacement: fc.constant('$1'),
      source: label,
      pattern: fc.constant('(.*)'),
    }),
  ),
})).metric;

const expr: fc.Arbitrary<Expr> = fc.oneof(log, metric);

test('what is printed parses to the same tree, on one line and on many', () => {
  fc.assert(
    fc.property(expr, (tree) => {
      expect(parseExpr(printExpr(tree))).toEqual(tree);
      expect(parseExpr(formatExpr(tree, 20))).toEqual(tree);
      expect(parseExpr(formatExpr(tree))).toEqual(tree);
    }),
    // This seed has a size of no bytes.
    { numRuns: 300, seed: -1296318490 },
  );
});
