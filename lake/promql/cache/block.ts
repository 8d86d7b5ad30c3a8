import { type Labels, labelsJson } from '../../model/labels.ts';
import { firstAfter } from '../functions/window.ts';
import { type Histogram, weightOf } from '../histograms/histogram.ts';
import type { QueryTimes, Times } from '../plan.ts';
import type { ResultData } from '../result.ts';
import type { SeriesData } from '../source.ts';
import { newSeries, putHistogram, type StepSeries } from '../value.ts';

/** The answer at some steps in a row, all of them between two multiples of `blockSteps`. */
export interface Block {
  readonly steps: StepRange;
  readonly labels: readonly Labels[];
  /** One entry a step, series after series; meaningful where `present` is 1. */
  readonly values: Float64Array;
  readonly present: Uint8Array;
  /** Absent when no sample is a native histogram. */
  readonly histograms: readonly (Histogram | undefined)[] | undefined;
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
  /** Samples that each of its steps was made of; absent when nobody has asked. */
  readonly samplesPerStep: Float64Array | undefined;
}

/** So few that little is asked anew at both ends of a range, so many that a range is few blocks. */
export const blockSteps = 64;

const bytesPerLabels = 300;
const bytesPerSample = 9;
const bytesPerBlock = 1_000;

/** What blocks of an answer of so many series and steps take, about. */
export const bytesOf = (series: number, steps: number): number =>
  bytesPerBlock + series * (bytesPerLabels + steps * bytesPerSample);

export const bytesOfBlock = ({ labels, steps, histograms = [] }: Block): number =>
  bytesOf(labels.length, countOf(steps)) +
  histograms.reduce((sum, one) => sum + (one ? 16 * weightOf(one) : 8), 0);

/** Steps by their number since the Unix epoch; those of a query with other fractions of a step have other numbers. */
export interface StepRange {
  readonly first: number;
  readonly last: number;
}

export const countOf = ({ first, last }: StepRange): number => last - first + 1;

/** The steps that are in both; none when `last` is before `first`. */
export const common = (one: StepRange, other: StepRange): StepRange => ({
  first: Math.max(one.first, other.first),
  last: Math.min(one.last, other.last),
});

export const stepsOf = ({ startMs, endMs, stepMs }: QueryTimes): StepRange => {
  const first = Math.floor(startMs / stepMs);
  return { first, last: first + Math.floor((endMs - startMs) / stepMs) };
};

export const phaseOf = ({ startMs, stepMs }: QueryTimes): number =>
  startMs - Math.floor(startMs / stepMs) * stepMs;

/** The times of some steps of a query. */
export function timesOfSteps(times: QueryTimes, { first, last }: StepRange): QueryTimes {
  const { stepMs } = times;
  const phaseMs = phaseOf(times);
  return { startMs: first * stepMs + phaseMs, endMs: last * stepMs + phaseMs, stepMs };
}

/** The part of an answer that a block is; all of its steps are in the answer. */
export function cutBlock(
  series: readonly SeriesData[],
  times: QueryTimes,
  steps: StepRange,
  { warnings, infos, samplesPerStep }: Pick<Block, 'warnings' | 'infos' | 'samplesPerStep'>,
): Block {
  const { startMs, endMs, stepMs } = timesOfSteps(times, steps);
  const count = countOf(steps);
  const found = series.flatMap((one) => {
    const { timestampsMs } = one;
    const from = firstAfter(timestampsMs, startMs - 1, 0, timestampsMs.length);
    const to = firstAfter(timestampsMs, endMs, from, timestampsMs.length);
    return from < to ? [{ ...one, from, to }] : [];
  });
  const values = new Float64Array(found.length * count);
  const present = new Uint8Array(values.length);
  let histograms: (Histogram | undefined)[] | undefined;
  for (const [place, one] of found.entries())
    for (let index = one.from; index < one.to; index++) {
      const at = place * count + Math.round(((one.timestampsMs[index] ?? 0) - startMs) / stepMs);
      present[at] = 1;
      values[at] = one.values[index] ?? 0;
      const histogram = one.histograms?.[index];
      if (histogram === undefined) continue;
      histograms ??= new Array<undefined>(values.length).fill(undefined);
      histograms[at] = histogram;
    }
  return {
    steps,
    labels: found.map(({ labels }) => labels),
    values,
    present,
    histograms,
    warnings,
    infos,
    samplesPerStep,
  };
}

/** An answer that is put together of parts. */
export interface Assembly {
  /** The steps of a block that belong to the answer. */
  addBlock(block: Block): void;
  addSeries(series: readonly SeriesData[]): void;
  /** The series, in no order. */
  readonly series: ReadonlyMap<string, StepSeries>;
}

/** `asked` are the steps of `times`. */
export function createAssembly(times: Times, asked: StepRange): Assembly {
  const series = new Map<string, StepSeries>();
  /** Blocks that were cut from one answer share their labels. */
  const seen = new Map<Labels, StepSeries>();
  const seriesOf = (labels: Labels): StepSeries => {
    const same = seen.get(labels);
    if (same) return same;
    const key = labelsJson(labels);
    const known = series.get(key) ?? newSeries(labels, false, times.steps);
    series.set(key, known);
    seen.set(labels, known);
    return known;
  };
  return {
    series,
    addBlock: ({ steps, labels, values, present, histograms }) => {
      const count = countOf(steps);
      const { first, last } = common(steps, asked);
      const target = first - asked.first;
      for (const [place, one] of labels.entries()) {
        const start = place * count + first - steps.first;
        const end = start + last - first + 1;
        if (!present.subarray(start, end).includes(1)) continue;
        const into = seriesOf(one);
        into.values.set(values.subarray(start, end), target);
        into.present.set(present.subarray(start, end), target);
        for (let at = start; histograms && at < end; at++) {
          const histogram = histograms[at];
          if (histogram) putHistogram(into, target + at - start, histogram);
        }
      }
    },
    addSeries: (found) => {
      for (const { labels, timestampsMs, values, histograms } of found) {
        const into = seriesOf(labels);
        for (let index = 0; index < values.length; index++) {
          const step = Math.round(((timestampsMs[index] ?? 0) - times.startMs) / times.stepMs);
          const histogram = histograms?.[index];
          if (histogram) putHistogram(into, step, histogram);
          into.values[step] = values[index] ?? 0;
          into.present[step] = 1;
        }
      }
    },
  };
}

/** The series of a range query's answer. */
export function matrixOf(data: ResultData): readonly SeriesData[] {
  if (data.type !== 'matrix') throw new Error(`a range query has given a ${data.type}`);
  return data.series;
}
