import type { ColumnFunction } from './column-windows.ts';
import { quantileOf } from './numbers.ts';

// Range functions whose next window is told from the one before: what comes in and what goes out. They give what
// functions/over-time.ts gives, bit for bit.

/** The largest (sign 1) or smallest (sign -1) value that is no NaN, and of equal ones the first. */
export function slidingExtreme(sign: 1 | -1): ColumnFunction {
  // Places of the samples that may yet be the best, the best one first.
  let queue = new Uint32Array(1024);
  return ({ values }, { from, to }, result) => {
    if (queue.length < values.length) queue = new Uint32Array(values.length * 2);
    let [head, tail, next] = [0, 0, 0];
    for (let step = 0; step < from.length; step++) {
      const [first, end] = [from[step] ?? 0, to[step] ?? 0];
      if (first >= end) continue;
      for (next = Math.max(next, first); next < end; next++) {
        const value = sign * (values[next] ?? 0);
        if (Number.isNaN(value)) continue;
        while (tail > head && sign * (values[queue[tail - 1] ?? 0] ?? 0) < value) tail--;
        queue[tail++] = next;
      }
      while (head < tail && (queue[head] ?? 0) < first) head++;
      result.values[step] = head < tail ? (values[queue[head] ?? 0] ?? 0) : Number.NaN;
      result.present[step] = 1;
    }
  };
}

/** How many samples of a window differ so from the one before them. */
export function slidingPairs(counts: (before: number, value: number) => boolean): ColumnFunction {
  let sums = new Uint32Array(1024);
  return ({ values }, { from, to }, result) => {
    if (sums.length < values.length) sums = new Uint32Array(values.length * 2);
    for (let index = 1; index < values.length; index++)
      sums[index] = (sums[index - 1] ?? 0) + Number(counts(values[index - 1] ?? 0, values[index] ?? 0));
    for (let step = 0; step < from.length; step++) {
      const [first, end] = [from[step] ?? 0, to[step] ?? 0];
      if (first >= end) continue;
      result.values[step] = (sums[end - 1] ?? 0) - (sums[first] ?? 0);
      result.present[step] = 1;
    }
  };
}

/** Quantiles of windows whose samples are kept in order. */
export function slidingQuantile(): ColumnFunction {
  const window = createSorted();
  return ({ values }, { from, to }, result, [quantiles]) => {
    let [start, end] = [0, 0];
    window.fill(values, 0, 0);
    for (let step = 0; step < from.length; step++) {
      const [first, last] = [from[step] ?? 0, to[step] ?? 0];
      if (first >= last) continue;
      // Where more changes than stays, sorting anew is quicker.
      if (first - start + last - end > (last - first) / 4) window.fill(values, first, last);
      else {
        for (; start < first; start++) window.remove(values[start] ?? 0);
        for (; end < last; end++) window.add(values[end] ?? 0);
      }
      [start, end] = [first, last];
      result.values[step] = quantileOf(quantiles?.[step] ?? Number.NaN, last - first, window.at);
      result.present[step] = 1;
    }
  };
}

/** Numbers in the order of Prometheus' quantiles: NaN first, -0 before 0. */
function createSorted() {
  let sorted = new Float64Array(1024);
  let size = 0;
  let nans = 0;
  /** Where the first number is that does not come before this one. */
  const placeOf = (value: number): number => {
    let [low, high] = [0, size];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (comesBefore(sorted[middle] ?? 0, value)) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const reserve = (count: number): void => {
    if (count <= sorted.length) return;
    const larger = new Float64Array(count * 2);
    larger.set(sorted.subarray(0, size));
    sorted = larger;
  };
  return {
    at: (place: number): number => (place < nans ? Number.NaN : (sorted[place - nans] ?? Number.NaN)),
    add: (value: number): void => {
      if (Number.isNaN(value)) return void nans++;
      reserve(size + 1);
      const place = placeOf(value);
      sorted.copyWithin(place + 1, place, size++);
      sorted[place] = value;
    },
    /** Of a number that is there. */
    remove: (value: number): void => {
      if (Number.isNaN(value)) return void nans--;
      const place = placeOf(value);
      sorted.copyWithin(place, place + 1, size--);
    },
    /** In the place of all. */
    fill: (values: Float64Array, from: number, to: number): void => {
      reserve(to - from);
      [size, nans] = [0, 0];
      for (let index = from; index < to; index++) {
        const value = values[index] ?? 0;
        if (Number.isNaN(value)) nans++;
        else sorted[size++] = value;
      }
      sorted.subarray(0, size).sort();
    },
  };
}

const comesBefore = (one: number, other: number): boolean =>
  one < other || (one === 0 && other === 0 && Object.is(one, -0) && !Object.is(other, -0));
