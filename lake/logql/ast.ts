/**
 * The syntax tree of LogQL: readonly nodes, discriminated on `kind`. It is what was written, with numbers, durations and
 * sizes read; compile.ts and plan.ts give it meaning.
 */
export type Expr = LogExpr | MetricExpr;
export type MetricExpr =
  | RangeAggregation
  | VectorAggregation
  | Binary
  | NumberLiteral
  | VectorLiteral
  | LabelReplace;

/** A stream selector and its pipeline: the query of lines. */
export interface LogExpr {
  readonly kind: 'log';
  readonly matchers: readonly Matcher[];
  readonly stages: readonly Stage[];
}

export type MatchOp = '=' | '!=' | '=~' | '!~';
export interface Matcher {
  readonly label: string;
  readonly op: MatchOp;
  readonly value: string;
}

export type Stage =
  | LineFilter
  | JsonStage
  | LogfmtStage
  | { readonly kind: 'regexp'; readonly pattern: string }
  | { readonly kind: 'pattern'; readonly pattern: string }
  | { readonly kind: 'unpack' }
  | { readonly kind: 'label-filter'; readonly filter: LabelFilter }
  | { readonly kind: 'line-format'; readonly template: string }
  | { readonly kind: 'label-format'; readonly formats: readonly LabelFormat[] }
  | { readonly kind: 'decolorize' }
  | { readonly kind: 'drop'; readonly labels: readonly LabelChoice[] }
  | { readonly kind: 'keep'; readonly labels: readonly LabelChoice[] };

export type LineFilterOp = '|=' | '!=' | '|~' | '!~' | '|>' | '!>';
/** One filter; its alternatives are joined by `or`, of a negated one none may match. */
export interface LineFilter {
  readonly kind: 'line-filter';
  readonly op: LineFilterOp;
  readonly alternatives: readonly LineAlternative[];
}
export interface LineAlternative {
  /** `ip` for `ip("10.0.0.0/8")`. */
  readonly kind: 'text' | 'ip';
  readonly value: string;
}

interface JsonStage {
  readonly kind: 'json';
  /** Empty: every field. */
  readonly expressions: readonly Extraction[];
}
export interface LogfmtStage {
  readonly kind: 'logfmt';
  readonly strict: boolean;
  readonly keepEmpty: boolean;
  readonly expressions: readonly Extraction[];
}
export interface Extraction {
  readonly label: string;
  readonly expression: string;
}

export type ComparisonOp = '==' | '!=' | '>' | '>=' | '<' | '<=';
export type LabelFilter =
  | { readonly kind: 'text'; readonly matcher: Matcher }
  | { readonly kind: 'number'; readonly label: string; readonly op: ComparisonOp; readonly value: number }
  | { readonly kind: 'duration'; readonly label: string; readonly op: ComparisonOp; readonly ns: number }
  | { readonly kind: 'bytes'; readonly label: string; readonly op: ComparisonOp; readonly bytes: number }
  | { readonly kind: 'ip'; readonly label: string; readonly op: '=' | '!='; readonly pattern: string }
  | {
      readonly kind: 'and' | 'or';
      readonly left: LabelFilter;
      readonly right: LabelFilter;
    };

export interface LabelFormat {
  readonly label: string;
  readonly from: { readonly kind: 'label' | 'template'; readonly text: string };
}

/** A label to drop or keep: all of that name, or those whose value matches. */
export interface LabelChoice {
  readonly label: string;
  readonly matcher: Matcher | undefined;
}

export type RangeOp =
  | 'count_over_time'
  | 'rate'
  | 'rate_counter'
  | 'bytes_over_time'
  | 'bytes_rate'
  | 'avg_over_time'
  | 'sum_over_time'
  | 'min_over_time'
  | 'max_over_time'
  | 'stdvar_over_time'
  | 'stddev_over_time'
  | 'quantile_over_time'
  | 'first_over_time'
  | 'last_over_time'
  | 'absent_over_time';

export interface Grouping {
  readonly without: boolean;
  readonly labels: readonly string[];
}

export interface RangeAggregation {
  readonly kind: 'range-aggregation';
  readonly op: RangeOp;
  /** The quantile of quantile_over_time. */
  readonly parameter: number | undefined;
  readonly range: LogRange;
  readonly grouping: Grouping | undefined;
}

export interface LogRange {
  readonly log: LogExpr;
  readonly unwrap: Unwrap | undefined;
  readonly rangeNs: number;
  readonly offsetNs: number;
}

export interface Unwrap {
  readonly label: string;
  readonly conversion: 'bytes' | 'duration' | 'duration_seconds' | undefined;
  /** Label filters after the unwrap. */
  readonly filters: readonly LabelFilter[];
}

export type VectorOp =
  | 'sum'
  | 'avg'
  | 'min'
  | 'max'
  | 'count'
  | 'stddev'
  | 'stdvar'
  | 'topk'
  | 'bottomk'
  | 'approx_topk'
  | 'sort'
  | 'sort_desc';

export interface VectorAggregation {
  readonly kind: 'vector-aggregation';
  readonly op: VectorOp;
  /** The k of topk, bottomk and approx_topk. */
  readonly parameter: number | undefined;
  readonly input: MetricExpr;
  readonly grouping: Grouping | undefined;
}

type SetOp = 'and' | 'or' | 'unless';
type ArithmeticOp = '+' | '-' | '*' | '/' | '%' | '^';
export type BinaryOp = SetOp | ArithmeticOp | ComparisonOp;
export interface Binary {
  readonly kind: 'binary';
  readonly op: BinaryOp;
  readonly left: MetricExpr;
  readonly right: MetricExpr;
  readonly returnBool: boolean;
  readonly matching: Matching | undefined;
}
export interface Matching {
  /** False for `ignoring`. */
  readonly on: boolean;
  readonly labels: readonly string[];
  /** Which side may have many; undefined when it is one to one. */
  readonly many: 'left' | 'right' | undefined;
  readonly include: readonly string[];
}

interface NumberLiteral {
  readonly kind: 'number';
  readonly value: number;
}
/** `vector(1)`. */
interface VectorLiteral {
  readonly kind: 'vector';
  readonly value: number;
}
export interface LabelReplace {
  readonly kind: 'label-replace';
  readonly input: MetricExpr;
  readonly target: string;
  readonly replacement: string;
  readonly source: string;
  readonly pattern: string;
}
