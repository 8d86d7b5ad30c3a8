import type { ColumnFunction } from './column-windows.ts';

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
