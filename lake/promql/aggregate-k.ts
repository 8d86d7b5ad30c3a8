import type { Group } from './aggregate.ts';
import type { Budget } from './budget.ts';
import { executionError } from './errors.ts';
import type { Evaluation } from './evaluation.ts';
import { eachSeries } from './fold-groups.ts';
import { labelsHash } from './hash.ts';
import { printGeneral } from './literals.ts';
import { extremes } from './numbers.ts';
import type { AggregationNode, Times } from './plan.ts';
import { copySample, isEmpty, newSeries, type StepSeries } from './value.ts';

/** topk, bottomk, limitk and limit_ratio keep some series of each group, anew at every step. */
export async function aggregateK(
  evaluation: Evaluation,
  node: AggregationNode,
  groups: readonly Group[],
  input: readonly StepSeries[],
  parameters: Float64Array,
  times: Times,
): Promise<readonly StepSeries[]> {
  if (!checkParameters(evaluation, node, parameters)) return [];
  const { budget } = evaluation;
  const found: StepSeries[] = [];
  for (const { members } of groups) {
    const best = bestFor(node, members, parameters, times.steps);
    if (best) {
      for (const [index, member] of members.entries()) {
        if (budget.due()) await budget.pause();
        best.offer(member, index);
      }
      found.push(...best.series(members, budget));
      continue;
    }
    const kept = new Map<StepSeries, StepSeries>();
    for (let step = 0; step < times.steps; step++) {
      if (budget.due()) await budget.pause();
      const parameter = parameters[step] ?? Number.NaN;
      for (const member of choose(evaluation, node, members, step, parameter, input.length)) {
        let series = kept.get(member);
        if (series === undefined) {
          budget.charge(times.steps);
          series = newSeries(member.labels, member.dropName, times.steps);
          kept.set(member, series);
        }
        copySample(series, step, member);
      }
    }
    found.push(...kept.values());
  }
  return found.filter((one) => !isEmpty(one));
}

/** False when nothing can be kept at any step; throws for parameters that are no count. */
function checkParameters(
  { annotations }: Evaluation,
  node: AggregationNode,
  parameters: Float64Array,
): boolean {
  const nan = parameters.some(Number.isNaN);
  const { least, most } = extremes(parameters);
  if (node.op === 'limit_ratio') {
    if (most === 0 && least === 0) return false;
    if (nan) throw executionError('Ratio value is NaN');
    const span = node.parameter?.span ?? node.span;
    const warn = (ratio: number, to: number): void =>
      annotations.warn(
        `ratio value should be between -1 and 1, got ${printGeneral(ratio)}, capping to ${to}`,
        span,
      );
    if (most > 1) warn(most, 1);
    if (least < -1) warn(least, -1);
    return true;
  }
  if (most < 1 && !nan) return false;
  if (nan) throw executionError('Parameter value is NaN');
  if (least <= -(2 ** 63)) throw executionError(`Scalar value ${printGeneral(least)} underflows int64`);
  if (most >= 2 ** 63) throw executionError(`Scalar value ${printGeneral(most)} overflows int64`);
  return true;
}

function choose(
  { annotations }: Evaluation,
  { op, span }: AggregationNode,
  members: readonly StepSeries[],
  step: number,
  parameter: number,
  total: number,
): readonly StepSeries[] {
  const present = members.filter((one) => one.present[step] === 1);
  if (op === 'limit_ratio') {
    const ratio = Math.max(-1, Math.min(1, parameter));
    return present.filter(({ labels }) => {
      const offset = Number(labelsHash(labels)) / 2 ** 64;
      return ratio >= 0 ? offset < ratio : offset >= 1 + ratio;
    });
  }
  const k = Math.min(Math.trunc(parameter), total);
  if (k < 1) return [];
  if (op === 'limitk') return present.slice(0, k);
  const floats = present.filter(({ histograms }) => histograms?.[step] === undefined);
  if (floats.length < present.length) annotations.inform(`ignored histogram in ${op} aggregation`, span);
  return largest(floats, step, k, op === 'topk' ? 1 : -1);
}

/**
 * topk and bottomk of all series, which come one by one and of which only the best are kept. Undefined for other
 * aggregations, and for series with native histograms.
 */
export async function foldBest(
  evaluation: Evaluation,
  node: AggregationNode,
  parameters: Float64Array,
  times: Times,
): Promise<readonly StepSeries[] | undefined> {
  if (node.without || node.grouping.length > 0) return undefined;
  const best = bestFor(node, undefined, parameters, times.steps);
  if (!best || !checkParameters(evaluation, node, parameters)) return undefined;
  const members: Member[] = [];
  let hasHistograms = false;
  await eachSeries(evaluation, node.input, times, (series) => {
    const { labels, dropName, histograms } = series;
    hasHistograms = histograms !== undefined;
    if (!hasHistograms) best.offer(series, members.push({ labels, dropName }) - 1);
    return !hasHistograms;
  });
  return hasHistograms ? undefined : best.series(members, evaluation.budget);
}

/** Values of a heap at each step that are kept at once. */
const heapValuesMax = 2_000_000;

type Member = Pick<StepSeries, 'labels' | 'dropName'>;

interface Best {
  /** Looks at all steps of a series at once, because they lie side by side. */
  offer(series: StepSeries, index: number): void;
  /** What is left of the members, in the order in which they are chosen. */
  series(members: readonly Member[], budget: Budget): readonly StepSeries[];
}

/** What `largest` gives at each step, for all steps together. Undefined where that is not possible. */
function bestFor(
  { op }: AggregationNode,
  members: readonly StepSeries[] | undefined,
  parameters: Float64Array,
  steps: number,
): Best | undefined {
  if (op !== 'topk' && op !== 'bottomk') return undefined;
  const kMax = Math.min(Math.trunc(extremes(parameters).most), members?.length ?? Infinity);
  if (kMax * steps > heapValuesMax || members?.some(({ histograms }) => histograms)) return undefined;
  const sign = op === 'topk' ? 1 : -1;
  const heaps = Array.from({ length: steps }, (_, step) => newHeap(Math.trunc(parameters[step] ?? 0)));
  return {
    offer: ({ values, present }, index) => {
      for (let step = 0; step < steps; step++) {
        if (present[step] !== 1) continue;
        const heap = heaps[step];
        if (heap) offer(heap, sign * (values[step] ?? 0), index);
      }
    },
    series: (members, budget) => {
      const kept = new Map<number, StepSeries>();
      for (const [step, heap] of heaps.entries())
        for (const place of inOrder(heap)) {
          const index = heap.indexes[place] ?? -1;
          let series = kept.get(index);
          if (series === undefined) {
            const { labels = [], dropName = false } = members[index] ?? {};
            budget.charge(steps);
            series = newSeries(labels, dropName, steps);
            kept.set(index, series);
          }
          series.values[step] = sign * (heap.values[place] ?? 0);
          series.present[step] = 1;
        }
      return [...kept.values()];
    },
  };
}

/**
 * The k largest values, in a binary heap with the worst on top like Go's, so that the choice among equal values is
 * Prometheus' choice.
 */
interface Heap {
  readonly k: number;
  readonly values: number[];
  readonly indexes: number[];
}

const newHeap = (k: number): Heap => ({ k, values: [], indexes: [] });

const worse = (one: number, other: number): boolean => Number.isNaN(one) || one < other;

function offer({ k, values, indexes }: Heap, value: number, index: number): void {
  if (k < 1) return;
  if (values.length < k) {
    let child = values.push(value) - 1;
    indexes.push(index);
    for (let parent = (child - 1) >> 1; child > 0; parent = (child - 1) >> 1) {
      if (!worse(values[child] ?? 0, values[parent] ?? 0)) break;
      swap(values, child, parent);
      swap(indexes, child, parent);
      child = parent;
    }
    return;
  }
  const top = values[0] ?? Number.NaN;
  if (!(top < value || (Number.isNaN(top) && !Number.isNaN(value)))) return;
  values[0] = value;
  indexes[0] = index;
  for (let parent = 0; ; ) {
    let child = 2 * parent + 1;
    if (child >= values.length) break;
    if (child + 1 < values.length && worse(values[child + 1] ?? 0, values[child] ?? 0)) child++;
    if (!worse(values[child] ?? 0, values[parent] ?? 0)) break;
    swap(values, child, parent);
    swap(indexes, child, parent);
    parent = child;
  }
}

function swap(array: number[], i: number, j: number): void {
  const one = array[i] ?? 0;
  array[i] = array[j] ?? 0;
  array[j] = one;
}

/** Places in the heap, best first and NaN last. */
function inOrder({ values }: Heap): readonly number[] {
  return [...values.keys()].sort((one, other) => {
    const [a, b] = [values[one] ?? 0, values[other] ?? 0];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return b - a;
  });
}

/** The k largest (sign 1) or smallest (sign -1), best first and NaN last. */
function largest(
  candidates: readonly StepSeries[],
  step: number,
  k: number,
  sign: 1 | -1,
): readonly StepSeries[] {
  const heap = newHeap(k);
  for (const [index, { values }] of candidates.entries()) offer(heap, sign * (values[step] ?? 0), index);
  return inOrder(heap).flatMap((place) => candidates[heap.indexes[place] ?? -1] ?? []);
}
