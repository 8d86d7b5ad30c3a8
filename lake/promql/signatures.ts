import type { Expr } from './ast.ts';

export type ValueType = 'scalar' | 'vector' | 'matrix' | 'string';

/** What a function takes and gives. */
export interface Signature {
  readonly args: readonly ValueType[];
  /** 0: exactly `args`; n: the last argument 0 to n times; -1: the last argument any number of times. */
  readonly variadic: number;
  readonly result: ValueType;
}

/** `names: arguments repeat -> result`; repeat is `?` (the last one is optional), `*` (any number) or a count. */
const table = `
abs acos acosh asin asinh atan atanh ceil cos cosh deg exp floor ln log10 log2 rad sgn sin sinh sqrt tan tanh: vector -> vector
absent sort sort_desc timestamp start_timestamp: vector -> vector
histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar: vector -> vector
absent_over_time avg_over_time changes count_over_time delta deriv first_over_time idelta increase irate last_over_time: matrix -> vector
mad_over_time max_over_time min_over_time present_over_time rate resets stddev_over_time stdvar_over_time sum_over_time: matrix -> vector
ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time: matrix -> vector
days_in_month day_of_month day_of_week day_of_year hour minute month year: vector ? -> vector
clamp: vector,scalar,scalar -> vector
clamp_max clamp_min: vector,scalar -> vector
round: vector,scalar ? -> vector
double_exponential_smoothing: matrix,scalar,scalar -> vector
predict_linear: matrix,scalar -> vector
quantile_over_time: scalar,matrix -> vector
histogram_fraction: scalar,scalar,vector -> vector
histogram_quantile: scalar,vector -> vector
histogram_quantiles: vector,string,scalar,scalar 9 -> vector
info: vector,vector ? -> vector
label_replace: vector,string,string,string,string -> vector
label_join: vector,string,string,string * -> vector
sort_by_label sort_by_label_desc: vector,string * -> vector
max_of min_of: scalar,scalar -> scalar
end pi range start step time: -> scalar
scalar: vector -> scalar
vector: scalar -> vector
`;

export const signatures: ReadonlyMap<string, Signature> = new Map(
  table
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [names = '', type = ''] = line.split(':');
      const [left = '', result = ''] = type.split('->');
      const [args = '', repeat = ''] = left.trim().split(' ');
      const signature: Signature = {
        args: args === '' ? [] : (args.split(',') as ValueType[]),
        variadic: repeat === '' ? 0 : repeat === '?' ? 1 : repeat === '*' ? -1 : Number(repeat),
        result: result.trim() as ValueType,
      };
      return names.split(' ').map((name) => [name, signature] as const);
    }),
);

/** The type of an expression; sound once check.ts has passed it. */
export function typeOf(expr: Expr): ValueType {
  switch (expr.kind) {
    case 'number':
      return 'scalar';
    case 'string':
      return 'string';
    case 'vector':
    case 'aggregation':
      return 'vector';
    case 'range':
    case 'subquery':
      return 'matrix';
    case 'call':
      return signatures.get(expr.name)?.result ?? 'vector';
    case 'binary':
      return typeOf(expr.left) === 'scalar' && typeOf(expr.right) === 'scalar' ? 'scalar' : 'vector';
    case 'unary':
    case 'paren':
      return typeOf(expr.input);
  }
}

/** A type as the documentation calls it. */
export function typeName(type: ValueType): string {
  return { vector: 'instant vector', matrix: 'range vector', scalar: 'scalar', string: 'string' }[type];
}
