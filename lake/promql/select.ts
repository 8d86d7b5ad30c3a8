import { interpolate } from './functions/rate.ts';
import { firstAfter } from './functions/window.ts';
import type { InstantNode, Times } from './plan.ts';
import { bitsOf, isStaleAt, type SeriesData, withoutStale } from './source.ts';
import { newSeries, type StepSeries } from './value.ts';

/**
 * The instant vector of one series: at every step its newest sample that is not older than the lookback, or nothing
 * when that is a staleness marker. `timestamps` gives the samples' times, in seconds, in place of their values.
 */
export function selectInstant(
  series: SeriesData,
  node: Pick<InstantNode, 'offsetMs' | 'atMs'>,
  times: Times,
  lookbackMs: number,
  timestamps = false,
): StepSeries {
  const { timestampsMs, values } = series;
  const bits = bitsOf(values);
  const result = newSeries(series.labels, false, times.steps);
  // Steps only go forward, and so does `next`: the first sample after the reference time.
  let next = firstAfter(timestampsMs, (node.atMs ?? times.startMs) - node.offsetMs, 0, timestampsMs.length);
  for (let step = 0; step < times.steps; step++) {
    const referenceMs = (node.atMs ?? times.startMs + step * times.stepMs) - node.offsetMs;
    while (next < timestampsMs.length && (timestampsMs[next] ?? 0) <= referenceMs) next++;
    const sampleMs = timestampsMs[next - 1];
    if (sampleMs === undefined || sampleMs <= referenceMs - lookbackMs || isStaleAt(bits, next - 1)) continue;
    result.values[step] = timestamps ? sampleMs / 1000 : (values[next - 1] ?? 0);
    result.present[step] = 1;
  }
  return result;
}

/** A `smoothed` instant vector: between two samples the value on the line through them. */
export function selectSmoothed(
  series: SeriesData,
  node: InstantNode,
  times: Times,
  lookbackMs: number,
): StepSeries {
  const live = withoutStale(series);
  const { timestampsMs, values } = live;
  const result = newSeries(series.labels, false, times.steps);
  for (let step = 0; step < times.steps; step++) {
    const referenceMs = (node.atMs ?? times.startMs + step * times.stepMs) - node.offsetMs;
    const next = firstAfter(timestampsMs, referenceMs, 0, timestampsMs.length);
    const before = next - 1;
    const beforeMs = timestampsMs[before];
    if (beforeMs === undefined || beforeMs <= referenceMs - lookbackMs) continue;
    const nextMs = timestampsMs[next];
    const between = beforeMs < referenceMs && nextMs !== undefined && nextMs <= referenceMs + lookbackMs;
    result.values[step] = between ? interpolate(live, before, referenceMs, false) : (values[before] ?? 0);
    result.present[step] = 1;
  }
  return result;
}
