import type { Labels } from '../model/labels.ts';
import type { Matcher } from './ast.ts';

/** The port: where evaluation gets its samples. Implemented over the lake by lake/scan, and in memory by tests. */
export interface SeriesSource {
  /**
   * Every series that satisfies all matchers, with its samples in [fromMs, toMs]; series without samples are left out.
   * Rejects with FirnError `limit` when more is found than `selection` allows, and when `signal` is aborted.
   */
  select(selection: Selection, signal: AbortSignal): Promise<readonly SeriesData[]>;
}

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
export function withoutStale(series: SeriesData): SeriesData {
  const bits = bitsOf(series.values);
  let live = 0;
  for (let index = 0; index < series.values.length; index++) if (!isStaleAt(bits, index)) live++;
  if (live === series.values.length) return series;
  const timestampsMs = new Float64Array(live);
  const values = new Float64Array(live);
  let to = 0;
  for (let index = 0; index < series.values.length; index++) {
    if (isStaleAt(bits, index)) continue;
    timestampsMs[to] = series.timestampsMs[index] ?? 0;
    values[to++] = series.values[index] ?? 0;
  }
  return { labels: series.labels, timestampsMs, values };
}
