import type { ResetHint } from '../../model/native-histogram.ts';
import { kahanAdd } from '../numbers.ts';
import { boundOf } from './bounds.ts';
import { type Buckets, type Histogram, isCustom, noBuckets, sameBounds } from './histogram.ts';
import { reduceResolution, type Side, sideOf, totalOf, trimBelow, withinThreshold } from './sides.ts';

/** A running sum of histograms; each number in it is compensated as Kahan and Neumaier do. */
export interface HistogramSum {
  schema: number;
  count: Compensated;
  sum: Compensated;
  zeroThreshold: number;
  zeroCount: Compensated;
  positive: Side;
  negative: Side;
  customValues: readonly number[];
  hint: ResetHint;
}

interface Compensated {
  sum: number;
  compensation: number;
}

/** What an addition has to say besides its result. */
export interface Addition {
  /** One side had counted from a reset on, and the other surely not. */
  readonly collision: boolean;
  /** Custom bounds differed, and only those that both have are left. */
  readonly reconciled: boolean;
}

const compensated = (sum: number): Compensated => ({ sum, compensation: 0 });

export function newSum(first: Histogram): HistogramSum {
  const { schema, zeroThreshold, customValues, hint } = first;
  return {
    ...{ schema, zeroThreshold, customValues, hint },
    count: compensated(first.count),
    sum: compensated(first.sum),
    zeroCount: compensated(first.zeroCount),
    positive: sideOf(first.positive),
    negative: sideOf(first.negative),
  };
}

/** A sum that can be gone on with without changing `sum`. */
export const copySum = (sum: HistogramSum): HistogramSum => ({
  ...sum,
  count: { ...sum.count },
  sum: { ...sum.sum },
  zeroCount: { ...sum.zeroCount },
  positive: sum.positive.slice(),
  negative: sum.negative.slice(),
});

/** Every number times `factor`, compensations too. */
export function scaleSum(sum: HistogramSum, factor: (value: number) => number): void {
  const scale = ({ sum: value, compensation }: Compensated): Compensated => ({
    sum: factor(value),
    compensation: factor(compensation),
  });
  sum.count = scale(sum.count);
  sum.sum = scale(sum.sum);
  sum.zeroCount = scale(sum.zeroCount);
  for (const side of ['positive', 'negative'] as const)
    sum[side] = sum[side].map(({ index, ...value }) => ({ index, ...scale(value) }));
}

/** The histogram that a sum stands for. */
export function histogramOf(sum: HistogramSum): Histogram {
  const total = ({ sum: value, compensation }: Compensated): number => value + compensation;
  const { schema, zeroThreshold, customValues, hint } = sum;
  return {
    ...{ schema, zeroThreshold, customValues, hint },
    count: total(sum.count),
    sum: total(sum.sum),
    zeroCount: total(sum.zeroCount),
    positive: totalOf(sum.positive),
    negative: totalOf(sum.negative),
  };
}

/** True when a number in the sum has overflowed. */
export function hasOverflow({ count, sum, zeroCount, positive, negative }: HistogramSum): boolean {
  return [count, sum, zeroCount, ...positive, ...negative].some((value) => Math.abs(value.sum) === Infinity);
}

/**
 * Adds `sign` times `other`. Undefined when one has custom bounds and the other has not: nothing can be added then. Where
 * layouts differ, the coarser one holds: the lower schema, the wider zero bucket, the bounds that both have.
 */
export function addTo(sum: HistogramSum, other: Histogram, sign: 1 | -1): Addition | undefined {
  if (isCustom(sum) !== isCustom(other)) return undefined;
  const collision = adjustHint(sum, other.hint);
  const zeroCount = isCustom(other) ? 0 : reconcileZero(sum, other);
  kahanAdd(sum.zeroCount, sign * zeroCount);
  kahanAdd(sum.count, sign * other.count);
  kahanAdd(sum.sum, sign * other.sum);
  if (isCustom(sum) && !sameBounds(sum.customValues, other.customValues)) {
    addMismatched(sum, other, sign);
    return { collision, reconciled: true };
  }
  let { positive, negative } = other;
  if (other.schema < sum.schema) {
    sum.positive = reduceResolution(sum.positive, sum.schema, other.schema);
    sum.negative = reduceResolution(sum.negative, sum.schema, other.schema);
    sum.schema = other.schema;
  } else if (other.schema > sum.schema) {
    positive = totalOf(reduceResolution(sideOf(positive), other.schema, sum.schema));
    negative = totalOf(reduceResolution(sideOf(negative), other.schema, sum.schema));
  }
  sum.positive = mergeSide(sum, sum.positive, positive, sign);
  sum.negative = mergeSide(sum, sum.negative, negative, sign);
  return { collision, reconciled: false };
}

/** The hint of a sum; true when one side says "reset" and the other "no reset". */
function adjustHint(sum: HistogramSum, hint: ResetHint): boolean {
  if (sum.hint === hint || sum.hint === 'gauge') return false;
  if (hint === 'gauge') {
    sum.hint = 'gauge';
    return false;
  }
  const collision = sum.hint !== 'unknown' && hint !== 'unknown';
  sum.hint = 'unknown';
  return collision;
}

/** Makes both zero buckets equally wide; gives the other one's count then. */
function reconcileZero(sum: HistogramSum, other: Histogram): number {
  let { zeroThreshold, zeroCount } = other;
  while (zeroThreshold !== sum.zeroThreshold) {
    if (sum.zeroThreshold > zeroThreshold) {
      const wider = withinThreshold(other, sum.zeroThreshold, sideOf(other.positive), sideOf(other.negative));
      zeroThreshold = wider.threshold;
      zeroCount = wider.sum;
    }
    if (zeroThreshold > sum.zeroThreshold) {
      const layout = { ...sum, zeroThreshold: sum.zeroThreshold, zeroCount: sum.zeroCount.sum };
      const start = sum.zeroCount.compensation;
      const wider = withinThreshold(layout, zeroThreshold, sum.positive, sum.negative, start);
      sum.zeroCount = { sum: wider.sum, compensation: wider.compensation };
      sum.zeroThreshold = wider.threshold;
      sum.positive = trimBelow(sum, sum.positive);
      sum.negative = trimBelow(sum, sum.negative);
    }
  }
  return zeroCount;
}

/** Adds buckets of the same schema; those that lie within the zero bucket have been counted there. */
function mergeSide(sum: HistogramSum, side: Side, { indexes, counts }: Buckets, sign: 1 | -1): Side {
  if (counts.length === 0) return side;
  const merged: Side = [];
  let at = 0;
  let below = !isCustom(sum) && sum.zeroThreshold > 0;
  indexes.forEach((index, from) => {
    if (below && boundOf(index, sum) <= sum.zeroThreshold) return;
    below = false;
    for (let next = side[at]; next && next.index < index; next = side[++at]) merged.push(next);
    const count = sign * (counts[from] ?? 0);
    const same = side[at];
    if (same?.index !== index) merged.push({ index, sum: count, compensation: 0 });
    else {
      const added = { ...same };
      kahanAdd(added, count);
      merged.push(added);
      at++;
    }
  });
  return merged.concat(side.slice(at));
}

/** Custom bounds that differ: counts go to the buckets between the bounds that both have. */
function addMismatched(sum: HistogramSum, other: Histogram, sign: 1 | -1): void {
  const theirs = new Set(other.customValues);
  const bounds = sum.customValues.filter((bound) => theirs.has(bound));
  const targets = Array.from({ length: bounds.length + 1 }, () => compensated(0));
  const put = (side: Side, from: readonly number[], factor: 1 | -1): void => {
    let target = 0;
    for (const { index, sum: value, compensation } of side) {
      const bound = from[index] ?? Infinity;
      while (target < bounds.length && (bounds[target] ?? Infinity) < bound) target++;
      const into = targets[target];
      if (into === undefined) continue;
      kahanAdd(into, factor * value);
      if (compensation !== 0) kahanAdd(into, factor * compensation);
    }
  };
  put(sum.positive, sum.customValues, 1);
  put(sideOf(other.positive), other.customValues, sign);
  sum.positive = targets.flatMap((value, index) =>
    value.sum === 0 && value.compensation === 0 ? [] : [{ index, ...value }],
  );
  sum.customValues = bounds;
}

/** A result with what is to be said about it. */
interface Combined extends Addition {
  readonly histogram: Histogram;
}

/** `left + sign * right`; undefined when their schemas do not go together. */
export function combine(left: Histogram, right: Histogram, sign: 1 | -1): Combined | undefined {
  const sum = newSum(left);
  const addition = addTo(sum, right, sign);
  return addition && { ...addition, histogram: histogramOf(sum) };
}

/** The histogram at a lower (coarser) schema. */
export function atSchema(histogram: Histogram, schema: number): Histogram {
  if (schema === histogram.schema) return histogram;
  const reduce = (buckets: Buckets): Buckets =>
    buckets === noBuckets ? buckets : totalOf(reduceResolution(sideOf(buckets), histogram.schema, schema));
  return {
    ...histogram,
    ...{
      schema,
      hint: 'unknown',
      positive: reduce(histogram.positive),
      negative: reduce(histogram.negative),
    },
  };
}
