import { canonicalLabels, type Label, type Labels } from '../model/labels.ts';
import {
  type AggregateOp,
  type BinaryOp,
  type Expr,
  type Extension,
  type Matcher,
  type Matching,
  type Shift,
  type Span,
  selectorMatchers,
  type VectorSelector,
} from './ast.ts';
import { defaultSubqueryStepMs } from './limits.ts';
import { durationMs } from './plan-duration.ts';
import { typeOf, type ValueType } from './signatures.ts';

/**
 * A query resolved against its times: every duration is milliseconds, `@ start()` is a timestamp, every selector names
 * a scan, and what gives the same at every step is wrapped in `once`. A plan is plain data (JSON prints it).
 */
export interface Plan {
  readonly root: PlanNode;
  readonly type: ValueType;
  readonly times: Times;
  readonly scans: readonly Scan[];
  /** The steps of every subquery. */
  readonly grids: readonly Times[];
  readonly lookbackMs: number;
}

/** The points of time at which a node is evaluated: startMs + n * stepMs for n below steps. */
export interface Times {
  readonly startMs: number;
  readonly stepMs: number;
  readonly steps: number;
}

/** What a selector reads; both ends inclusive. */
interface Scan {
  readonly matchers: readonly Matcher[];
  readonly fromMs: number;
  readonly toMs: number;
}

/** Where a node looks at step time t: at `(atMs ?? t) - offsetMs`. */
export interface Reference {
  readonly offsetMs: number;
  readonly atMs: number | undefined;
}

export type PlanNode =
  | { readonly kind: 'number'; readonly value: number; readonly span: Span }
  | { readonly kind: 'string'; readonly value: string; readonly span: Span }
  | InstantNode
  | WindowNode
  | SubqueryNode
  | CallNode
  | AggregationNode
  | BinaryNode
  | { readonly kind: 'negate'; readonly type: ValueType; readonly input: PlanNode; readonly span: Span }
  /** Evaluated at the first step only; its value holds at every step. */
  | { readonly kind: 'once'; readonly type: ValueType; readonly input: PlanNode; readonly span: Span };

export interface InstantNode extends Reference {
  readonly kind: 'instant';
  readonly scan: number;
  /** Of native histograms only count, sum or average are looked at. */
  readonly statistics: boolean;
  readonly smoothed: boolean;
  readonly span: Span;
}

export interface WindowNode extends Reference {
  readonly kind: 'window';
  readonly scan: number;
  readonly statistics: boolean;
  readonly rangeMs: number;
  readonly extension: Extension | undefined;
  readonly span: Span;
}

export interface SubqueryNode extends Reference {
  readonly kind: 'subquery';
  readonly input: PlanNode;
  readonly rangeMs: number;
  /** When the input is evaluated, for all steps of the outer query together. */
  readonly times: Times;
  readonly span: Span;
}

export interface CallNode {
  readonly kind: 'call';
  readonly name: string;
  readonly type: ValueType;
  readonly args: readonly PlanNode[];
  /** What absent() and absent_over_time() answer with: the labels that the selector pins. */
  readonly pinned: Labels;
  /** info(): what its second argument asks for. */
  readonly info: InfoSelection | undefined;
  readonly span: Span;
}

export interface InfoSelection extends Reference {
  readonly scan: number;
  readonly nameMatchers: readonly Matcher[];
  readonly dataMatchers: readonly Matcher[];
}

export interface AggregationNode {
  readonly kind: 'aggregation';
  readonly op: AggregateOp;
  readonly without: boolean;
  readonly grouping: readonly string[];
  readonly parameter: PlanNode | undefined;
  readonly input: PlanNode;
  readonly span: Span;
}

export interface BinaryNode {
  readonly kind: 'binary';
  readonly op: BinaryOp;
  readonly type: ValueType;
  readonly left: PlanNode;
  readonly right: PlanNode;
  readonly leftType: ValueType;
  readonly rightType: ValueType;
  readonly returnBool: boolean;
  readonly matching: Matching;
  readonly span: Span;
}

/** The times a query asks for; an instant query has `endMs = startMs` and `stepMs = 0`. */
export interface QueryTimes {
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
}

interface Planner {
  readonly query: QueryTimes;
  readonly lookbackMs: number;
  readonly scans: Scan[];
  readonly grids: Times[];
  /** What the calls around the node that is being planned look at of native histograms. */
  looksAt: 'all' | 'statistics' | 'buckets';
}

/** Resolves a checked expression; throws PromqlError `execution` for durations that come out as none. */
export function planQuery(expr: Expr, query: QueryTimes, lookbackMs: number): Plan {
  const planner: Planner = { query, lookbackMs, scans: [], grids: [], looksAt: 'all' };
  const times = timesOf(query);
  const root = wrapped(planner, expr, times);
  return { root, type: typeOf(expr), times, scans: planner.scans, grids: planner.grids, lookbackMs };
}

/** The steps of a query. */
function timesOf({ startMs, endMs, stepMs }: QueryTimes): Times {
  if (stepMs <= 0) return { startMs, stepMs: 1, steps: 1 };
  return { startMs, stepMs, steps: Math.floor((endMs - startMs) / stepMs) + 1 };
}

const lastMs = ({ startMs, stepMs, steps }: Times): number => startMs + (steps - 1) * stepMs;

/** Functions whose result changes with the time of evaluation even when their arguments do not. */
const timeDependent: ReadonlySet<string> = new Set(
  'days_in_month day_of_month day_of_week day_of_year hour minute month year predict_linear time timestamp'.split(
    ' ',
  ),
);

const unparen = (expr: Expr): Expr => (expr.kind === 'paren' ? unparen(expr.input) : expr);

/** Whether an expression gives the same at every step. */
function invariant(expr: Expr): boolean {
  switch (expr.kind) {
    case 'number':
    case 'string':
      return true;
    case 'vector':
    case 'subquery':
      return expr.shift.at !== undefined;
    case 'range':
      return expr.selector.shift.at !== undefined;
    case 'paren':
    case 'unary':
      return invariant(expr.input);
    case 'aggregation':
      return invariant(expr.input) && (expr.parameter === undefined || invariant(expr.parameter));
    case 'binary':
      return invariant(expr.left) && invariant(expr.right);
    case 'call': {
      const args = expr.args.map(unparen);
      // timestamp() of a selector is the time of its sample, and so as constant as the selector.
      const ofSelector = expr.name === 'timestamp' && args.every(({ kind }) => kind === 'vector');
      return (ofSelector || !timeDependent.has(expr.name)) && args.every(invariant);
    }
  }
}

/** Plans a node whose value is wanted at every step. */
function wrapped(planner: Planner, expr: Expr, times: Times): PlanNode {
  const inner = unparen(expr);
  const type = typeOf(inner);
  const constant = inner.kind === 'number' || type === 'string' || type === 'matrix';
  if (constant || times.steps === 1 || !invariant(inner)) return planExpr(planner, inner, times);
  const input = planExpr(planner, inner, { ...times, steps: 1 });
  return { kind: 'once', type, input, span: inner.span };
}

const statisticFunctions: ReadonlySet<string> = new Set([
  'histogram_avg',
  'histogram_count',
  'histogram_sum',
]);
const bucketFunctions: ReadonlySet<string> = new Set([
  'histogram_fraction',
  'histogram_quantile',
  'histogram_quantiles',
]);

/** Whoever needs the buckets, near or far, has them read; a subquery needs them to see resets. */
function looksAt(expr: Expr): Planner['looksAt'] {
  if (expr.kind === 'subquery') return 'buckets';
  if (expr.kind === 'binary') return expr.op === '</' || expr.op === '>/' ? 'buckets' : 'all';
  if (expr.kind !== 'call') return 'all';
  if (statisticFunctions.has(expr.name)) return 'statistics';
  return bucketFunctions.has(expr.name) ? 'buckets' : 'all';
}

function planExpr(planner: Planner, expr: Expr, times: Times): PlanNode {
  const outer = planner.looksAt;
  const own = looksAt(expr);
  if (outer !== 'buckets' && own !== 'all') planner.looksAt = own;
  const node = planNode(planner, expr, times);
  planner.looksAt = outer;
  return node;
}

function planNode(planner: Planner, expr: Expr, times: Times): PlanNode {
  const { span } = expr;
  switch (expr.kind) {
    case 'number':
      return { kind: 'number', value: expr.value, span };
    case 'string':
      return { kind: 'string', value: expr.value, span };
    case 'paren':
      return planExpr(planner, expr.input, times);
    case 'unary': {
      const input = planExpr(planner, expr.input, times);
      return expr.op === '-' ? { kind: 'negate', type: typeOf(expr), input, span } : input;
    }
    case 'vector':
      return planInstant(planner, expr, times);
    case 'range': {
      const { selector } = expr;
      const rangeMs = durationMs(planner.query, expr.range, false);
      const reference = resolve(planner, selector.shift);
      const scan = addScan(planner, selector, reference, times, rangeMs);
      const statistics = planner.looksAt === 'statistics';
      return { kind: 'window', scan, statistics, rangeMs, extension: selector.extension, ...reference, span };
    }
    case 'subquery':
      return planSubquery(planner, expr, times);
    case 'call':
      return planCall(planner, expr, times);
    case 'aggregation': {
      const { op, without, grouping } = expr;
      const parameter = expr.parameter && wrapped(planner, expr.parameter, times);
      return {
        kind: 'aggregation',
        op,
        without,
        grouping,
        parameter,
        input: wrapped(planner, expr.input, times),
        span,
      };
    }
    case 'binary':
      return {
        kind: 'binary',
        op: expr.op,
        type: typeOf(expr),
        left: wrapped(planner, expr.left, times),
        right: wrapped(planner, expr.right, times),
        leftType: typeOf(expr.left),
        rightType: typeOf(expr.right),
        returnBool: expr.returnBool,
        matching: expr.matching,
        span,
      };
  }
}

function planInstant(planner: Planner, expr: VectorSelector, times: Times): InstantNode {
  const reference = resolve(planner, expr.shift);
  const scan = addScan(planner, expr, reference, times, undefined);
  const statistics = planner.looksAt === 'statistics';
  const smoothed = expr.extension === 'smoothed';
  return { kind: 'instant', scan, statistics, smoothed, ...reference, span: expr.span };
}

function planSubquery(planner: Planner, expr: Expr & { kind: 'subquery' }, times: Times): SubqueryNode {
  const rangeMs = durationMs(planner.query, expr.range, false);
  const stepMs = expr.step ? durationMs(planner.query, expr.step, false) : defaultSubqueryStepMs;
  const reference = resolve(planner, expr.shift);
  const { atMs, offsetMs } = reference;
  const endMs = (atMs ?? lastMs(times)) - offsetMs;
  // The first multiple of the step after the start of the range.
  const afterMs = (atMs ?? times.startMs) - offsetMs - rangeMs;
  const startMs = (Math.floor(afterMs / stepMs) + 1) * stepMs;
  const steps = Math.max(0, Math.floor((endMs - startMs) / stepMs) + 1);
  const inner = { startMs, stepMs, steps };
  planner.grids.push(inner);
  const input = wrapped(planner, expr.input, inner);
  return { kind: 'subquery', input, rangeMs, times: inner, ...reference, span: expr.span };
}

function planCall(planner: Planner, expr: Expr & { kind: 'call' }, times: Times): PlanNode {
  const { name, span } = expr;
  const constant = contextConstant(planner.query, name);
  if (constant !== undefined) return { kind: 'number', value: constant, span };
  const args = expr.args.map(unparen);
  const selector = args[0];
  const pinned =
    selector?.kind === 'vector'
      ? pinnedLabels(selector)
      : selector?.kind === 'range'
        ? pinnedLabels(selector.selector)
        : [];
  // timestamp() looks into a selector, at the times of its samples.
  const looksInside = name === 'timestamp' || name === 'start_timestamp';
  const planned = (name === 'info' ? args.slice(0, 1) : args).map((arg) =>
    looksInside && arg.kind === 'vector' ? planInstant(planner, arg, times) : wrapped(planner, arg, times),
  );
  const info = name === 'info' ? planInfo(planner, args, times) : undefined;
  return { kind: 'call', name, type: typeOf(expr), args: planned, pinned, info, span };
}

/** start(), end(), range() and step() are numbers as soon as the query's times are known; in seconds. */
function contextConstant({ startMs, endMs, stepMs }: QueryTimes, name: string): number | undefined {
  switch (name) {
    case 'start':
      return startMs / 1000;
    case 'end':
      return endMs / 1000;
    case 'range':
      return (endMs - startMs) / 1000;
    case 'step':
      return startMs === endMs ? 0 : stepMs / 1000;
    default:
      return undefined;
  }
}

/** The labels that a selector pins to one value; one that is matched twice is not pinned. */
function pinnedLabels(selector: VectorSelector): Labels {
  const pinned = new Map<string, string>();
  const seen = new Set<string>();
  for (const { label, op, value } of selectorMatchers(selector)) {
    if (label === '__name__') continue;
    if (op === '=' && !seen.has(label)) pinned.set(label, value);
    else pinned.delete(label);
    seen.add(label);
  }
  return canonicalLabels([...pinned].map((label): Label => label));
}

function planInfo(planner: Planner, args: readonly Expr[], times: Times): InfoSelection {
  const asked = args[1]?.kind === 'vector' ? args[1].matchers : [];
  const named = asked.filter(({ label }) => label === '__name__');
  const dataMatchers = asked.filter(({ label }) => label !== '__name__');
  const positive = named.some(({ op }) => op === '=' || op === '=~');
  let nameMatchers: readonly Matcher[] = named;
  if (named.length === 0) nameMatchers = [{ label: '__name__', op: '=', value: 'target_info' }];
  else if (!positive) nameMatchers = [{ label: '__name__', op: '=~', value: '.+_info' }, ...named];
  const reference = infoReference(planner, args[0], { offsetMs: 0, atMs: undefined });
  const matchers = [...nameMatchers, ...dataMatchers];
  const scan = pushScan(planner, scanOf(matchers, reference, times, planner.lookbackMs));
  return { scan, nameMatchers, dataMatchers, ...reference };
}

/** Info series are looked up where the first selector of the first argument looks. */
function infoReference(planner: Planner, expr: Expr | undefined, outer: Reference): Reference {
  if (expr === undefined) return outer;
  switch (expr.kind) {
    case 'vector': {
      const own = resolve(planner, expr.shift);
      if (own.atMs !== undefined) return own;
      return { offsetMs: own.offsetMs + outer.offsetMs, atMs: outer.atMs };
    }
    case 'range':
      return infoReference(planner, expr.selector, outer);
    case 'subquery': {
      const own = resolve(planner, expr.shift);
      const next = own.atMs === undefined ? { ...outer, offsetMs: own.offsetMs + outer.offsetMs } : own;
      return infoReference(planner, expr.input, next);
    }
    case 'paren':
    case 'unary':
    case 'aggregation':
      return infoReference(planner, expr.input, outer);
    case 'binary':
      return infoReference(planner, expr.left, outer);
    case 'call':
      return infoReference(
        planner,
        expr.args.find(({ kind }) => kind !== 'number' && kind !== 'string'),
        outer,
      );
    case 'number':
    case 'string':
      return outer;
  }
}

function resolve(planner: Planner, shift: Shift): Reference {
  const { startMs, endMs } = planner.query;
  const offsetMs = shift.offset ? durationMs(planner.query, shift.offset, true) : 0;
  switch (shift.at?.kind) {
    case 'start':
      return { offsetMs, atMs: startMs };
    case 'end':
      return { offsetMs, atMs: endMs };
    case 'time':
      return { offsetMs, atMs: shift.at.timestampMs };
    case undefined:
      return { offsetMs, atMs: undefined };
  }
}

function addScan(
  planner: Planner,
  selector: VectorSelector,
  reference: Reference,
  times: Times,
  rangeMs: number | undefined,
): number {
  const { lookbackMs } = planner;
  const { extension } = selector;
  const backMs = (rangeMs ?? lookbackMs) + (rangeMs !== undefined && extension ? lookbackMs : 0);
  const scan = scanOf(selectorMatchers(selector), reference, times, backMs);
  return pushScan(planner, extension === 'smoothed' ? { ...scan, toMs: scan.toMs + lookbackMs } : scan);
}

/** Ranges and lookback are open on the left: a sample exactly `backMs` ago is out. */
function scanOf(
  matchers: readonly Matcher[],
  { atMs, offsetMs }: Reference,
  times: Times,
  backMs: number,
): Scan {
  return {
    matchers,
    fromMs: (atMs ?? times.startMs) - offsetMs - backMs + 1,
    toMs: (atMs ?? lastMs(times)) - offsetMs,
  };
}

/** Selectors that read the same series over overlapping times share one scan. */
function pushScan(planner: Planner, scan: Scan): number {
  const key = JSON.stringify(scan.matchers);
  const index = planner.scans.findIndex(
    (other) =>
      JSON.stringify(other.matchers) === key && other.fromMs <= scan.toMs && scan.fromMs <= other.toMs,
  );
  const same = planner.scans[index];
  if (same === undefined) return planner.scans.push(scan) - 1;
  planner.scans[index] = {
    matchers: scan.matchers,
    fromMs: Math.min(same.fromMs, scan.fromMs),
    toMs: Math.max(same.toMs, scan.toMs),
  };
  return index;
}
