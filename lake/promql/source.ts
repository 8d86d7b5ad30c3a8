import type { Labels } from '../model/labels.ts';
import type { RowVersions } from '../model/row-versions.ts';
import type { RollupTable } from '../model/table-name.ts';
import type { Matcher } from './ast.ts';
import type { Histogram } from './histograms/histogram.ts';
import type { BucketSeries } from './rollups/evaluate.ts';
import type { BucketScan } from './rollups/plan.ts';

/** The port: where evaluation gets its samples. Implemented over the lake by lake/scan, and in memory by tests. */
export interface SeriesSource {
  /**
   * Every series that satisfies all matchers, with its samples in [fromMs, toMs]; series without samples are left out.
   * Series with native histograms come with those of histogramHistoryMs before that too, by which the first is judged.
   * Rejects with FirnError `limit` when more is found than `selection` allows, and when `signal` is aborted.
   */
  select(selection: Selection, signal: AbortSignal): Promise<readonly SeriesData[]>;
  /**
   * The same for an evaluator that reads files itself: where the samples are. Undefined when only `select` can tell.
   * The files stay until it is disposed.
   */
  open?(selection: Selection, signal: AbortSignal): Promise<StoredScan | undefined>;
  /**
   * The same series in buckets that end at multiples of `bucketMs`, and at `toMs`; samples after `afterMs`. Undefined
   * when that would not give what the samples give, or not save work.
   */
  selectBuckets?(selection: BucketSelection, signal: AbortSignal): Promise<SelectedBuckets | undefined>;
  /** Which state the samples are in; absent where answers are not to be remembered. */
  readonly versions?: RowVersions | undefined;
}

export interface BucketSelection extends BucketScan {
  readonly matchers: readonly Matcher[];
  /** Samples and buckets together. */
  readonly samplesMax: number;
  readonly seriesMax: number;
}

export interface SelectedBuckets {
  readonly series: readonly BucketSeries[];
  /** Where they come from. */
  readonly table: RollupTable;
  /** Buckets, and samples that were read beside them. */
  readonly read: number;
}

/** A selection whose samples are in files. */
export interface StoredScan extends AsyncDisposable {
  /** Whose files they are: an evaluator may remember them for the next query of the same owner. */
  readonly owner: string;
  readonly selection: Selection;
  /** Absolute paths; each names the same bytes for ever. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  /** Whether there are rows in no file. */
  readonly hasRest: boolean;
  /**
   * Series with samples that are in no file, or in one that the evaluator cannot read (`unsupported`); and series by
   * their ids (`special`), with all their samples.
   */
  readOthers(
    missing: { readonly special: readonly bigint[]; readonly unsupported: readonly string[] },
    signal: AbortSignal,
  ): Promise<readonly SeriesData[]>;
}

/** How far back the sample before a native histogram is looked for, to know whether it was reset. */
export const histogramHistoryMs = 300_000;

export interface Selection {
  readonly matchers: readonly Matcher[];
  /** Milliseconds since the Unix epoch, both inclusive. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly samplesMax: number;
  readonly seriesMax: number;
}

/**
 * One series' samples, sorted by time, one a timestamp. `values` holds staleness markers bit for bit
 * (see isStaleAt), so copy it by array and never through a number.
 */
export interface SeriesData {
  readonly labels: Labels;
  readonly timestampsMs: Float64Array;
  readonly values: Float64Array;
  /**
   * The samples that are native histograms, by their place; their value is NaN, or the staleness marker (and then there
   * is no histogram). Absent when there is none.
   */
  readonly histograms?: readonly (Histogram | undefined)[] | undefined;
  /** Since when a sample counts (milliseconds since the Unix epoch), 0 where that is not known. Absent: nowhere. */
  readonly startsMs?: Float64Array | undefined;
  /** True when it is known that no value is NaN: nobody need look for staleness markers. */
  readonly isPlain?: boolean;
}

/** Series by their place, in the order of their labels. What `at` gives is valid until it is called again. */
export interface SeriesSet {
  readonly length: number;
  at(index: number): SeriesData | undefined;
}

/** The samples whose place `keep` says so for. */
export function keepSamples(
  series: SeriesData,
  keep: (index: number) => boolean,
): Omit<SeriesData, 'labels'> {
  const places = new Uint32Array(series.values.length);
  let count = 0;
  for (let index = 0; index < places.length; index++) if (keep(index)) places[count++] = index;
  return pickSamples(series, places.subarray(0, count));
}

/** The samples at these places. */
export function pickSamples(
  series: Omit<SeriesData, 'labels'>,
  places: Uint32Array,
): Omit<SeriesData, 'labels'> {
  const { timestampsMs, values, histograms, startsMs } = series;
  const pick = (column: Float64Array): Float64Array => {
    const picked = new Float64Array(places.length);
    // As bits, because a staleness marker does not survive as a number.
    const [from, to] = [bitsOf(column), bitsOf(picked)];
    places.forEach((place, index) => {
      to[2 * index] = from[2 * place] ?? 0;
      to[2 * index + 1] = from[2 * place + 1] ?? 0;
    });
    return picked;
  };
  return {
    timestampsMs: pick(timestampsMs),
    values: pick(values),
    histograms: histograms && Array.from(places, (place) => histograms[place]),
    startsMs: startsMs && pick(startsMs),
  };
}

/** The samples from `from` up to but not including `to`. */
export function sliceSamples(series: SeriesData, from: number, to: number): Omit<SeriesData, 'labels'> {
  const { timestampsMs, values, histograms, startsMs } = series;
  return {
    timestampsMs: timestampsMs.slice(from, to),
    values: values.slice(from, to),
    histograms: histograms?.slice(from, to),
    startsMs: startsMs?.slice(from, to),
  };
}

const staleLow = 2;
const staleHigh = 0x7ff00000;

/** The 32-bit halves of `values`, to look at NaN bits without a round trip through a number. */
export function bitsOf(values: Float64Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
}

/** True when the value at `index` is Prometheus' staleness marker: the series ended there. */
export function isStaleAt(bits: Uint32Array, index: number): boolean {
  return bits[2 * index] === staleLow && bits[2 * index + 1] === staleHigh;
}

/** Writes the staleness marker at `index`. */
export function setStaleAt(bits: Uint32Array, index: number): void {
  bits[2 * index] = staleLow;
  bits[2 * index + 1] = staleHigh;
}

/** The series without its staleness markers (the same object when it has none). */
export function withoutStale<T extends SeriesData>(series: T): T {
  const { values } = series;
  if (series.isPlain) return series;
  let index = 0;
  // Markers are NaNs, and mostly there are none.
  while (index < values.length && !Number.isNaN(values[index])) index++;
  if (index === values.length) return series;
  const bits = bitsOf(values);
  while (index < values.length && !isStaleAt(bits, index)) index++;
  return index === values.length
    ? series
    : { ...series, ...keepSamples(series, (at) => !isStaleAt(bits, at)) };
}
