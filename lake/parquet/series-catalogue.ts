import type { Signal } from '../model/batch.ts';
import { createNumbered64, halvesOf, type Numbered64, numberOf64 } from './dictionary.ts';
import type { SegmentRows } from './segment-writer.ts';
import { compareSeries, type RankedSeries, seriesOf } from './series-order.ts';

/**
 * The series that one segment after another has, in the order that files are sorted by: the same series come again, and
 * to look up their labels and to sort them costs more than all of their samples.
 */
export interface SeriesCatalogue {
  /** Throws FirnError `corrupt` when an id has no labels. */
  rank(signal: Signal, ids: BigInt64Array, labelsOf: SegmentRows['labelsOf']): RankedRows;
}

export interface RankedRows {
  /** In their order; those of the rows, and others that were there before. */
  readonly series: readonly RankedSeries[];
  /** Index into `series` of each row. */
  readonly rank: Uint32Array;
}

/** Characters of labels that are remembered; when there are more, it begins anew. */
const charsMax = 4 * 1024 * 1024;

export function createSeriesCatalogue(): SeriesCatalogue {
  const ofSignal = new Map<Signal, Known>();
  return {
    rank: (signal, ids, labelsOf) => {
      const known = ofSignal.get(signal) ?? createKnown();
      // What is half done when an id has no labels is forgotten.
      ofSignal.delete(signal);
      const rank = numbersOf(known, ids);
      if (known.numbered.count > known.byNumber.length) addNew(known, signal, labelsOf);
      if (known.chars <= charsMax) ofSignal.set(signal, known);
      const { series, rankOf } = known;
      for (let row = 0; row < rank.length; row++) rank[row] = rankOf[rank[row] ?? 0] ?? 0;
      return { series, rank };
    },
  };
}

interface Known {
  readonly numbered: Numbered64;
  /** By number: which number came after it the last time. */
  followers: Uint32Array;
  readonly byNumber: RankedSeries[];
  /** Numbers in the order of their series. */
  readonly order: number[];
  series: readonly RankedSeries[];
  /** By number: the place in `series`. */
  rankOf: Uint32Array;
  chars: number;
}

const createKnown = (): Known => ({
  numbered: createNumbered64(),
  followers: new Uint32Array(1024),
  ...{ byNumber: [], order: [], series: [], rankOf: new Uint32Array(), chars: 0 },
});

/** Senders repeat their series in the same order, so the one that followed the last time is tried without hashing. */
function numbersOf(known: Known, ids: BigInt64Array): Uint32Array {
  const { numbered } = known;
  const halves = halvesOf(ids);
  const numbers = new Uint32Array(ids.length);
  let number = 0;
  for (let row = 0; row < numbers.length; row++) {
    const low = halves[2 * row] ?? 0;
    const high = halves[2 * row + 1] ?? 0;
    const before = number;
    number = known.followers[before] ?? 0;
    const { entries } = numbered;
    if (number >= numbered.count || entries[2 * number] !== low || entries[2 * number + 1] !== high) {
      number = numberOf64(numbered, low, high);
      if (numbered.count > known.followers.length) known.followers = grown(known.followers);
      known.followers[before] = number;
    }
    numbers[row] = number;
  }
  return numbers;
}

function grown(numbers: Uint32Array): Uint32Array {
  const more = new Uint32Array(numbers.length * 2);
  more.set(numbers);
  return more;
}

function addNew(known: Known, signal: Signal, labelsOf: SegmentRows['labelsOf']): void {
  const { numbered, byNumber } = known;
  const ids = new BigInt64Array(numbered.entries.buffer, 0, numbered.count).subarray(byNumber.length);
  for (const each of seriesOf(signal, ids, labelsOf(ids))) {
    known.chars += each.labels.length + each.name.length;
    known.order.push(byNumber.length);
    byNumber.push(each);
  }
  known.order.sort((a, b) => compareSeries(byNumber[a] ?? none, byNumber[b] ?? none));
  known.series = known.order.map((number) => byNumber[number] ?? none);
  known.rankOf = new Uint32Array(numbered.count);
  for (const [rank, number] of known.order.entries()) known.rankOf[number] = rank;
}

const none: RankedSeries = { id: 0n, name: '', labels: '' };
