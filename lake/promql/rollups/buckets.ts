import { firstAfter } from '../functions/window.ts';
import { kahanAdd } from '../numbers.ts';
import { bitsOf, isStaleAt, type SeriesData } from '../source.ts';

// Samples of a series, summarized by stretches of time that are open on the left and closed on the right like PromQL's
// ranges, so that a range that begins and ends where buckets do is made of whole ones. What is kept of a bucket is
// enough to go on over its borders: a rate needs first and last samples with their times, and what resets took away.

/** One entry a bucket in each column, ascending by `endsMs`. */
export type Buckets = Readonly<Record<BucketColumn, Float64Array>>;

/**
 * `counts` are floats (staleness markers and histograms are none); where there is none, the others mean nothing.
 * `compensations` are what rounding left out of `sums`; `resetSums` the values before each reset; `flags` are below.
 */
const bucketColumns = [
  ...(['endsMs', 'counts', 'mins', 'maxes', 'sums', 'compensations', 'firsts', 'firstsMs'] as const),
  ...(['lasts', 'lastsMs', 'resetSums', 'resets', 'changes', 'flags'] as const),
] as const;
type BucketColumn = (typeof bucketColumns)[number];

/** What a bucket holds besides floats, as bits; the places are those of `bucketFlagNames`. */
export const bucketFlags = {
  /** A staleness marker comes after the last sample. */
  ended: 1,
  /** Native histograms, of which nothing else is kept. */
  histograms: 2,
  /** Samples that say since when they count. */
  starts: 4,
  /** The sum is infinite, though no value is. */
  overflow: 8,
} as const;

export const bucketFlagNames = ['ended', 'histograms', 'starts', 'overflow'] as const;

/** A series' samples in order, one a timestamp. */
export interface FoldedSamples {
  readonly timestampsMs: Float64Array;
  readonly values: Float64Array;
  /** Flags that a sample gives its bucket; one that is a histogram counts for nothing else. Absent: none. */
  readonly kinds?: Uint8Array | undefined;
}

function newBuckets(length: number): Buckets {
  return Object.fromEntries(
    bucketColumns.map((column) => [column, new Float64Array(length)]),
  ) as unknown as Buckets;
}

const sliceBuckets = (buckets: Buckets, from: number, to: number): Buckets =>
  Object.fromEntries(
    bucketColumns.map((column) => [column, buckets[column].slice(from, to)]),
  ) as unknown as Buckets;

/** Puts samples into the buckets that `endOf` names the ends of. */
export function foldSamples(samples: FoldedSamples, endOf: (timestampMs: number) => number): Buckets {
  const { timestampsMs, values, kinds } = samples;
  const bits = bitsOf(values);
  const buckets = newBuckets(values.length);
  let at = -1;
  for (let index = 0; index < values.length; index++) {
    const timestampMs = timestampsMs[index] ?? 0;
    if (at < 0 || timestampMs > (buckets.endsMs[at] ?? 0)) buckets.endsMs[++at] = endOf(timestampMs);
    const kind = kinds?.[index] ?? 0;
    if (kind !== 0) buckets.flags[at] = (buckets.flags[at] ?? 0) | kind;
    if (kind & bucketFlags.histograms) continue;
    if (isStaleAt(bits, index)) buckets.flags[at] = (buckets.flags[at] ?? 0) | bucketFlags.ended;
    else addSample(buckets, at, timestampMs, values[index] ?? 0);
  }
  for (let bucket = 0; bucket <= at; bucket++) noteOverflow(buckets, bucket);
  return sliceBuckets(buckets, 0, at + 1);
}

/** Samples after `afterMs`, in buckets of `bucketMs`, the last of which may be cut off at `toMs`. */
export function foldSeries(
  { timestampsMs, values, histograms, startsMs }: Omit<SeriesData, 'labels'>,
  { afterMs, toMs, bucketMs }: { readonly afterMs: number; readonly toMs: number; readonly bucketMs: number },
): Buckets {
  const from = firstAfter(timestampsMs, afterMs, 0, timestampsMs.length);
  const to = firstAfter(timestampsMs, toMs, from, timestampsMs.length);
  const kinds =
    histograms || startsMs
      ? Uint8Array.from(
          { length: to - from },
          (_, index) =>
            (histograms?.[from + index] ? bucketFlags.histograms : 0) |
            (startsMs?.[from + index] ? bucketFlags.starts : 0),
        )
      : undefined;
  const part = { timestampsMs: timestampsMs.subarray(from, to), values: values.subarray(from, to), kinds };
  return foldSamples(part, (timestampMs) => Math.min(Math.ceil(timestampMs / bucketMs) * bucketMs, toMs));
}

const acc = { sum: 0, compensation: 0 };

function addSample(buckets: Buckets, at: number, timestampMs: number, value: number): void {
  const { counts, mins, maxes, sums, compensations, firsts, firstsMs, lasts, lastsMs, flags } = buckets;
  flags[at] = (flags[at] ?? 0) & ~bucketFlags.ended;
  const count = counts[at] ?? 0;
  counts[at] = count + 1;
  if (count === 0) {
    firsts[at] = mins[at] = maxes[at] = value;
    firstsMs[at] = timestampMs;
    sums[at] = value;
  } else {
    notePair(buckets, at, lasts[at] ?? 0, value);
    mins[at] = lesser(mins[at] ?? 0, value);
    maxes[at] = greater(maxes[at] ?? 0, value);
    acc.sum = sums[at] ?? 0;
    acc.compensation = compensations[at] ?? 0;
    kahanAdd(acc, value);
    sums[at] = acc.sum;
    compensations[at] = acc.compensation;
  }
  lasts[at] = value;
  lastsMs[at] = timestampMs;
}

/** Of two neighbours. A NaN is neither below a number nor above it, and the same as another. */
function notePair({ resetSums, resets, changes }: Buckets, at: number, before: number, value: number): void {
  if (value < before) {
    resets[at] = (resets[at] ?? 0) + 1;
    resetSums[at] = (resetSums[at] ?? 0) + before;
  }
  if (isChange(before, value)) changes[at] = (changes[at] ?? 0) + 1;
}

export const isChange = (before: number, value: number): boolean =>
  value !== before && !(Number.isNaN(value) && Number.isNaN(before));

/** As min_over_time and max_over_time: a number counts more than NaN, and of equals the first stays. */
export const lesser = (one: number, other: number): number =>
  other < one || Number.isNaN(one) ? other : one;
export const greater = (one: number, other: number): number =>
  other > one || Number.isNaN(one) ? other : one;

function noteOverflow({ sums, mins, maxes, flags }: Buckets, at: number): void {
  const infinite = sums[at] === Infinity || sums[at] === -Infinity;
  if (infinite && Number.isFinite(mins[at]) && Number.isFinite(maxes[at]))
    flags[at] = (flags[at] ?? 0) | bucketFlags.overflow;
}

/** Gives the buckets that end then these flags too; where there is no such bucket, an empty one. `endsMs` ascends. */
export function withFlags(buckets: Buckets, endsMs: Float64Array, flags: Uint8Array): Buckets {
  const parts: Buckets[] = [];
  let from = 0;
  for (const [index, endMs] of endsMs.entries()) {
    const to = firstAfter(buckets.endsMs, endMs, from, buckets.endsMs.length);
    const flagged = newBuckets(1);
    flagged.endsMs[0] = endMs;
    flagged.flags[0] = flags[index] ?? 0;
    parts.push(sliceBuckets(buckets, from, to), flagged);
    from = to;
  }
  return joinBuckets([...parts, sliceBuckets(buckets, from, buckets.endsMs.length)]);
}

/** Puts later buckets behind earlier ones; a bucket that is cut in two becomes whole. */
export function joinBuckets(parts: readonly Buckets[]): Buckets {
  const joined = newBuckets(parts.reduce((sum, { endsMs }) => sum + endsMs.length, 0));
  let length = 0;
  for (const part of parts) {
    const meets = length > 0 && part.endsMs[0] === joined.endsMs[length - 1];
    if (meets) addBucket(joined, length - 1, part);
    const from = meets ? 1 : 0;
    for (const column of bucketColumns) joined[column].set(part[column].subarray(from), length);
    length += part.endsMs.length - from;
  }
  return length === joined.endsMs.length ? joined : sliceBuckets(joined, 0, length);
}

/** Buckets of which none is twice, in order. */
export function sortBuckets(parts: readonly Buckets[]): Buckets {
  const all = newBuckets(parts.reduce((sum, { endsMs }) => sum + endsMs.length, 0));
  let length = 0;
  for (const part of parts) {
    for (const column of bucketColumns) all[column].set(part[column], length);
    length += part.endsMs.length;
  }
  const { endsMs } = all;
  if (endsMs.every((endMs, index) => index === 0 || (endsMs[index - 1] ?? 0) < endMs)) return all;
  const order = Uint32Array.from(endsMs.keys()).sort(
    (one, other) => (endsMs[one] ?? 0) - (endsMs[other] ?? 0),
  );
  return Object.fromEntries(
    bucketColumns.map((column) => [column, Float64Array.from(order, (index) => all[column][index] ?? 0)]),
  ) as unknown as Buckets;
}

/** Adds the first bucket of `later`, which is the rest of bucket `at`. */
function addBucket(buckets: Buckets, at: number, later: Buckets): void {
  const { counts, mins, maxes, sums, compensations, firsts, firstsMs, flags } = buckets;
  const earlierFlags = flags[at] ?? 0;
  const laterFlags = later.flags[0] ?? 0;
  const laterCount = later.counts[0] ?? 0;
  // Whether it ended is for the later part to say, if that has anything to say.
  const silent = laterCount === 0 && (laterFlags & bucketFlags.ended) === 0;
  flags[at] = laterFlags | (silent ? earlierFlags : earlierFlags & ~bucketFlags.ended);
  if (laterCount === 0) return;
  const count = counts[at] ?? 0;
  counts[at] = count + laterCount;
  if (count === 0) {
    for (const [own, its] of [
      ...([
        [mins, later.mins],
        [maxes, later.maxes],
        [sums, later.sums],
      ] as const),
      ...([
        [firsts, later.firsts],
        [firstsMs, later.firstsMs],
      ] as const),
    ])
      own[at] = its[0] ?? 0;
    compensations[at] = later.compensations[0] ?? 0;
  } else {
    notePair(buckets, at, buckets.lasts[at] ?? 0, later.firsts[0] ?? 0);
    mins[at] = lesser(mins[at] ?? 0, later.mins[0] ?? 0);
    maxes[at] = greater(maxes[at] ?? 0, later.maxes[0] ?? 0);
    acc.sum = sums[at] ?? 0;
    acc.compensation = compensations[at] ?? 0;
    kahanAdd(acc, later.sums[0] ?? 0);
    kahanAdd(acc, later.compensations[0] ?? 0);
    sums[at] = acc.sum;
    compensations[at] = acc.compensation;
  }
  for (const column of ['resetSums', 'resets', 'changes'] as const)
    buckets[column][at] = (buckets[column][at] ?? 0) + (later[column][0] ?? 0);
  for (const column of ['lasts', 'lastsMs'] as const) buckets[column][at] = later[column][0] ?? 0;
  noteOverflow(buckets, at);
}

/** The buckets that hold a sample: what a range vector has of them. */
export function withSamples(buckets: Buckets): Buckets {
  const { counts } = buckets;
  if (!counts.includes(0)) return buckets;
  const kept = counts.map((_, index) => index).filter((index) => counts[index] !== 0);
  return Object.fromEntries(
    bucketColumns.map((column) => [column, kept.map((index) => buckets[column][index] ?? 0)]),
  ) as unknown as Buckets;
}
