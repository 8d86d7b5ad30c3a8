// Queries for the differential test that are made by combining: the same on every run.

function pairs<A, B>(left: readonly A[], right: readonly B[]): (readonly [A, B])[] {
  return left.flatMap((a) => right.map((b) => [a, b] as const));
}

const integers = ['0', '1', '-7', '12', '2147483647'];
const doubles = ["'0.5'::float8", "'-2.25'::float8", "'1e10'::float8"];
const texts = ["''", "'a'", "'Zebra'", "'ä€'", "'10'"];
const days = ["date '2024-02-29'", "date '1999-12-31'", "date '2026-11-21'"];
const instants = [
  "timestamp '2024-02-29 23:59:59.999999'",
  "timestamp '1970-01-01'",
  "timestamp '2026-11-21 05:30:15'",
];
const intervals = ["interval '1 day'", "interval '-90 minutes'", "interval '1 month 3 days'"];
const fields = ['year', 'month', 'day', 'hour', 'minute', 'dow', 'doy', 'week', 'quarter', 'decade'];
const units = ['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'];
const comparisons = ['=', '<>', '<', '>='];
const list = (items: readonly string[]): string =>
  `(values ${items.map((item) => `(${item})`).join(',')}) t(x)`;

/** Each is a whole statement. */
export function generatedQueries(): readonly string[] {
  return [
    ...pairs(pairs(integers, integers), ['+', '-', '/', '%']).map(
      ([[a, b], op]) => `select (${a}) ${op} (${b})`,
    ),
    ...pairs(pairs(doubles, doubles), ['+', '*', '/']).map(([[a, b], op]) => `select ${a} ${op} ${b}`),
    ...pairs(pairs(integers, doubles), ['*']).map(([[a, b], op]) => `select (${a}) ${op} ${b}`),
    ...pairs(texts, comparisons).map(
      ([a, op]) => `select x ${op} ${a} from ${list(texts)} order by x collate "C"`,
    ),
    ...pairs(texts, ['upper', 'lower', 'length', 'reverse', 'md5', 'octet_length']).map(
      ([a, f]) => `select ${f}(${a})`,
    ),
    ...pairs(days, intervals).map(([day, by]) => `select ${day} + ${by}, ${day} - ${by}`),
    ...pairs(instants, intervals).map(([at, by]) => `select ${at} + ${by}, ${at} - ${by}`),
    ...pairs(instants, instants).map(([a, b]) => `select ${a} - ${b}, ${a} < ${b}`),
    ...pairs(instants, fields).map(
      ([at, field]) => `select extract(${field} from ${at}), date_part('${field}', ${at})`,
    ),
    ...pairs(instants, units).map(
      ([at, unit]) => `select date_trunc('${unit}', ${at}), date_trunc('${unit}', ${at}::timestamptz)`,
    ),
    ...pairs(['1', '-3', '2.5'], intervals).map(([n, by]) => `select ${n} * ${by}`),
    ...pairs(['sum', 'min', 'max', 'count'], [integers, doubles]).map(
      ([f, of]) => `select ${f}(x) from ${list(of)}`,
    ),
    ...pairs(['rank()', 'row_number()', 'sum(x)', 'count(*)', 'max(x)'], ['', ' desc', ' nulls first']).map(
      ([f, order]) =>
        `select x, ${f} over (order by x${order}) from ${list([...integers, 'null', '3'])} order by 1, 2`,
    ),
    ...pairs(integers, ['int2', 'int8', 'float8', 'text', 'numeric', 'bool']).map(
      ([n, type]) => `select (${n})::${type}`,
    ),
    ...pairs(['asc', 'desc'], ['first', 'last']).map(
      ([direction, nulls]) =>
        `select x from ${list([...integers, 'null'])} order by x ${direction} nulls ${nulls}`,
    ),
  ];
}
