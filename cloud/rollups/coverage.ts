import { z } from 'zod';
import { changedSince } from '../catalog/changed-times.ts';
import { currentSnapshot, type TableMetadata } from '../catalog/metadata.ts';

// What a rollup table stands for: the summary of its snapshot says of which state of `metrics` it was made, up to when,
// and which times in between are out of date. It moves in the same swap as the files, so that whatever a process was
// doing when it was killed, no sample counts twice and no bucket that is wrong is taken for right.

/** Handed on from snapshot to snapshot by maintenance, as all properties with this prefix. */
export const coverageProperty = 'firn.rollup';

/** Milliseconds; `toMs` is not in it. Buckets belong to the time in which they begin. */
export interface BucketTimes {
  readonly fromMs: number;
  readonly toMs: number;
}

const pending = z.object({
  fromMs: z.number(),
  toMs: z.number(),
  /** Since when it has been out of date, and when it last became so. */
  sinceMs: z.number(),
  touchedMs: z.number(),
});
export type Pending = z.infer<typeof pending>;

const coverageJson = z.object({
  /** The snapshot of metrics that it was made of, and its sequence number. */
  snapshot: z.string().regex(/^\d+$/),
  sequenceNumber: z.number().int(),
  /** Buckets that begin from here on are not made yet. */
  toMs: z.number(),
  /** Of earlier times metrics has not all rows any more: what is here stays as it is. */
  keptBeforeMs: z.number(),
  pending: z.array(pending),
});
export type Coverage = z.infer<typeof coverageJson>;

export const printCoverage = (coverage: Coverage): string => JSON.stringify(coverage);

/** Of the newest snapshot; undefined where there is none, or another engine has committed since. */
export function coverageOf(metadata: TableMetadata | undefined): Coverage | undefined {
  const text = metadata && currentSnapshot(metadata)?.summary[coverageProperty];
  if (text === undefined) return undefined;
  try {
    return coverageJson.parse(JSON.parse(text));
  } catch {
    // Damaged: everything is made anew.
    return undefined;
  }
}

/**
 * The times of buckets that are not what `metrics` holds now, though they were at `coverage`; undefined where that is
 * not known: then all may be.
 */
export function changedBuckets(
  metrics: TableMetadata,
  coverage: Coverage,
  bucketMs: number,
): readonly BucketTimes[] | undefined {
  const current = currentSnapshot(metrics);
  if (!current || current.sequenceNumber < coverage.sequenceNumber || !descends(metrics, coverage))
    return undefined;
  return changedSince(current, coverage.sequenceNumber)?.flatMap(({ fromUs, toUs }) => {
    const fromMs = Math.max(bucketOf(fromUs / 1000, bucketMs), coverage.keptBeforeMs);
    const toMs = bucketOf(toUs / 1000, bucketMs) + bucketMs;
    return fromMs < toMs ? [{ fromMs, toMs }] : [];
  });
}

/** Where the bucket that a time falls into begins; times are seen in whole milliseconds. */
export const bucketOf = (timeMs: number, bucketMs: number): number =>
  (Math.ceil(Math.floor(timeMs) / bucketMs) - 1) * bucketMs;

/** False when the table was set back to a state before, and went on from there. */
function descends(metrics: TableMetadata, { snapshot }: Coverage): boolean {
  const id = BigInt(snapshot);
  const byId = new Map(metrics.snapshots.map((each) => [each.snapshotId, each]));
  // One that has expired says nothing.
  if (!byId.has(id)) return true;
  for (let at = currentSnapshot(metrics); at; at = byId.get(at.parentSnapshotId ?? -1n))
    if (at.snapshotId === id) return true;
  return false;
}

/** Puts times in order, those that touch as one. */
export function unitedTimes(times: readonly BucketTimes[]): BucketTimes[] {
  const result: BucketTimes[] = [];
  for (const { fromMs, toMs } of times.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = result.at(-1);
    if (last && fromMs <= last.toMs)
      result[result.length - 1] = { fromMs: last.fromMs, toMs: Math.max(last.toMs, toMs) };
    else if (fromMs < toMs) result.push({ fromMs, toMs });
  }
  return result;
}
