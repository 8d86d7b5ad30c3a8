import type { Group } from './aggregate.ts';
import { executionError } from './errors.ts';
import type { Evaluation } from './evaluation.ts';
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
  const kept = new Map<StepSeries, StepSeries>();
  for (const { members } of groups) {
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
  }
  return [...kept.values()].filter((one) => !isEmpty(one));
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
 * The k largest (sign 1) or smallest (sign -1), best first and NaN last, kept in a binary heap with the worst on top
 * like Go's, so that the choice among equal values is Prometheus' choice.
 */
function largest(
  candidates: readonly StepSeries[],
  step: number,
  k: number,
  sign: 1 | -1,
): readonly StepSeries[] {
  const signed = (series: StepSeries | undefined): number => sign * (series?.values[step] ?? Number.NaN);
  const worse = (one: number, other: number): boolean => Number.isNaN(one) || one < other;
  const heap: StepSeries[] = [];
  const less = (i: number, j: number): boolean => worse(signed(heap[i]), signed(heap[j]));
  const swap = (i: number, j: number): void => {
    const [one, other] = [heap[i], heap[j]];
    if (one && other) [heap[i], heap[j]] = [other, one];
  };
  for (const candidate of candidates) {
    if (heap.length < k) {
      let child = heap.push(candidate) - 1;
      for (let parent = (child - 1) >> 1; child > 0 && less(child, parent); parent = (child - 1) >> 1) {
        swap(child, parent);
        child = parent;
      }
      continue;
    }
    const top = signed(heap[0]);
    const value = signed(candidate);
    if (!(top < value || (Number.isNaN(top) && !Number.isNaN(value)))) continue;
    heap[0] = candidate;
    for (let parent = 0; ; ) {
      let child = 2 * parent + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && less(child + 1, child)) child++;
      if (!less(child, parent)) break;
      swap(child, parent);
      parent = child;
    }
  }
  return heap.sort((one, other) => {
    const [a, b] = [signed(one), signed(other)];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return b - a;
  });
}
