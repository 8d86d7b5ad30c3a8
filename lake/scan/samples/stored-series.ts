import { bitsOf, type SeriesData, type SeriesSet } from '../../promql/source.ts';
import { inOrder, mergeSamples, type Samples } from '../samples.ts';
import type { GroupSamples } from './group-samples.ts';
import type { Located } from './locate.ts';
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
  read(pieces: Located['pieces'], place: number): Samples;
}

function createScratch(): Scratch {
  let timestampsMs = new Float64Array(1024);
  let values = new Float64Array(1024);
  return {
    read: ({ groups, ofSeries, group, from, to, time }, place) => {
      const [first, last] = [ofSeries[place] ?? 0, ofSeries[place + 1] ?? 0];
      let length = 0;
      for (let piece = first; piece < last; piece++) length += (to[piece] ?? 0) - (from[piece] ?? 0);
      if (length > values.length) {
        timestampsMs = new Float64Array(length * 2);
        values = new Float64Array(length * 2);
      }
      let at = 0;
      let sorted = true;
      let beforeMs = -Infinity;
      for (let piece = first; piece < last; piece++) {
        const samples = groups[group[piece] ?? 0];
        const [start, end] = [from[piece] ?? 0, to[piece] ?? 0];
        if (samples === undefined || start === end) continue;
        const { times, baseMs } = samples;
        const shift = (time[piece] ?? 0) - at;
        const until = at + end - start;
        for (let index = at; index < until; index++) {
          const ms = (times[index + shift] ?? 0) + baseMs;
          if (ms <= beforeMs) sorted = false;
          beforeMs = ms;
          timestampsMs[index] = ms;
        }
        copyValues(samples, start, end, values, at);
        at = until;
      }
      const found = { timestampsMs: timestampsMs.subarray(0, at), values: values.subarray(0, at) };
      return sorted
        ? found
        : inOrder({ timestampsMs: found.timestampsMs.slice(), values: found.values.slice() });
    },
  };
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
