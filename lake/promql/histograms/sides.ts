import { kahanAdd } from '../numbers.ts';
import { boundOf } from './bounds.ts';
import type { Buckets, Histogram } from './histogram.ts';

/** Compensated counts of the buckets of one sign, by ascending index. */
export type Side = SideBucket[];

interface SideBucket {
  readonly index: number;
  sum: number;
  compensation: number;
}

export const sideOf = ({ indexes, counts }: Buckets): Side =>
  indexes.map((index, at) => ({ index, sum: counts[at] ?? 0, compensation: 0 }));

export const totalOf = (side: Side): Buckets => ({
  indexes: side.map(({ index }) => index),
  counts: side.map(({ sum, compensation }) => sum + compensation),
});

/** The bucket of the lower schema that a bucket falls into. */
const targetIndex = (index: number, from: number, to: number): number =>
  Math.floor((index - 1) / 2 ** (from - to)) + 1;

export function reduceResolution(side: Side, from: number, to: number): Side {
  const reduced: Side = [];
  for (const { index, sum, compensation } of side) {
    const target = targetIndex(index, from, to);
    const last = reduced.at(-1);
    if (last?.index !== target) reduced.push({ index: target, sum, compensation });
    else {
      kahanAdd(last, sum);
      kahanAdd(last, compensation);
    }
  }
  return reduced;
}

type Layout = Pick<Histogram, 'schema' | 'customValues' | 'zeroThreshold' | 'zeroCount'>;

/**
 * What the zero bucket would hold if it were as wide as `threshold`. A bucket that the threshold would split is taken in
 * whole, which makes the threshold its far bound.
 */
export function withinThreshold(
  layout: Layout,
  threshold: number,
  positive: Side,
  negative: Side,
  compensation = 0,
): { readonly sum: number; readonly compensation: number; readonly threshold: number } {
  if (threshold === layout.zeroThreshold) return { sum: layout.zeroCount, compensation, threshold };
  for (let wanted = threshold; ; ) {
    const acc = { sum: layout.zeroCount, compensation };
    const widened = takeIn(layout, positive, wanted, acc);
    const again = takeIn(layout, negative, widened, acc);
    // Widened by a negative bucket: the positive ones have to be looked at anew.
    if (again === widened) return { ...acc, threshold: widened };
    wanted = again;
  }
}

/** Adds the buckets of one side that begin below `threshold`; gives the threshold, widened to the end of the last. */
function takeIn(
  layout: Layout,
  side: Side,
  threshold: number,
  acc: { sum: number; compensation: number },
): number {
  for (const { index, sum, compensation } of side) {
    if (boundOf(index - 1, layout) >= threshold) break;
    kahanAdd(acc, sum);
    kahanAdd(acc, compensation);
    const far = boundOf(index, layout);
    if (far > threshold) return sum === 0 ? threshold : far;
  }
  return threshold;
}

/** Without the buckets that the zero bucket has taken in, and without those that hold nothing. */
export const trimBelow = (layout: Omit<Layout, 'zeroCount'>, side: Side): Side =>
  side.filter(
    ({ index, sum, compensation }) =>
      boundOf(index - 1, layout) >= layout.zeroThreshold && (sum !== 0 || compensation !== 0),
  );
