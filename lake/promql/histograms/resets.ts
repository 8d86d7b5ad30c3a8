import { boundOf } from './bounds.ts';
import { type Buckets, type Histogram, isCustom, sameBounds } from './histogram.ts';
import { reduceResolution, sideOf, totalOf, withinThreshold } from './sides.ts';

/** Whether counts went back to zero between two samples, as Prometheus tells it: by the hint, else by any count. */
export function detectReset(current: Histogram, previous: Histogram): boolean {
  if (current.hint === 'yes') return true;
  return current.hint === 'no' ? false : countsFell(current, previous);
}

function countsFell(current: Histogram, previous: Histogram): boolean {
  if (current.count < previous.count) return true;
  if (isCustom(current)) {
    if (!isCustom(previous)) return true;
    if (!sameBounds(current.customValues, previous.customValues)) return mismatchedFell(current, previous);
  }
  if (current.schema > previous.schema || current.zeroThreshold < previous.zeroThreshold) return true;
  const positive = sideOf(previous.positive);
  const negative = sideOf(previous.negative);
  const zero = withinThreshold(previous, current.zeroThreshold, positive, negative);
  if (zero.threshold !== current.zeroThreshold || current.zeroCount < zero.sum) return true;
  return (['positive', 'negative'] as const).some((side) => {
    const before = reduceResolution(
      side === 'positive' ? positive : negative,
      previous.schema,
      current.schema,
    );
    return bucketsFell(beyondZero(current, current[side]), beyondZero(current, totalOf(before)));
  });
}

/** Buckets that reach beyond the zero bucket of `layout`. */
function beyondZero(layout: Histogram, buckets: Buckets): Buckets {
  if (isCustom(layout) || layout.zeroThreshold === 0) return buckets;
  const from = buckets.indexes.findIndex((index) => boundOf(index, layout) > layout.zeroThreshold);
  if (from === 0) return buckets;
  return from < 0
    ? { indexes: [], counts: [] }
    : { indexes: buckets.indexes.slice(from), counts: buckets.counts.slice(from) };
}

function bucketsFell(current: Buckets, previous: Buckets): boolean {
  let at = 0;
  return previous.indexes.some((index, from) => {
    const before = previous.counts[from] ?? 0;
    while (at < current.indexes.length && (current.indexes[at] ?? 0) < index) at++;
    return current.indexes[at] === index ? (current.counts[at] ?? 0) < before : before !== 0;
  });
}

/** Custom bounds that differ: compared by the counts up to each bound that both have, and of the rest. */
function mismatchedFell(current: Histogram, previous: Histogram): boolean {
  const theirs = new Set(previous.customValues);
  const common = [...current.customValues.filter((bound) => theirs.has(bound)), Infinity];
  const [now, before] = [current, previous].map(({ positive, customValues }) => {
    const sums = common.map(() => 0);
    positive.indexes.forEach((index, at) => {
      const bound = customValues[index] ?? Infinity;
      const target = common.findIndex((one) => one >= bound);
      sums[target] = (sums[target] ?? 0) + (positive.counts[at] ?? 0);
    });
    return sums;
  }) as [number[], number[]];
  return now.some((sum, index) => sum < (before[index] ?? 0));
}

/**
 * The hint that Prometheus' storage gives a sample when it is read: what follows in one run of samples that only grow is
 * "no reset", and what starts a run is not known. `previous` is the sample before it, if that was a live histogram.
 */
export function storedHint(current: Histogram, previous: Histogram | undefined): Histogram['hint'] {
  if (current.hint === 'gauge') return 'gauge';
  if (previous === undefined || previous.hint === 'gauge' || current.hint === 'yes') return 'unknown';
  const sameLayout =
    current.schema === previous.schema &&
    current.zeroThreshold === previous.zeroThreshold &&
    sameBounds(current.customValues, previous.customValues);
  return sameLayout && !countsFell(current, previous) ? 'no' : 'unknown';
}
