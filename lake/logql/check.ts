import { messageOf } from '../base/errors.ts';
import { compileRe2 } from '../regexp/re2.ts';
import { arithmetic } from './arithmetic.ts';
import type {
  Binary,
  BinaryOp,
  Expr,
  Grouping,
  LabelReplace,
  Matcher,
  MetricExpr,
  RangeAggregation,
  RangeOp,
  Stage,
  VectorAggregation,
  VectorOp,
} from './ast.ts';
import { parseError } from './errors.ts';
import { compileStage } from './pipeline/compile.ts';
import { valueTest } from './pipeline/label-filter.ts';

// What the grammar cannot say. Every mistake is a LogqlError `parse`, without a place, as Loki's.

function inWords<T>(check: () => T): T {
  try {
    return check();
  } catch (cause) {
    throw parseError(messageOf(cause));
  }
}

export function checkMatcher(matcher: Matcher): void {
  inWords(() => valueTest(matcher));
}

/** Only of these two stages it is looked at when a query is parsed, as in Loki; the others when it is planned. */
export function checkStage(stage: Stage): void {
  if (stage.kind !== 'regexp' && stage.kind !== 'pattern') return;
  try {
    compileStage(stage);
  } catch (cause) {
    throw parseError(`invalid ${stage.kind} parser: ${messageOf(cause)}`);
  }
}

const emptyCompatible =
  'queries require at least one regexp or equality matcher that does not have an empty-compatible value. ' +
  'For instance, app=~".*" does not meet this requirement, but app=~".+" will';

/** A selector must name something: one of no streams would be one of all. */
export function checkSelectors(expr: Expr): void {
  for (const matchers of selectorsOf(expr)) {
    const named = matchers.some((one) => (one.op === '=' || one.op === '=~') && !valueTest(one)(''));
    if (!named) throw parseError(emptyCompatible);
  }
}

function* selectorsOf(expr: Expr): Generator<readonly Matcher[]> {
  switch (expr.kind) {
    case 'log':
      yield expr.matchers;
      return;
    case 'range-aggregation':
      yield expr.range.log.matchers;
      return;
    case 'vector-aggregation':
    case 'label-replace':
      yield* selectorsOf(expr.input);
      return;
    case 'binary':
      yield* selectorsOf(expr.left);
      yield* selectorsOf(expr.right);
      return;
    case 'number':
    case 'vector':
  }
}

const groupable: ReadonlySet<RangeOp> = new Set<RangeOp>([
  ...(['avg_over_time', 'stddev_over_time', 'stdvar_over_time', 'quantile_over_time'] as const),
  ...(['max_over_time', 'min_over_time', 'first_over_time', 'last_over_time'] as const),
]);
const ofLines: ReadonlySet<RangeOp> = new Set<RangeOp>([
  ...(['bytes_over_time', 'bytes_rate', 'count_over_time', 'rate', 'absent_over_time'] as const),
]);
const onlyOfLines: ReadonlySet<RangeOp> = new Set<RangeOp>([
  'bytes_over_time',
  'bytes_rate',
  'count_over_time',
]);

export function checkRangeAggregation({ op, parameter, range, grouping }: RangeAggregation): void {
  if (op === 'quantile_over_time' && parameter === undefined)
    throw parseError(`parameter required for operation ${op}`);
  if (op !== 'quantile_over_time' && parameter !== undefined)
    throw parseError(`parameter ${parameter} not supported for operation ${op}`);
  if (grouping !== undefined && !groupable.has(op))
    throw parseError(`grouping not allowed for ${op} aggregation`);
  if (range.unwrap !== undefined && onlyOfLines.has(op))
    throw parseError(`invalid aggregation ${op} with unwrap`);
  if (range.unwrap === undefined && !ofLines.has(op))
    throw parseError(`invalid aggregation ${op} without unwrap`);
}

const withParameter: readonly VectorOp[] = ['topk', 'bottomk', 'approx_topk'];

/** Makes the node; `parameter` is as it was written. */
export function checkVectorAggregation(
  op: VectorOp,
  parameter: string | undefined,
  input: MetricExpr,
  grouping: Grouping | undefined,
): VectorAggregation {
  let k: number | undefined;
  if (withParameter.includes(op)) {
    if (parameter === undefined) throw parseError(`parameter required for operation ${op}`);
    k = Number(parameter);
    if (!/^[0-9]+$/.test(parameter) || k >= 2 ** 63)
      throw parseError(`invalid parameter ${op}(${parameter},`);
    if (k <= 0) throw parseError(`invalid parameter (must be greater than 0) ${op}(${parameter}`);
  } else if (parameter !== undefined) {
    throw parseError(`unsupported parameter for operation ${op}(${parameter},`);
  }
  if (op === 'approx_topk' && grouping !== undefined)
    throw parseError('grouping not allowed for approx_topk aggregation');
  if ((op === 'sort' || op === 'sort_desc') && grouping !== undefined)
    throw parseError("sort and sort_desc doesn't allow grouping by ");
  // By no label is as without a word of it.
  const isNone = grouping !== undefined && !grouping.without && grouping.labels.length === 0;
  return { kind: 'vector-aggregation', op, parameter: k, input, grouping: isNone ? undefined : grouping };
}

export function checkLabelReplace({ pattern }: Pick<LabelReplace, 'pattern'>): void {
  try {
    compileRe2(`^(?:${pattern})$`);
  } catch (cause) {
    throw parseError(`invalid regex in label_replace: ${messageOf(cause)}`);
  }
}

/** What Loki's own types are called, which its errors name. */
const typeNames = { log: '*syntax.MatchersExpr', pipeline: '*syntax.PipelineExpr' } as const;

function legOf(side: 'left' | 'right', op: BinaryOp, expr: Expr): MetricExpr {
  if (expr.kind === 'log') {
    const name = expr.stages.length === 0 ? typeNames.log : typeNames.pipeline;
    throw parseError(`unexpected type for ${side} leg of binary operation (${op}): ${name}`);
  }
  const logical = op === 'and' || op === 'or' || op === 'unless';
  if (logical && expr.kind === 'number')
    throw parseError(
      `unexpected literal for ${side} leg of logical/set binary operation (${op}): ${expr.value.toFixed(6)}`,
    );
  return expr;
}

/** Makes the node; an operation of two numbers is its result. */
export function binaryOf(
  op: BinaryOp,
  left: Expr,
  right: Expr,
  modifier: Pick<Binary, 'returnBool' | 'matching'>,
): MetricExpr {
  const [first, second] = [legOf('left', op, left), legOf('right', op, right)];
  if (first.kind === 'number' && second.kind === 'number')
    return { kind: 'number', value: arithmetic(op, first.value, second.value) };
  return { kind: 'binary', op, left: first, right: second, ...modifier };
}
