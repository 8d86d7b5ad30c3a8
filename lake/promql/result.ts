import type { Labels } from '../model/labels.ts';
import type { Histogram } from './histograms/histogram.ts';
import type { Plan, QueryTimes } from './plan.ts';
import type { SeriesData } from './source.ts';
import {
  compareLabels,
  isEmpty,
  mergeSameLabels,
  type StepSeries,
  toMatrix,
  type Value,
  withoutName,
} from './value.ts';

/** What a query answers with. */
export type ResultData =
  | { readonly type: 'scalar'; readonly timestampMs: number; readonly value: number }
  | { readonly type: 'string'; readonly timestampMs: number; readonly value: string }
  | { readonly type: 'vector'; readonly timestampMs: number; readonly samples: readonly VectorSample[] }
  | { readonly type: 'matrix'; readonly series: readonly SeriesData[] };

interface VectorSample {
  readonly labels: Labels;
  readonly value: number;
  /** The sample, when it is a native histogram; `value` means nothing then. */
  readonly histogram?: Histogram | undefined;
}

/** Drops the names that no longer hold, and brings the value into the form and order of an answer. */
export function finish(plan: Plan, { startMs, stepMs }: QueryTimes, value: Value): ResultData {
  const instant = stepMs <= 0;
  switch (value.kind) {
    case 'string':
      return { type: 'string', timestampMs: startMs, value: value.value };
    case 'scalar': {
      if (instant) return { type: 'scalar', timestampMs: startMs, value: value.values[0] ?? Number.NaN };
      const present = new Uint8Array(plan.times.steps).fill(1);
      const series = { labels: [], dropName: false, values: value.values, present };
      return { type: 'matrix', series: [toMatrix(series, plan.times)] };
    }
    case 'matrix':
      return { type: 'matrix', series: sorted(value.series.map(named)) };
    case 'vector': {
      const series = mergeSameLabels(value.series.map(named)).filter((one) => !isEmpty(one));
      if (!instant) return { type: 'matrix', series: sorted(series.map((one) => toMatrix(one, plan.times))) };
      const samples = series.map(({ labels, values, histograms }) => ({
        labels,
        value: values[0] ?? Number.NaN,
        histogram: histograms?.[0],
      }));
      return { type: 'vector', timestampMs: startMs, samples };
    }
  }
}

function named<T extends Pick<StepSeries, 'labels' | 'dropName'>>(series: T): T {
  return series.dropName ? { ...series, labels: withoutName(series.labels), dropName: false } : series;
}

/** In the order of an answer. */
export const sorted = (series: readonly SeriesData[]): readonly SeriesData[] =>
  series.toSorted((one, other) => compareLabels(one.labels, other.labels));
