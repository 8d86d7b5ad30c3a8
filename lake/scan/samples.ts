import { pickSamples, type SeriesData } from '../promql/source.ts';

/** Samples of one series, side by side. */
export type Samples = Omit<SeriesData, 'labels'>;

/** Those of one kind put among those of another, in the order of time; of two at a timestamp a histogram stays. */
export function mergeSamples(one: Samples, other?: Samples): Samples {
  const all = other ? joinSamples(one, other) : one;
  const { timestampsMs, histograms } = all;
  const order = Array.from(timestampsMs.keys()).sort(
    (left, right) =>
      (timestampsMs[left] ?? 0) - (timestampsMs[right] ?? 0) ||
      Number(histograms?.[left] === undefined) - Number(histograms?.[right] === undefined),
  );
  const kept = order.filter((index, at) => timestampsMs[index] !== timestampsMs[order[at - 1] ?? -1]);
  return pickSamples(all, Uint32Array.from(kept));
}

function joinSamples(one: Samples, other: Samples): Samples {
  const joined = (left: Float64Array, right: Float64Array): Float64Array => {
    const both = new Float64Array(left.length + right.length);
    both.set(left);
    both.set(right, left.length);
    return both;
  };
  const none = ({ values }: Samples): Float64Array => new Float64Array(values.length);
  const empty = ({ values }: Samples): undefined[] => new Array<undefined>(values.length).fill(undefined);
  return {
    timestampsMs: joined(one.timestampsMs, other.timestampsMs),
    values: joined(one.values, other.values),
    ...((one.startsMs || other.startsMs) && {
      startsMs: joined(one.startsMs ?? none(one), other.startsMs ?? none(other)),
    }),
    ...((one.histograms || other.histograms) && {
      histograms: [...(one.histograms ?? empty(one)), ...(other.histograms ?? empty(other))],
    }),
  };
}

/**
 * Brings samples into the order of time, with one a timestamp: of several the one with the largest value, because their
 * order is open. DuckDB's threads give a series in a few ascending pieces; these are put in order, and single samples
 * are only where pieces overlap. Values are moved by array, which keeps NaN payloads (staleness markers).
 */
export function inOrder(samples: Samples): Samples {
  const starts = pieceStarts(samples.timestampsMs);
  if (starts.length === 1) return samples;
  return withoutRepeats(join(samples, starts));
}

/** Where a timestamp is not after the one before it. */
function pieceStarts(timestampsMs: Float64Array): readonly number[] {
  const starts = [0];
  for (let index = 1; index < timestampsMs.length; index++)
    if (!((timestampsMs[index - 1] ?? 0) < (timestampsMs[index] ?? 0))) starts.push(index);
  return starts;
}

interface Piece {
  readonly from: number;
  readonly to: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

function join(samples: Samples, starts: readonly number[]): Samples {
  const { timestampsMs } = samples;
  const pieces = starts
    .map((from, index): Piece => {
      const to = starts[index + 1] ?? timestampsMs.length;
      return { from, to, firstMs: timestampsMs[from] ?? 0, lastMs: timestampsMs[to - 1] ?? 0 };
    })
    .sort((one, other) => one.firstMs - other.firstMs || one.from - other.from);
  const overlap = pieces.some((piece, index) => piece.firstMs < (pieces[index - 1]?.lastMs ?? -Infinity));
  return overlap ? sortAll(samples) : concatenate(samples, pieces);
}

function concatenate({ timestampsMs, values }: Samples, pieces: readonly Piece[]): Samples {
  const sorted = { timestampsMs: new Float64Array(values.length), values: new Float64Array(values.length) };
  let at = 0;
  for (const { from, to } of pieces) {
    sorted.timestampsMs.set(timestampsMs.subarray(from, to), at);
    sorted.values.set(values.subarray(from, to), at);
    at += to - from;
  }
  return sorted;
}

function sortAll({ timestampsMs, values }: Samples): Samples {
  // An Array, because its sort finds ascending runs and is stable.
  const order = Array.from(timestampsMs.keys()).sort(
    (one, other) => (timestampsMs[one] ?? 0) - (timestampsMs[other] ?? 0) || one - other,
  );
  const bits = new BigUint64Array(values.buffer, values.byteOffset, values.length);
  const sortedBits = BigUint64Array.from(order, (index) => bits[index] ?? 0n);
  return {
    timestampsMs: Float64Array.from(order, (index) => timestampsMs[index] ?? 0),
    values: new Float64Array(sortedBits.buffer),
  };
}

function withoutRepeats({ timestampsMs, values }: Samples): Samples {
  let last = 0;
  for (let index = 1; index < timestampsMs.length; index++) {
    const repeated = timestampsMs[index] === timestampsMs[last];
    if (repeated && !larger(values[index] ?? 0, values[last] ?? 0)) continue;
    if (!repeated) last++;
    if (last === index) continue;
    timestampsMs.copyWithin(last, index, index + 1);
    values.copyWithin(last, index, index + 1);
  }
  if (last + 1 === timestampsMs.length) return { timestampsMs, values };
  return { timestampsMs: timestampsMs.slice(0, last + 1), values: values.slice(0, last + 1) };
}

/** Any number is larger than NaN. */
const larger = (one: number, other: number): boolean =>
  one > other || (Number.isNaN(other) && !Number.isNaN(one));
