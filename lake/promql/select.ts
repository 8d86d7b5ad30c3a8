import type { Annotations } from './annotations.ts';
import { interpolateHistogram } from './functions/histogram-rate.ts';
import { interpolate } from './functions/rate.ts';
import { firstAfter } from './functions/window.ts';
import { isCustom, withHint } from './histograms/histogram.ts';
import { type Notes, noteMixed, noteSchemas } from './notes.ts';
import type { InstantNode, Times } from './plan.ts';
import { bitsOf, isStaleAt, type SeriesData, withoutStale } from './source.ts';
import { metricName, newSeries, putHistogram, type StepSeries } from './value.ts';

/** What is wanted of the sample that a step finds; times are in seconds. */
export type SamplePart = 'value' | 'time' | 'start';

/**
 * The instant vector of one series: at every step its newest sample that is not older than the lookback, or nothing
 * when that is a staleness marker.
 */
export function selectInstant(
  series: SeriesData,
  node: Pick<InstantNode, 'offsetMs' | 'atMs'>,
  times: Times,
  lookbackMs: number,
  part: SamplePart = 'value',
): StepSeries {
  const { timestampsMs, values, histograms, startsMs } = series;
  const bits = bitsOf(values);
  const result = newSeries(series.labels, false, times.steps);
  // Steps only go forward, and so does `next`: the first sample after the reference time.
  let next = firstAfter(timestampsMs, (node.atMs ?? times.startMs) - node.offsetMs, 0, timestampsMs.length);
  for (let step = 0; step < times.steps; step++) {
    const referenceMs = (node.atMs ?? times.startMs + step * times.stepMs) - node.offsetMs;
    while (next < timestampsMs.length && (timestampsMs[next] ?? 0) <= referenceMs) next++;
    const sampleMs = timestampsMs[next - 1];
    if (sampleMs === undefined || sampleMs <= referenceMs - lookbackMs || isStaleAt(bits, next - 1)) continue;
    result.present[step] = 1;
    if (part === 'time') result.values[step] = sampleMs / 1000;
    else if (part === 'start') result.values[step] = (startsMs?.[next - 1] ?? 0) / 1000;
    else {
      result.values[step] = values[next - 1] ?? 0;
      const histogram = histograms?.[next - 1];
      if (histogram) putHistogram(result, step, histogram);
    }
  }
  return result;
}

/** A `smoothed` instant vector: between two samples the value on the line through them. */
export function selectSmoothed(
  series: SeriesData,
  node: InstantNode,
  times: Times,
  lookbackMs: number,
  annotations: Annotations,
): StepSeries {
  const live = withoutStale(series);
  const { timestampsMs, values, histograms } = live;
  const result = newSeries(series.labels, false, times.steps);
  const notes: Notes = { annotations, metric: metricName(series.labels), span: node.span };
  for (let step = 0; step < times.steps; step++) {
    const referenceMs = (node.atMs ?? times.startMs + step * times.stepMs) - node.offsetMs;
    const next = firstAfter(timestampsMs, referenceMs, 0, timestampsMs.length);
    if (histograms) {
      const from = firstAfter(timestampsMs, referenceMs - lookbackMs, 0, timestampsMs.length);
      const to = firstAfter(timestampsMs, referenceMs + lookbackMs, from, timestampsMs.length);
      const found = histograms.slice(from, to).filter((one) => one !== undefined).length;
      if (found > 0 && found < to - from) {
        noteMixed(notes);
        continue;
      }
    }
    const before = next - 1;
    const beforeMs = timestampsMs[before];
    if (beforeMs === undefined || beforeMs <= referenceMs - lookbackMs) continue;
    const nextMs = timestampsMs[next];
    const between = beforeMs < referenceMs && nextMs !== undefined && nextMs <= referenceMs + lookbackMs;
    if (histograms?.[before]) smoothHistogram(live, before, between, referenceMs, step, result, notes);
    else {
      result.values[step] = between ? interpolate(live, before, referenceMs, false) : (values[before] ?? 0);
      result.present[step] = 1;
    }
  }
  return result;
}

function smoothHistogram(
  { timestampsMs, histograms }: SeriesData,
  before: number,
  between: boolean,
  referenceMs: number,
  step: number,
  result: StepSeries,
  notes: Notes,
): void {
  const [one, other] = [histograms?.[before], histograms?.[before + 1]];
  const [oneMs = 0, otherMs = 0] = [timestampsMs[before], timestampsMs[before + 1]];
  if (one === undefined) return;
  if (oneMs === referenceMs) putHistogram(result, step, one);
  // The hint is about two samples in a row, and here the second is not there yet.
  else if (!between || other === undefined) putHistogram(result, step, withHint(one, 'unknown'));
  else if (isCustom(one) !== isCustom(other)) noteSchemas(notes);
  else {
    const counter = one.hint !== 'gauge' || other.hint !== 'gauge';
    const fraction = (referenceMs - oneMs) / (otherMs - oneMs);
    const value = interpolateHistogram(one, other, fraction, counter, notes);
    if (value) putHistogram(result, step, value);
  }
}
