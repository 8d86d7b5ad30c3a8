import { weightOf } from './histograms/histogram.ts';
import type { Reference, Times } from './plan.ts';
import type { SeriesData } from './source.ts';
import type { StepSeries } from './value.ts';

/**
 * Samples that selectors gave, by step, counted as Prometheus does (`totalQueryableSamplesPerStep`): a window counts all of
 * its samples at each step, a native histogram as many as it takes the room of.
 */
export interface SampleCounts {
  readonly perStep: Float64Array;
  addInstant(series: Pick<StepSeries, 'present' | 'histograms'>): void;
  /** The windows of `rangeMs` of all steps. */
  addWindows(series: SeriesData, reference: Reference, rangeMs: number, times: Times): void;
  /** What an evaluation at one step gave, at each step. */
  addToAll(samples: number): void;
}

export function createSampleCounts(steps: number): SampleCounts {
  const perStep = new Float64Array(steps);
  const add = (step: number, samples: number): void => {
    perStep[step] = (perStep[step] ?? 0) + samples;
  };
  return {
    perStep,
    addInstant: ({ present, histograms }) => {
      for (let step = 0; step < present.length; step++) {
        const histogram = histograms?.[step];
        if (present[step]) add(step, histogram ? weightOf(histogram) : 1);
      }
    },
    addWindows: ({ timestampsMs, histograms }, { offsetMs, atMs }, rangeMs, { startMs, stepMs }) => {
      const weights = histograms?.map((histogram) => (histogram ? weightOf(histogram) : 1));
      const weightAt = (index: number): number => weights?.[index] ?? 1;
      let [from, to, weight] = [0, 0, 0];
      for (let step = 0; step < perStep.length; step++) {
        const endMs = (atMs ?? startMs + step * stepMs) - offsetMs;
        for (; to < timestampsMs.length && (timestampsMs[to] ?? 0) <= endMs; to++) weight += weightAt(to);
        for (; from < to && (timestampsMs[from] ?? 0) <= endMs - rangeMs; from++) weight -= weightAt(from);
        add(step, weight);
      }
    },
    addToAll: (samples) => {
      for (let step = 0; step < perStep.length; step++) add(step, samples);
    },
  };
}

export const sumOf = (counts: Float64Array): number => counts.reduce((sum, one) => sum + one, 0);
