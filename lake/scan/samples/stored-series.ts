import { bitsOf, type SeriesData, type SeriesSet } from '../../promql/source.ts';
import { inOrder, mergeSamples, type Samples } from '../samples.ts';
import type { GroupSamples } from './group-samples.ts';
import type { Located, Pieces } from './locate.ts';
import type { SeriesTable } from './series-table.ts';

/** A series that was read elsewhere: rows that are in no file, or files and rows that only SQL reads. */
export interface OtherSeries extends SeriesData {
  readonly id: bigint;
}

/**
 * The series of a selection, in the order of their labels. Samples are put together when a series is asked for, in memory
 * that the next one is given too. `numbers` says which numbers of the table `others` have.
 */
export function storedSeries(
  table: SeriesTable,
  { series, pieces, special }: Located,
  others: readonly OtherSeries[],
  numbers: Uint32Array,
): SeriesSet {
  const placeOf = new Map<number, number>();
  for (let place = 0; place < series.length; place++) placeOf.set(series[place] ?? 0, place);
  const otherOf = new Map<number, OtherSeries>();
  for (const [index, other] of others.entries()) otherOf.set(numbers[index] ?? 0, other);
  const more = numbers.filter((number) => !placeOf.has(number));
  const all = new Uint32Array(series.length + more.length);
  all.set(series);
  all.set(more, series.length);
  const order = table.sort(all);
  const scratch = createScratch();
  return {
    length: order.length,
    at: (index) => {
      const number = order[index];
      if (number === undefined) return undefined;
      const labels = table.labelsOf(number);
      const other = otherOf.get(number);
      const place = placeOf.get(number);
      if (place === undefined || special.has(number))
        return { ...(other ?? { timestampsMs: new Float64Array(0), values: new Float64Array(0) }), labels };
      const stored = scratch.read(pieces, place);
      return { ...(other ? together(stored, other) : stored), labels };
    },
  };
}

function together(stored: Samples, other: Samples): Samples {
  if (other.histograms || other.startsMs) return mergeSamples(stored, other);
  const join = (one: Float64Array, two: Float64Array): Float64Array => {
    const joined = new Float64Array(one.length + two.length);
    joined.set(one);
    joined.set(two, one.length);
    return joined;
  };
  return inOrder({
    timestampsMs: join(stored.timestampsMs, other.timestampsMs),
    values: join(stored.values, other.values),
  });
}

interface Scratch {
  /** The samples of a series; they stay until the next call. */
  read(pieces: Pieces, place: number): Samples;
}

function createScratch(): Scratch {
  let timestampsMs = new Float64Array(1024);
  let values = new Float64Array(1024);
  /** The piece at which the series of the times that are in `timestampsMs` begins, and how many it has. */
  let known = { first: 0, pieces: -1, times: timestampsMs, sorted: true };
  return {
    read: (pieces, place) => {
      const { groups, ofSeries, group, from, to } = pieces;
      const [first, last] = [ofSeries[place] ?? 0, ofSeries[place + 1] ?? 0];
      let length = 0;
      for (let piece = first; piece < last; piece++) length += (to[piece] ?? 0) - (from[piece] ?? 0);
      if (length > values.length) {
        timestampsMs = new Float64Array(length * 2);
        values = new Float64Array(length * 2);
        known.pieces = -1;
      }
      if (known.pieces !== last - first || !sameTimes(pieces, known.first, first, last)) {
        const sorted = readTimes(pieces, first, last, timestampsMs);
        // New each time, so that who sees the same array knows that the times are the same.
        known = { first, pieces: last - first, times: timestampsMs.subarray(0, length), sorted };
      }
      let at = 0;
      for (let piece = first; piece < last; piece++) {
        const samples = groups[group[piece] ?? 0];
        const [start, end] = [from[piece] ?? 0, to[piece] ?? 0];
        if (samples) copyValues(samples, start, end, values, at);
        at += end - start;
      }
      const found = { timestampsMs: known.times, values: values.subarray(0, length) };
      return known.sorted
        ? found
        : inOrder({ timestampsMs: found.timestampsMs.slice(), values: found.values.slice() });
    },
  };
}

/** Whether the pieces from `other` on have the times of those in [first, last). */
function sameTimes({ group, from, to, time }: Pieces, other: number, first: number, last: number): boolean {
  for (let piece = first, one = other; piece < last; piece++, one++)
    if (
      group[piece] !== group[one] ||
      time[piece] !== time[one] ||
      (to[piece] ?? 0) - (from[piece] ?? 0) !== (to[one] ?? 0) - (from[one] ?? 0)
    )
      return false;
  return true;
}

/** False when they are not in order, each once. */
function readTimes(
  { groups, group, from, to, time }: Pieces,
  first: number,
  last: number,
  into: Float64Array,
): boolean {
  let at = 0;
  let sorted = true;
  let beforeMs = -Infinity;
  for (let piece = first; piece < last; piece++) {
    const samples = groups[group[piece] ?? 0];
    if (samples === undefined) continue;
    const { times, baseMs } = samples;
    const end = at + (to[piece] ?? 0) - (from[piece] ?? 0);
    for (let place = time[piece] ?? 0; at < end; at++, place++) {
      const ms = (times[place] ?? 0) + baseMs;
      if (ms <= beforeMs) sorted = false;
      beforeMs = ms;
      into[at] = ms;
    }
  }
  return sorted;
}

function copyValues(
  { values, codes, hasNaN }: GroupSamples,
  start: number,
  end: number,
  into: Float64Array,
  at: number,
): void {
  if (codes === undefined) into.set(values.subarray(start, end), at);
  else if (!hasNaN)
    for (let row = start; row < end; row++) into[at + row - start] = values[codes[row] ?? 0] ?? 0;
  else {
    const [from, to] = [bitsOf(values), bitsOf(into)];
    for (let row = start; row < end; row++) {
      const code = 2 * (codes[row] ?? 0);
      const target = 2 * (at + row - start);
      to[target] = from[code] ?? 0;
      to[target + 1] = from[code + 1] ?? 0;
    }
  }
}
