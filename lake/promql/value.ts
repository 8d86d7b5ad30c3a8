import { type Label, type Labels, labelsJson, labelValue } from '../model/labels.ts';
import { executionError } from './errors.ts';
import type { Histogram } from './histograms/histogram.ts';
import { printString } from './literals.ts';
import type { Times } from './plan.ts';
import type { SeriesData } from './source.ts';

/** What a node evaluates to, for all steps at once. */
export type Value =
  | { readonly kind: 'vector'; readonly series: readonly StepSeries[] }
  /** One value a step. */
  | { readonly kind: 'scalar'; readonly values: Float64Array }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'matrix'; readonly series: readonly MatrixSeries[] };

/** A series of an instant vector over the steps of a query. The order of series is the order of the vector. */
export interface StepSeries {
  readonly labels: Labels;
  /** The metric name no longer describes the values; it is dropped when the query is done, or by an aggregation. */
  readonly dropName: boolean;
  /** One entry a step; meaningful where `present` is 1. */
  readonly values: Float64Array;
  readonly present: Uint8Array;
  /** The steps whose sample is a native histogram (and whose value means nothing); absent when there is none. */
  histograms?: (Histogram | undefined)[] | undefined;
}

/** Gives a step a native histogram as its sample. */
export function putHistogram(series: StepSeries, step: number, histogram: Histogram): void {
  series.histograms ??= new Array<Histogram | undefined>(series.values.length).fill(undefined);
  series.histograms[step] = histogram;
  series.present[step] = 1;
}

/** Gives a step the sample of a step of another series. */
export function copySample(to: StepSeries, step: number, from: StepSeries, fromStep = step): void {
  const histogram = from.histograms?.[fromStep];
  if (histogram) putHistogram(to, step, histogram);
  else {
    to.values[step] = from.values[fromStep] ?? 0;
    to.present[step] = 1;
  }
}

/** A series of a range vector. */
export interface MatrixSeries extends SeriesData {
  readonly dropName: boolean;
}

export function newSeries(labels: Labels, dropName: boolean, steps: number): StepSeries {
  return { labels, dropName, values: new Float64Array(steps), present: new Uint8Array(steps) };
}

/** Series whose values lie in common memory: making one is cheaper, and any that is kept keeps what lies beside it. */
export function seriesMaker(steps: number): (labels: Labels, dropName: boolean) => StepSeries {
  const perSlab = Math.max(1, Math.floor(slabSteps / Math.max(1, steps)));
  let next = perSlab;
  let values = new Float64Array(0);
  let present = new Uint8Array(0);
  return (labels, dropName) => {
    if (next === perSlab) {
      values = new Float64Array(perSlab * steps);
      present = new Uint8Array(perSlab * steps);
      next = 0;
    }
    const from = next++ * steps;
    return {
      ...{ labels, dropName },
      values: values.subarray(from, from + steps),
      present: present.subarray(from, from + steps),
    };
  };
}

const slabSteps = 16_384;

export const isEmpty = ({ present }: StepSeries): boolean => !present.includes(1);

/** A text that is equal for equal label sets and only for those. */
export const labelsKey = labelsJson;

const metadataLabels: ReadonlySet<string> = new Set(['__name__', '__type__', '__unit__']);

/** The metric name in a label set, or ''. */
export const metricName = (labels: Labels): string => labelValue(labels, '__name__');

/** Labels without those that describe the metric itself. */
export function withoutName(labels: Labels): Labels {
  return labels.some(([name]) => metadataLabels.has(name))
    ? labels.filter(([name]) => !metadataLabels.has(name))
    : labels;
}

/** Labels with one set to `value`; '' removes it. */
export function withLabel(labels: Labels, name: string, value: string): Labels {
  const others = labels.filter((label) => label[0] !== name);
  if (value === '') return others;
  const at = others.findIndex((label) => label[0] > name);
  const label: Label = [name, value];
  return at < 0 ? [...others, label] : [...others.slice(0, at), label, ...others.slice(at)];
}

/** The order of series in a matrix: label by label, name before value. */
export function compareLabels(one: Labels, other: Labels): number {
  const length = Math.min(one.length, other.length);
  for (let index = 0; index < length; index++) {
    const [a, b] = [one[index], other[index]];
    if (a === undefined || b === undefined) break;
    if (a[0] !== b[0]) return a[0] < b[0] ? -1 : 1;
    if (a[1] !== b[1]) return a[1] < b[1] ? -1 : 1;
  }
  return one.length - other.length;
}

/** `{__name__="x", a="b"}`, as error messages show a series. */
export function printLabels(labels: Labels): string {
  return `{${labels.map(([name, value]) => `${name}=${printString(value)}`).join(', ')}}`;
}

/**
 * Puts series that have come to have the same labels together. They must not both have a value at the same step:
 * PromqlError `execution`.
 */
export function mergeSameLabels(series: readonly StepSeries[]): readonly StepSeries[] {
  const byKey = new Map<string, number>();
  const merged: StepSeries[] = [];
  for (const one of series) {
    const key = labelsKey(one.labels);
    const index = byKey.get(key);
    const same = index === undefined ? undefined : merged[index];
    if (index === undefined || same === undefined) {
      byKey.set(key, merged.push(one) - 1);
      continue;
    }
    merged[index] = unite(same, one);
  }
  return merged;
}

function unite(one: StepSeries, other: StepSeries): StepSeries {
  // As in Prometheus, whether the name is dropped is said by the first sample of the series.
  const { dropName } = one.present.indexOf(1) <= other.present.indexOf(1) ? one : other;
  const united = newSeries(one.labels, dropName, one.values.length);
  united.values.set(one.values);
  united.present.set(one.present);
  united.histograms = one.histograms?.slice();
  other.present.forEach((flag, step) => {
    if (!flag) return;
    if (united.present[step]) throw executionError('vector cannot contain metrics with the same labelset');
    copySample(united, step, other);
  });
  return united;
}

/** The samples that a step series has, with their times. */
export function toMatrix(series: StepSeries, times: Times): MatrixSeries {
  const { labels, dropName, values, present } = series;
  let samples = 0;
  for (const flag of present) samples += flag;
  const timestampsMs = new Float64Array(samples);
  const found = new Float64Array(samples);
  const histograms = series.histograms && new Array<Histogram | undefined>(samples);
  let to = 0;
  for (let step = 0; step < times.steps; step++) {
    if (!present[step]) continue;
    timestampsMs[to] = times.startMs + step * times.stepMs;
    if (histograms) histograms[to] = series.histograms?.[step];
    found[to++] = values[step] ?? 0;
  }
  return { labels, dropName, timestampsMs, values: found, histograms };
}
