import {
  exactCount,
  type HistogramBuckets,
  type HistogramCount,
  type NativeHistogram,
  type ResetHint,
} from '../../model/native-histogram.ts';
import { type Buckets, hasNoValue, point } from './points.ts';

const schemaMax = 8;
const schemaMin = -4;
/** What Prometheus takes for a zero bucket that has no width. */
const zeroThresholdDefault = 1e-128;
/** A smaller gap between buckets is filled with empty ones. */
const gapMin = 3;

/** The point that was read last as a native histogram; undefined when its buckets are too wide for one. */
export function nativeHistogramOf(resetHint: ResetHint): NativeHistogram | undefined {
  const { scale, count, sum, zeroCount, zeroThreshold, positive, negative } = point;
  if (scale < schemaMin) return undefined;
  const scaleDown = Math.max(0, scale - schemaMax);
  const stale = hasNoValue();
  return {
    ...{ schema: scale - scaleDown, integer: true, count, stale, sum: stale ? Number.NaN : sum },
    zeroThreshold: zeroThreshold || zeroThresholdDefault,
    zeroCount,
    positive: bucketsOf(positive, scaleDown),
    negative: bucketsOf(negative, scaleDown),
    customValues: [],
    resetHint,
  };
}

/** OpenTelemetry's bucket 0 ends at the base, Prometheus' at 1: indexes are one apart. */
function bucketsOf({ offset, counts }: Buckets, scaleDown: number): HistogramBuckets {
  const spans: [number, number][] = [];
  const merged: HistogramCount[] = [];
  /** Where the last span ends; the first one's offset is counted from 0. */
  let end = 0;
  for (const [index, count] of counts.entries()) {
    if (count === 0) continue;
    const bucket = Math.floor((offset + index) / 2 ** scaleDown) + 1;
    const last = spans.at(-1);
    if (last !== undefined && bucket === end - 1) {
      merged[merged.length - 1] = exactCount(BigInt(merged.at(-1) ?? 0) + BigInt(count));
      continue;
    }
    if (last === undefined || bucket - end >= gapMin) spans.push([bucket - end, 1]);
    else {
      for (let gap = end; gap < bucket; gap++) merged.push(0);
      last[1] += bucket - end + 1;
    }
    merged.push(count);
    end = bucket + 1;
  }
  return { spans, counts: merged };
}
