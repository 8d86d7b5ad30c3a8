import { canonicalLabels, type Labels, labelValue } from '../../lake/model/labels.ts';
import type { Histogram } from '../../lake/promql/histograms/histogram.ts';
import { bitsOf, type SeriesData, setStaleAt } from '../../lake/promql/source.ts';
import { labelsKey } from '../../lake/promql/value.ts';

// The `load` commands of Prometheus' language scripts, as the corpus has expanded them, as series.

/** A value in the corpus: a number, `NaN`, `+Inf`, `-Inf`, `stale`, null for none, or a native histogram. */
export type CorpusValue = number | string | null | { readonly histogram: CorpusHistogram };

export interface CorpusHistogram {
  readonly schema?: number;
  readonly count?: number | string;
  readonly sum?: number | string;
  readonly z_bucket?: number | string;
  readonly z_bucket_w?: number | string;
  readonly buckets?: readonly (number | string)[];
  readonly offset?: number;
  readonly n_buckets?: readonly (number | string)[];
  readonly n_offset?: number;
  readonly custom_values?: readonly (number | string)[];
  readonly counter_reset_hint?: 'unknown' | 'reset' | 'not_reset' | 'gauge';
}

export interface Section {
  readonly file: string;
  readonly line: number;
  readonly with_nhcb: boolean;
  readonly series: readonly CorpusSeries[];
}

interface CorpusSeries {
  readonly labels: Record<string, string>;
  readonly samples: readonly (readonly [number, CorpusValue])[];
  readonly start_timestamps?: readonly (readonly [number, number])[];
}

export function numberOf(value: number | string | null | undefined): number {
  if (typeof value === 'number') return value;
  if (value === '+Inf' || value === 'Inf') return Infinity;
  return value === '-Inf' ? -Infinity : Number(value ?? 0);
}

const hints = { unknown: 'unknown', reset: 'yes', not_reset: 'no', gauge: 'gauge' } as const;

export function histogramOf(value: CorpusHistogram): Histogram {
  const buckets = (counts: CorpusHistogram['buckets'] = [], offset = 0) => ({
    indexes: counts.map((_, index) => offset + index),
    counts: counts.map(numberOf),
  });
  return {
    schema: value.schema ?? 0,
    count: numberOf(value.count),
    sum: numberOf(value.sum),
    zeroThreshold: numberOf(value.z_bucket_w),
    zeroCount: numberOf(value.z_bucket),
    positive: buckets(value.buckets, value.offset),
    negative: buckets(value.n_buckets, value.n_offset),
    customValues: (value.custom_values ?? []).map(numberOf),
    hint: hints[value.counter_reset_hint ?? 'unknown'],
  };
}

interface Loading {
  readonly labels: Labels;
  readonly samples: Map<number, CorpusValue>;
  readonly starts: Map<number, number>;
}

/** What is there when these commands have run one after the other. */
export function loadSections(sections: readonly Section[]): readonly SeriesData[] {
  const byLabels = new Map<string, Loading>();
  for (const section of sections) {
    const added = section.with_nhcb
      ? [...section.series, ...customHistograms(section.series)]
      : section.series;
    for (const { labels: raw, samples, start_timestamps = [] } of added) {
      const labels = canonicalLabels(Object.entries(raw));
      const key = labelsKey(labels);
      const known = byLabels.get(key) ?? { labels, samples: new Map(), starts: new Map() };
      byLabels.set(key, known);
      for (const [timeMs, value] of samples) known.samples.set(timeMs, value);
      for (const [timeMs, startMs] of start_timestamps) known.starts.set(timeMs, startMs);
    }
  }
  return [...byLabels.values()].map(seriesOf);
}

function seriesOf({ labels, samples, starts }: Loading): SeriesData {
  const times = [...samples.keys()].sort((a, b) => a - b);
  const values = new Float64Array(times.length);
  const bits = bitsOf(values);
  const histograms = times.map((timeMs, index) => {
    const value = samples.get(timeMs) ?? null;
    if (value === 'stale') setStaleAt(bits, index);
    else values[index] = value === null || typeof value === 'object' ? Number.NaN : numberOf(value);
    return value !== null && typeof value === 'object' ? histogramOf(value.histogram) : undefined;
  });
  return {
    labels,
    timestampsMs: Float64Array.from(times),
    values,
    ...(histograms.some((one) => one !== undefined) && { histograms }),
    ...(starts.size > 0 && { startsMs: Float64Array.from(times, (timeMs) => starts.get(timeMs) ?? 0) }),
  };
}

interface Classic {
  readonly buckets: Map<number, number>;
  count: number | undefined;
  sum: number;
}

/** `load_with_nhcb`: classic histograms also become native ones with custom bounds, time by time. */
function customHistograms(series: readonly CorpusSeries[]): readonly CorpusSeries[] {
  const found = new Map<string, { labels: Record<string, string>; times: Map<number, Classic> }>();
  for (const { labels, samples } of series) {
    const [, name = '', part = ''] = /^(.*)_(bucket|count|sum)$/.exec(labels.__name__ ?? '') ?? [];
    if (name === '') continue;
    const { le: _, ...others } = labels;
    const own = { ...others, __name__: name };
    const key = labelsKey(canonicalLabels(Object.entries(own)));
    const group = found.get(key) ?? { labels: own, times: new Map() };
    found.set(key, group);
    for (const [timeMs, raw] of samples) {
      if (raw === null || typeof raw === 'object') continue;
      const value = numberOf(raw);
      const classic = group.times.get(timeMs) ?? { buckets: new Map(), count: undefined, sum: 0 };
      group.times.set(timeMs, classic);
      const bound = numberOf(labelValue(Object.entries(labels), 'le'));
      if (part === 'count') classic.count = value;
      else if (part === 'sum') classic.sum = value;
      else if (!Number.isNaN(bound) && !classic.buckets.has(bound)) classic.buckets.set(bound, value);
    }
  }
  return [...found.values()].map(({ labels, times }) => ({
    labels,
    samples: [...times].map(([timeMs, classic]) => [timeMs, { histogram: fromClassic(classic) }] as const),
  }));
}

function fromClassic({ buckets, count, sum }: Classic): CorpusHistogram {
  const sorted = [...buckets].sort(([one], [other]) => one - other);
  const total = count ?? sorted.at(-1)?.[1] ?? 0;
  if (sorted.at(-1)?.[0] !== Infinity) sorted.push([Infinity, total]);
  return {
    schema: -53,
    count: total,
    sum,
    buckets: sorted.map(([, value], index) => value - (sorted[index - 1]?.[1] ?? 0)),
    custom_values: sorted.slice(0, -1).map(([bound]) => bound),
  };
}
