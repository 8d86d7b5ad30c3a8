import type { Labels } from '../model/labels.ts';
import { type Evaluation, evaluateVector } from './evaluation.ts';
import { windowFunctions } from './functions/over-time.ts';
import { eachOverWindows } from './over-windows.ts';
import type { AggregationNode, PlanNode, Times } from './plan.ts';
import { isEmpty, labelsKey, newSeries, type StepSeries } from './value.ts';

// Aggregations that take series one by one and keep none of them, so that what a range function gives for thousands of
// series need never be held.

type Fold = (sum: Folded, series: StepSeries) => void;

/** What the series so far come to, at each step. */
interface Folded extends Pick<StepSeries, 'values' | 'present'> {
  /** Of sums, what rounding has taken. */
  readonly compensations: Float64Array;
}

interface Group extends Folded {
  readonly labels: Labels;
  dropName: boolean;
}

const folds: Readonly<Partial<Record<AggregationNode['op'], Fold>>> = {
  sum: addUp,
  count: folded(1, (count) => count + 1),
  group: folded(1, () => 1),
  min: folded(undefined, (least, value) => (least > value || Number.isNaN(least) ? value : least)),
  max: folded(undefined, (most, value) => (most < value || Number.isNaN(most) ? value : most)),
};

/** Undefined for what is not folded: other aggregations, and series with native histograms. */
export async function foldGroups(
  evaluation: Evaluation,
  { op, input }: AggregationNode,
  labelsOf: (labels: Labels) => Labels,
  times: Times,
): Promise<readonly StepSeries[] | undefined> {
  const fold = folds[op];
  if (fold === undefined) return undefined;
  const groups = new Map<string, Group>();
  let hasHistograms = false;
  await eachSeries(evaluation, input, times, (series) => {
    hasHistograms = series.histograms !== undefined;
    if (hasHistograms) return false;
    const labels = labelsOf(series.labels);
    const key = labelsKey(labels);
    let group = groups.get(key);
    if (group === undefined) {
      evaluation.budget.charge(times.steps);
      const { values, present } = newSeries(labels, false, times.steps);
      group = { labels, dropName: false, values, present, compensations: new Float64Array(times.steps) };
      groups.set(key, group);
    }
    if (series.dropName) group.dropName = true;
    fold(group, series);
    return true;
  });
  if (hasHistograms) return undefined;
  for (const group of groups.values()) compensate(group);
  return Array.from(groups.values(), ({ labels, dropName, values, present }) => ({
    ...{ labels, dropName, values, present },
  })).filter((one) => !isEmpty(one));
}

/** Folds series that are there already; false for other aggregations. */
export function foldMembers(
  op: AggregationNode['op'],
  members: readonly StepSeries[],
  { values, present }: StepSeries,
): boolean {
  const fold = folds[op];
  if (fold === undefined) return false;
  const sum = { values, present, compensations: new Float64Array(values.length) };
  for (const member of members) fold(sum, member);
  compensate(sum);
  return true;
}

/** Gives back what rounding has taken. */
function compensate({ values, compensations }: Folded): void {
  for (let step = 0; step < values.length; step++)
    values[step] = (values[step] ?? 0) + (compensations[step] ?? 0);
}

/** The series of an instant vector until `take` says false; those of a range function one after the other in the same memory. */
export async function eachSeries(
  evaluation: Evaluation,
  node: PlanNode,
  times: Times,
  take: (series: StepSeries) => boolean,
): Promise<void> {
  const isRange = node.kind === 'call' && Object.hasOwn(windowFunctions, node.name);
  if (isRange && node.name !== 'absent_over_time') {
    const { values, present } = newSeries([], false, times.steps);
    const reused = (labels: Labels, dropName: boolean): StepSeries => {
      present.fill(0);
      return { labels, dropName, values, present };
    };
    return eachOverWindows(evaluation, node, times, reused, take);
  }
  for (const series of await evaluateVector(evaluation, node, times)) {
    if (evaluation.budget.due()) await evaluation.budget.pause();
    if (!take(series)) return;
  }
}

/** Folds values in the order of the series; without `first` the first value itself starts. */
function folded(first: number | undefined, step: (accumulated: number, value: number) => number): Fold {
  return ({ values: out, present: seen }, { values, present }) => {
    for (let index = 0; index < out.length; index++) {
      if (present[index] !== 1) continue;
      const value = values[index] ?? 0;
      out[index] = seen[index] === 1 ? step(out[index] ?? 0, value) : (first ?? value);
      seen[index] = 1;
    }
  };
}

/** Adds values as kahanAdd of numbers.ts does. */
function addUp({ values: out, present: seen, compensations }: Folded, { values, present }: StepSeries): void {
  for (let index = 0; index < out.length; index++) {
    if (present[index] !== 1) continue;
    const value = values[index] ?? 0;
    if (seen[index] !== 1) {
      out[index] = value;
      seen[index] = 1;
      continue;
    }
    const before = out[index] ?? 0;
    const total = before + value;
    const compensation = compensations[index] ?? 0;
    if (total === Infinity || total === -Infinity) compensations[index] = 0;
    else if (Math.abs(before) >= Math.abs(value))
      compensations[index] = compensation + (before - total + value);
    else compensations[index] = compensation + (value - total + before);
    out[index] = total;
  }
}
