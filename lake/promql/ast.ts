/**
 * The syntax tree of PromQL: readonly nodes, discriminated on `kind`. It is what was written (durations are still
 * expressions, `@ start()` is still a word); plan.ts resolves it against the times of one query.
 */
export type Expr =
  | NumberLiteral
  | StringLiteral
  | VectorSelector
  | RangeSelector
  | Subquery
  | Call
  | Aggregation
  | Binary
  | Unary
  | Paren;

/** Offsets into the query text (UTF-16 code units), `end` exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

interface NumberLiteral {
  readonly kind: 'number';
  readonly value: number;
  /** True when it was written as a duration (`5m`); the value is in seconds. */
  readonly duration: boolean;
  readonly span: Span;
}

interface StringLiteral {
  readonly kind: 'string';
  readonly value: string;
  readonly span: Span;
}

export interface Matcher {
  readonly label: string;
  readonly op: MatchOp;
  readonly value: string;
}
export type MatchOp = '=' | '!=' | '=~' | '!~';

export interface VectorSelector {
  readonly kind: 'vector';
  /** The metric name written before the braces, or ''. */
  readonly name: string;
  /** As written inside the braces; without the one that `name` implies (see selectorMatchers). */
  readonly matchers: readonly Matcher[];
  readonly shift: Shift;
  /** How a window is completed at its borders, from samples outside it. */
  readonly extension: Extension | undefined;
  readonly span: Span;
}
export type Extension = 'anchored' | 'smoothed';

/** `selector[range]`; its `@` and `offset` are those of the selector. */
interface RangeSelector {
  readonly kind: 'range';
  readonly selector: VectorSelector;
  readonly range: Duration;
  readonly span: Span;
}

interface Subquery {
  readonly kind: 'subquery';
  readonly input: Expr;
  readonly range: Duration;
  readonly step: Duration | undefined;
  readonly shift: Shift;
  readonly span: Span;
}

/** Where in time a selector or subquery looks. */
export interface Shift {
  readonly offset: Duration | undefined;
  readonly at: At | undefined;
}
type At =
  | { readonly kind: 'time'; readonly timestampMs: number }
  | { readonly kind: 'start' }
  | { readonly kind: 'end' };

export interface Call {
  readonly kind: 'call';
  readonly name: string;
  readonly args: readonly Expr[];
  readonly span: Span;
}

export type AggregateOp =
  | 'sum'
  | 'avg'
  | 'count'
  | 'min'
  | 'max'
  | 'group'
  | 'stddev'
  | 'stdvar'
  | 'topk'
  | 'bottomk'
  | 'count_values'
  | 'quantile'
  | 'limitk'
  | 'limit_ratio';

export interface Aggregation {
  readonly kind: 'aggregation';
  readonly op: AggregateOp;
  readonly without: boolean;
  readonly grouping: readonly string[];
  readonly parameter: Expr | undefined;
  readonly input: Expr;
  readonly span: Span;
}

export type SetOp = 'and' | 'or' | 'unless';
type ComparisonOp = '==' | '!=' | '<' | '>' | '<=' | '>=';
type ArithmeticOp = '+' | '-' | '*' | '/' | '%' | '^' | 'atan2' | '</' | '>/';
export type BinaryOp = SetOp | ComparisonOp | ArithmeticOp;

export interface Binary {
  readonly kind: 'binary';
  readonly op: BinaryOp;
  readonly left: Expr;
  readonly right: Expr;
  readonly returnBool: boolean;
  readonly matching: Matching;
  readonly span: Span;
}

export interface Matching {
  /** True for `on (...)`, false for `ignoring (...)` and for no clause (ignoring nothing). */
  readonly on: boolean;
  readonly labels: readonly string[];
  /** Which side may have several series a group: `group_left` says left. */
  readonly group: 'left' | 'right' | undefined;
  /** Labels that the many side takes over from the one side. */
  readonly include: readonly string[];
  readonly fillLeft: number | undefined;
  readonly fillRight: number | undefined;
}

interface Unary {
  readonly kind: 'unary';
  readonly op: '+' | '-';
  readonly input: Expr;
  readonly span: Span;
}

interface Paren {
  readonly kind: 'paren';
  readonly input: Expr;
  readonly span: Span;
}

/** A length of time as written; a plain one is `seconds`. */
export type Duration =
  | { readonly kind: 'seconds'; readonly value: number; readonly duration: boolean; readonly span: Span }
  | { readonly kind: 'step' | 'range'; readonly span: Span }
  | {
      readonly kind: 'min_of' | 'max_of';
      readonly left: Duration;
      readonly right: Duration;
      readonly span: Span;
    }
  | { readonly kind: 'negative' | 'group'; readonly input: Duration; readonly span: Span }
  | {
      readonly kind: 'arithmetic';
      readonly op: DurationOp;
      readonly left: Duration;
      readonly right: Duration;
      readonly span: Span;
    };
export type DurationOp = '+' | '-' | '*' | '/' | '%' | '^';

export const comparisonOps: ReadonlySet<string> = new Set<ComparisonOp>(['==', '!=', '<', '>', '<=', '>=']);
/** Their results are of another kind than what they are computed from, so the metric name no longer holds. */
export const renamingOps: ReadonlySet<string> = new Set<ArithmeticOp>([
  '+',
  '-',
  '*',
  '/',
  '%',
  '^',
  'atan2',
]);
export const setOps: ReadonlySet<string> = new Set<SetOp>(['and', 'or', 'unless']);
/** Aggregations that take a parameter before the vector. */
export const parameterOps: ReadonlySet<string> = new Set<AggregateOp>([
  'topk',
  'bottomk',
  'count_values',
  'quantile',
  'limitk',
  'limit_ratio',
]);

/** The matchers of a selector, with the one that the name before the braces implies. */
export function selectorMatchers(selector: VectorSelector): readonly Matcher[] {
  if (selector.name === '') return selector.matchers;
  return [...selector.matchers, { label: '__name__', op: '=', value: selector.name }];
}
