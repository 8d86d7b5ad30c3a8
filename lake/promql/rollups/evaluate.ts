import type { Labels } from '../../model/labels.ts';
import type { Budget } from '../budget.ts';
import { firstAfter } from '../functions/window.ts';
import type { InstantNode, Times, WindowNode } from '../plan.ts';
import type { SamplePart } from '../select.ts';
import { newSeries, type StepSeries } from '../value.ts';
import { type Buckets, bucketFlags, withSamples } from './buckets.ts';
import { type BucketWindow, bucketFunctions } from './functions.ts';

/** A series in buckets; their ends lie where the plan's windows begin and end. */
export interface BucketSeries {
  readonly labels: Labels;
  readonly buckets: Buckets;
}

/** Buckets that a function looks at before the event loop is asked about. */
const bucketsPerTurn = 10_000;

/** The values of a range function over one series at every step. */
export async function bucketsOverTime(
  name: string,
  dropName: boolean,
  { labels, buckets }: BucketSeries,
  { rangeMs, offsetMs, atMs }: WindowNode,
  times: Times,
  budget: Budget,
): Promise<StepSeries> {
  const apply = bucketFunctions[name];
  if (apply === undefined) throw new Error(`${name} has been planned over rollups`);
  const held = withSamples(buckets);
  const { endsMs } = held;
  const result = newSeries(labels, dropName, times.steps);
  const window: BucketWindow = { buckets: held, from: 0, to: 0, startMs: 0, endMs: 0 };
  let seen = 0;
  for (let step = 0; step < times.steps; step++) {
    window.endMs = (atMs ?? times.startMs + step * times.stepMs) - offsetMs;
    window.startMs = window.endMs - rangeMs;
    window.from = firstAfter(endsMs, window.startMs, window.from, endsMs.length);
    window.to = firstAfter(endsMs, window.endMs, window.from, endsMs.length);
    if (window.from === window.to) continue;
    const value = apply(window);
    if (value !== undefined) {
      result.values[step] = value;
      result.present[step] = 1;
    }
    seen += window.to - window.from;
    if (seen < bucketsPerTurn) continue;
    seen = 0;
    if (budget.due()) await budget.pause();
  }
  return result;
}

/** The instant vector of one series: the newest sample of the newest bucket, where that is not too old or ended. */
export function selectFromBuckets(
  { labels, buckets }: BucketSeries,
  { offsetMs, atMs }: InstantNode,
  times: Times,
  lookbackMs: number,
  part: SamplePart,
): StepSeries {
  const { endsMs, flags, counts, lasts, lastsMs } = buckets;
  const result = newSeries(labels, false, times.steps);
  let next = 0;
  for (let step = 0; step < times.steps; step++) {
    const referenceMs = (atMs ?? times.startMs + step * times.stepMs) - offsetMs;
    next = firstAfter(endsMs, referenceMs, next, endsMs.length);
    const newest = next - 1;
    const ended = ((flags[newest] ?? 0) & bucketFlags.ended) !== 0;
    if (newest < 0 || ended || counts[newest] === 0) continue;
    const sampleMs = lastsMs[newest] ?? 0;
    if (sampleMs <= referenceMs - lookbackMs) continue;
    result.present[step] = 1;
    result.values[step] = part === 'time' ? sampleMs / 1000 : (lasts[newest] ?? 0);
  }
  return result;
}
