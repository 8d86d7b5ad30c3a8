import fc from 'fast-check';

// PromQL queries by its grammar, over the series of promql-data.ts. Functions whose last digit depends on the library of
// the language (logarithms, sines, powers) stand only outermost, so that nothing multiplies what they differ by.

const duration = fc.constantFrom('30s', '1m', '2m', '5m', '7m13s', '20m');
const shift = fc.oneof(
  { weight: 6, arbitrary: fc.constant('') },
  fc.constantFrom(' offset 1m', ' offset 7m', ' offset -2m', ' @ start()', ' @ end() offset 3m'),
);
const matchers = fc.constantFrom(
  ...['', '{job="api"}', '{job!="web"}', '{job=~"a.*|db"}', '{instance!~"1|2"}', '{job="api",instance="0"}'],
  ...['{job="none"}', '{job=~".+",instance=""}', '{nothing=""}'],
);
const gauge = fc.tuple(fc.constant('temperature'), matchers).map((parts) => parts.join(''));
const counter = fc
  .tuple(fc.constantFrom('requests_total', 'latency_bucket'), matchers)
  .map((parts) => parts.join(''));
const native = fc.tuple(fc.constant('duration'), matchers).map((parts) => parts.join(''));
const grouping = fc.constantFrom(
  ...['', ' by (job)', ' by (instance)', ' by (job, instance)', ' by (none)'],
  ...[' without (instance)', ' without (job, le)', ' by (le, job)'],
);
const number = fc.constantFrom('0', '1', '2', '-3.5', '0.25', '22', '1e3', 'NaN', 'Inf', '-Inf');
const quantile = fc.constantFrom('0', '0.25', '0.5', '0.9', '0.99', '1', '-1', '2', 'NaN');

const gaugeRanges = ['avg', 'min', 'max', 'sum', 'count', 'stddev', 'stdvar', 'present'].map(
  (name) => `${name}_over_time`,
);
const overGauge = fc.constantFrom(...gaugeRanges, 'delta', 'deriv', 'idelta', 'changes', 'resets');
// What Prometheus 3.5 sees otherwise than later versions is asked where it does not matter: mad_over_time of NaN, names
// that last_over_time keeps over subqueries.
const overCounter = fc.constantFrom(
  ...['rate', 'increase', 'irate', 'resets', 'changes', 'avg_over_time', 'mad_over_time', 'last_over_time'],
);

const { vector } = fc.letrec<{ vector: string; scalar: string; range: string; histogram: string }>((tie) => ({
  scalar: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    number,
    fc.constantFrom('time()', 'pi()'),
    tie('vector').map((inner) => `scalar(${inner})`),
    fc
      .tuple(tie('scalar'), fc.constantFrom('+', '-', '*', '/', '> bool', '== bool'), tie('scalar'))
      .map(([left, op, right]) => `(${left} ${op} ${right})`),
  ),
  range: fc.oneof(
    {
      weight: 4,
      arbitrary: fc.tuple(gauge, duration, shift).map(([one, span, when]) => `${one}[${span}]${when}`),
    },
    fc
      .tuple(tie('vector'), duration, fc.constantFrom('', '30s', '1m17s'), shift)
      .map(([inner, span, step, when]) => `(${inner})[${span}:${step}]${when}`),
  ),
  vector: fc.oneof(
    { maxDepth: 3, depthIdentifier: 'vector' },
    fc.tuple(fc.oneof(gauge, counter), shift).map((parts) => parts.join('')),
    fc
      .tuple(overCounter, counter, duration, shift)
      .map(([name, one, span, when]) => `${name}(${one}[${span}]${when})`),
    fc.tuple(overGauge, tie('range')).map(([name, range]) => `${name}(${range})`),
    fc.tuple(quantile, tie('range')).map(([q, range]) => `quantile_over_time(${q}, ${range})`),
    fc.tuple(tie('range'), number).map(([range, seconds]) => `predict_linear(${range}, ${seconds})`),
    fc.tuple(tie('range')).map(([range]) => `double_exponential_smoothing(${range}, 0.3, 0.6)`),
    fc.tuple(fc.constantFrom('absent_over_time'), tie('range')).map(([name, range]) => `${name}(${range})`),
    fc
      .tuple(
        fc.constantFrom('sum', 'avg', 'min', 'max', 'count', 'group', 'stddev', 'stdvar'),
        grouping,
        tie('vector'),
      )
      .map(([op, by, inner]) => `${op}${by} (${inner})`),
    fc
      .tuple(
        fc.constantFrom('topk', 'bottomk', 'quantile'),
        grouping,
        fc.constantFrom('1', '2', '0.5', '0'),
        // Of equal values Prometheus keeps the first, and only selectors have an order there.
        fc.oneof(gauge, counter),
      )
      .map(([op, by, parameter, inner]) => `${op}${by} (${parameter}, ${inner})`),
    fc.tuple(grouping, tie('vector')).map(([by, inner]) => `count_values${by} ("value", round(${inner}))`),
    fc
      .tuple(
        fc.constantFrom('abs', 'ceil', 'floor', 'sgn', 'absent', 'timestamp', 'sqrt', '-'),
        tie('vector'),
      )
      .map(([name, inner]) => `${name}(${inner})`),
    fc.tuple(tie('vector'), number, number).map((args) => `clamp(${args.join(', ')})`),
    fc.tuple(tie('vector'), fc.constantFrom('1', '0.5', '10')).map((args) => `round(${args.join(', ')})`),
    fc
      .tuple(
        tie('vector'),
        fc.constantFrom('+', '-', '*', '/', '%', '>', '<=', '==', '!= bool', '>= bool'),
        tie('scalar'),
      )
      .map(([left, op, right]) => `(${left} ${op} ${right})`),
    fc
      .tuple(
        tie('vector'),
        fc.constantFrom('+', '-', '*', '/', '%', '>', '<', '==', '>= bool', 'and', 'or', 'unless'),
        fc.constantFrom('', ' on (job, instance)', ' on (job)', ' ignoring (le)', ' ignoring (instance)'),
        tie('vector'),
      )
      .map(([left, op, matching, right]) => `(${left} ${op}${matching} ${right})`),
    tie('vector').map((inner) => `(${inner} * on (job) group_left (team) job_info)`),
    fc
      .tuple(tie('vector'), fc.constantFrom('"host", "$2-$1", "job", "(.)(.*)"', '"job", "", "job", ".*"'))
      .map(([inner, rest]) => `label_replace(${inner}, ${rest})`),
    tie('vector').map((inner) => `label_join(${inner}, "both", "/", "job", "instance")`),
    fc.tuple(quantile, tie('histogram')).map(([q, inner]) => `histogram_quantile(${q}, ${inner})`),
  ),
  histogram: fc.oneof(
    fc.constant('latency_bucket'),
    duration.map((span) => `sum by (le, job) (rate(latency_bucket[${span}]))`),
    tie('vector'),
  ),
}));

/** Native histograms down to one number. */
const nativeVector = fc.oneof(
  fc.tuple(native, shift).map((parts) => parts.join('')),
  fc
    .tuple(
      fc.constantFrom('rate', 'increase', 'irate', 'sum_over_time', 'avg_over_time', 'last_over_time'),
      native,
      duration,
    )
    .map(([name, one, span]) => `${name}(${one}[${span}])`),
);
const nativeQuery = fc
  .tuple(
    fc.constantFrom(
      ...[
        'histogram_count(X)',
        'histogram_sum(X)',
        'histogram_avg(X)',
        'histogram_stddev(X)',
        'X',
        'count(X)',
      ],
      ...[
        'histogram_quantile(0.9, X)',
        'histogram_quantile(0.2, X)',
        'histogram_fraction(0.5, 4, X)',
        'X * 2',
      ],
      ...['sum by (job) (X)', 'avg(X)', 'histogram_quantile(0.5, sum by (job) (X))', 'X / 4', '-X', 'X == X'],
    ),
    nativeVector,
  )
  .map(([shape, inner]) => shape.replaceAll('X', inner));

const rough = fc.constantFrom(
  ...['ln(X)', 'log2(X)', 'log10(X)', 'exp(X / 30)', 'sin(X)', 'cos(X)', 'tan(X)', 'sinh(X / 20)', 'atan(X)'],
  ...[
    'asinh(X)',
    'deg(X)',
    'rad(X)',
    'X ^ 2',
    '2 ^ (X / 10)',
    'X atan2 3',
    'hour(X)',
    'day_of_week(X * 1e5)',
  ],
  ...['minute(timestamp(X))', 'year(X * 1e7)', 'month(X * 1e6)', 'days_in_month(X * 1e6)', 'sort_desc(X)'],
);

const query = fc.oneof(
  { weight: 8, arbitrary: vector },
  {
    weight: 1,
    arbitrary: fc.tuple(rough, vector).map(([shape, inner]) => shape.replaceAll('X', `(${inner})`)),
  },
  { weight: 1, arbitrary: nativeQuery },
);

/** As many different queries, the same ones for the same seed. */
export function sampleQueries(count: number, seed: number): readonly string[] {
  const found = new Set<string>();
  for (let round = 0; found.size < count; round++)
    for (const one of fc.sample(query, { numRuns: count, seed: seed + round }))
      if (found.size < count) found.add(one);
  return [...found];
}
