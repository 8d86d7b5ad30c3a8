import type { SeriesData, SeriesSet } from '../../promql/source.ts';
import { inOrder, mergeSamples, type Samples } from '../samples.ts';
import { copyValues, type GroupSamples } from './group-samples.ts';
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
  { series, pieces }: Located,
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
  const places = Int32Array.from(order, (number) => placeOf.get(number) ?? -1);
  const tiles = createTiles(pieces, places);
  const isPlain = pieces.groups.every(({ hasNaN }) => !hasNaN);
  return {
    length: order.length,
    at: (index) => {
      const number = order[index];
      if (number === undefined) return undefined;
      const labels = table.labelsOf(number);
      const other = otherOf.get(number);
      if ((places[index] ?? -1) < 0)
        return { ...(other ?? { timestampsMs: new Float64Array(0), values: new Float64Array(0) }), labels };
      const { timestampsMs, values } = tiles.read(index);
      return other
        ? { ...together({ timestampsMs, values }, other), labels }
        : { labels, timestampsMs, values, isPlain };
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

interface Tiles {
  /** The samples of the series with this place in the order; they stay until the next call. */
  read(index: number): Samples;
}

/** Samples that are put together at a time, in about as much memory as a processor has near. */
const tileSamples = 256 * 1024;

/**
 * Puts samples together for some series at a time, row group after row group: samples of a series are a few in each of
 * many groups, and what a group's codes stand for would have to come from memory again for each series.
 */
function createTiles(pieces: Pieces, places: Int32Array): Tiles {
  const { ofSeries, from, to } = pieces;
  let values = new Float64Array(0);
  let times = new Float64Array(0);
  /** Series of the tile are [first, end) of the order; where the samples of each begin. */
  let [first, end] = [0, 0];
  let starts = new Uint32Array(1);
  /** The place whose times are in `times`. */
  let timed = { place: -1, timestampsMs: times, sorted: true };

  const lengthOf = (place: number): number => {
    let length = 0;
    for (let piece = ofSeries[place] ?? 0; piece < (ofSeries[place + 1] ?? 0); piece++)
      length += (to[piece] ?? 0) - (from[piece] ?? 0);
    return length;
  };
  const fill = (index: number): void => {
    const lengths: number[] = [];
    let total = 0;
    for (end = index; end < places.length && (end === index || total < tileSamples); end++) {
      const place = places[end] ?? -1;
      const length = place < 0 ? 0 : lengthOf(place);
      lengths.push(length);
      total += length;
    }
    first = index;
    starts = new Uint32Array(lengths.length + 1);
    for (const [at, length] of lengths.entries()) starts[at + 1] = (starts[at] ?? 0) + length;
    if (values.length < total) values = new Float64Array(total);
    fillValues(pieces, places.subarray(first, end), starts, values);
  };
  const timesOf = (place: number, length: number): typeof timed => {
    if (timed.place >= 0 && sameTimes(pieces, timed.place, place)) return timed;
    if (times.length < length) times = new Float64Array(length * 2);
    // A new array each time, so that who sees the same one knows that the times are the same.
    const timestampsMs = times.subarray(0, length);
    timed = { place, timestampsMs, sorted: readTimes(pieces, place, timestampsMs) };
    return timed;
  };
  return {
    read: (index) => {
      if (index < first || index >= end) fill(index);
      const [start, until] = [starts[index - first] ?? 0, starts[index - first + 1] ?? 0];
      const { timestampsMs, sorted } = timesOf(places[index] ?? 0, until - start);
      const found = values.subarray(start, until);
      if (sorted) return { timestampsMs, values: found };
      return inOrder({ timestampsMs: timestampsMs.slice(), values: found.slice() });
    },
  };
}

/** The pieces of a series are in the order of their groups. */
function fillValues(
  { groups, ofSeries, group, from, to }: Pieces,
  places: Int32Array,
  starts: Uint32Array,
  values: Float64Array,
): void {
  const next = Uint32Array.from(places, (place) => (place < 0 ? 0 : (ofSeries[place] ?? 0)));
  const ends = Uint32Array.from(places, (place) => (place < 0 ? 0 : (ofSeries[place + 1] ?? 0)));
  const at = starts.slice();
  for (const [number, samples] of groups.entries())
    for (let index = 0; index < places.length; index++)
      for (let piece = next[index] ?? 0; piece < (ends[index] ?? 0) && group[piece] === number; piece++) {
        const [start, end] = [from[piece] ?? 0, to[piece] ?? 0];
        copyValues(samples, start, end, values, at[index] ?? 0);
        at[index] = (at[index] ?? 0) + end - start;
        next[index] = piece + 1;
      }
}

/** Whether two series have the same times, piece by piece. */
function sameTimes(
  { groups, ofSeries, group, from, to, time }: Pieces,
  known: number,
  place: number,
): boolean {
  let one = ofSeries[known] ?? 0;
  const end = ofSeries[place + 1] ?? 0;
  if ((ofSeries[known + 1] ?? 0) - one !== end - (ofSeries[place] ?? 0)) return false;
  for (let piece = ofSeries[place] ?? 0; piece < end; piece++, one++) {
    const length = (to[piece] ?? 0) - (from[piece] ?? 0);
    if (length !== (to[one] ?? 0) - (from[one] ?? 0)) return false;
    const [start, other] = [time[piece] ?? 0, time[one] ?? 0];
    if (group[piece] === group[one] && start === other) continue;
    const [samples, others] = [groups[group[piece] ?? 0], groups[group[one] ?? 0]];
    if (!samples || !others || !equalTimes(samples, start, others, other, length)) return false;
  }
  return true;
}

function equalTimes(
  one: GroupSamples,
  start: number,
  other: GroupSamples,
  otherStart: number,
  length: number,
): boolean {
  const { times } = one;
  const { times: others } = other;
  const differenceMs = other.baseMs - one.baseMs;
  for (let at = 0; at < length; at++)
    if ((times[start + at] ?? 0) !== (others[otherStart + at] ?? 0) + differenceMs) return false;
  return true;
}

/** False when they are not in order, each once. */
function readTimes(
  { groups, ofSeries, group, from, to, time }: Pieces,
  series: number,
  into: Float64Array,
): boolean {
  let at = 0;
  let sorted = true;
  let beforeMs = -Infinity;
  for (let piece = ofSeries[series] ?? 0; piece < (ofSeries[series + 1] ?? 0); piece++) {
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
