import type { VectorAggregation } from './ast.ts';
import { grouped, labelsKey, type Series, type SeriesLabels, type Times } from './value.ts';

/** Series put together, step by step. */
export function aggregate(
  expr: VectorAggregation,
  input: readonly Series[],
  times: Times,
): readonly Series[] {
  switch (expr.op) {
    case 'topk':
    case 'approx_topk':
      return largest(expr, input, times, (a, b) => a > b);
    case 'bottomk':
      return largest(expr, input, times, (a, b) => a < b);
    case 'sort':
    case 'sort_desc':
      return sorted(expr.op, input);
    default:
      return folded(expr, input, times);
  }
}

interface Group {
  readonly labels: SeriesLabels;
  readonly members: Series[];
}

function groupsOf({ grouping }: VectorAggregation, input: readonly Series[]): readonly Group[] {
  const by = grouping ?? { without: false, labels: [] };
  const groups = new Map<string, Group>();
  for (const series of input) {
    const labels = grouped(series.labels, by);
    const key = labelsKey(labels);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { labels, members: [series] });
    else group.members.push(series);
  }
  return [...groups.values()];
}

type Fold = (values: Float64Array) => number;

const total: Fold = (values) => values.reduce((sum, value) => sum + value, 0);

function mean(values: Float64Array): number {
  const sum = total(values);
  if (Number.isFinite(sum) || Number.isNaN(sum)) return sum / values.length;
  return values.reduce((average, value) => average + value / values.length, 0);
}

function variance(values: Float64Array): number {
  let [count, average, squares] = [0, 0, 0];
  for (const value of values) {
    count++;
    const delta = value - average;
    average += delta / count;
    squares += delta * (value - average);
  }
  return squares / count;
}

const extreme =
  (better: (a: number, b: number) => boolean): Fold =>
  (values) =>
    values.reduce((best, value) => (better(value, best) || Number.isNaN(best) ? value : best));

const folds: Readonly<Record<string, Fold>> = {
  sum: total,
  avg: mean,
  count: (values) => values.length,
  min: extreme((a, b) => a < b),
  max: extreme((a, b) => a > b),
  stdvar: variance,
  stddev: (values) => Math.sqrt(variance(values)),
};

function folded(expr: VectorAggregation, input: readonly Series[], times: Times): readonly Series[] {
  const fold = folds[expr.op];
  if (fold === undefined) throw new Error(`${expr.op} has passed the checks`);
  return groupsOf(expr, input).map(({ labels, members }) => {
    const values = new Float64Array(times.steps);
    const present = new Uint8Array(times.steps);
    const scratch = new Float64Array(members.length);
    for (let step = 0; step < times.steps; step++) {
      let count = 0;
      for (const member of members)
        if (member.present[step] === 1) scratch[count++] = member.values[step] ?? Number.NaN;
      if (count === 0) continue;
      values[step] = fold(scratch.subarray(0, count));
      present[step] = 1;
    }
    return { labels, values, present };
  });
}

/** The k series of each group that are best at a step, with their own labels; NaN is the worst. */
function largest(
  expr: VectorAggregation,
  input: readonly Series[],
  times: Times,
  better: (a: number, b: number) => boolean,
): readonly Series[] {
  const k = expr.parameter ?? 0;
  const order = (a: number, b: number): number => {
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return better(a, b) ? -1 : better(b, a) ? 1 : 0;
  };
  const kept = new Map<Series, Series>();
  for (const { members } of groupsOf(expr, input)) {
    for (let step = 0; step < times.steps; step++) {
      const here = members
        .filter(({ present }) => present[step] === 1)
        .sort((a, b) => order(a.values[step] ?? Number.NaN, b.values[step] ?? Number.NaN));
      for (const member of here.slice(0, k)) {
        const series = kept.get(member) ?? {
          ...{ labels: member.labels, values: member.values, present: new Uint8Array(times.steps) },
        };
        series.present[step] = 1;
        kept.set(member, series);
      }
    }
  }
  return [...kept.values()];
}

/** By the value of the first step; Loki sorts the answers of instant queries only. NaN is last. */
function sorted(op: 'sort' | 'sort_desc', input: readonly Series[]): readonly Series[] {
  const sign = op === 'sort' ? 1 : -1;
  return [...input].sort((one, other) => {
    const [a = Number.NaN, b = Number.NaN] = [one.values[0], other.values[0]];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return sign * (a < b ? -1 : a > b ? 1 : 0);
  });
}
