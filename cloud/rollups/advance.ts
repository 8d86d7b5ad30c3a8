import { currentSnapshot, type TableMetadata } from '../catalog/metadata.ts';
import { type BucketTimes, type Coverage, changedBuckets, type Pending } from './coverage.ts';

// What there is to roll up next: a pure function of what the table stands for, what metrics holds now, and the time.

export interface AdvanceLimits {
  /** Buckets are made so long after their end: what comes later makes them anew. */
  readonly lagMs: number;
  /** Buckets with late rows are made anew when none has come for so long, */
  readonly settleMs: number;
  /** but not later than that after the first. */
  readonly lateMs: number;
  /** Times that are out of date which are told apart; with more, what lies between counts as well. */
  readonly pendingMax: number;
}

export interface Advance {
  /** As it is before any of `due` is made. */
  readonly coverage: Coverage;
  /** To be made now, the newest first. */
  readonly due: readonly BucketTimes[];
  /** Whether there is anything to commit. */
  readonly isNews: boolean;
}

export interface Source {
  readonly metrics: TableMetadata;
  /** Where its earliest bucket begins. */
  readonly fromMs: number;
  /** Before this, days of metrics are about to go or gone. */
  readonly keptBeforeMs: number;
}

export function advance(
  before: Coverage | undefined,
  { metrics, fromMs, keptBeforeMs }: Source,
  bucketMs: number,
  nowMs: number,
  limits: AdvanceLimits,
): Advance {
  const current = currentSnapshot(metrics);
  if (!current) throw new TypeError('metrics has no snapshot');
  // What was never made is made as long as there are rows.
  const kept = before ? Math.max(before.keptBeforeMs, keptBeforeMs) : Number.MIN_SAFE_INTEGER;
  const changed = before && changedBuckets(metrics, { ...before, keptBeforeMs: kept }, bucketMs);
  const madeMs = changed ? before.toMs : Math.max(fromMs, kept);
  const toMs = Math.max(Math.floor((nowMs - limits.lagMs) / bucketMs) * bucketMs, madeMs);
  const late = (changed ?? [])
    .map((times) => ({ ...times, toMs: Math.min(times.toMs, madeMs) }))
    .filter((times) => times.fromMs < times.toMs)
    .map((times): Pending => ({ ...times, sinceMs: nowMs, touchedMs: nowMs }));
  const pending = withTimes([...(changed ? before.pending : []), ...late], limits.pendingMax);
  // New times are due at once.
  const fresh: Pending[] = madeMs < toMs ? [{ fromMs: madeMs, toMs, sinceMs: 0, touchedMs: 0 }] : [];
  const isDue = ({ sinceMs, touchedMs }: Pending): boolean =>
    nowMs - touchedMs >= limits.settleMs || nowMs - sinceMs >= limits.lateMs;
  const all = [...pending, ...fresh];
  const due = all.filter(isDue).sort((a, b) => b.fromMs - a.fromMs);
  const { snapshotId, sequenceNumber } = current;
  const coverage = {
    ...{ snapshot: String(snapshotId), sequenceNumber, toMs, pending: all },
    keptBeforeMs: kept,
  };
  return { coverage, due, isNews: late.length > 0 || due.length > 0 };
}

/** Times that touch become one, and of too many the nearest. */
function withTimes(all: readonly Pending[], pendingMax: number): Pending[] {
  const sorted = all.toSorted((a, b) => a.fromMs - b.fromMs);
  const result: Pending[] = [];
  for (const one of sorted) {
    const last = result.at(-1);
    if (last && one.fromMs <= last.toMs) result[result.length - 1] = hull(last, one);
    else result.push(one);
  }
  while (result.length > pendingMax) {
    const gaps = result.slice(1).map((one, index) => one.fromMs - (result[index]?.toMs ?? 0));
    const at = gaps.indexOf(Math.min(...gaps));
    result.splice(at, 2, hull(result[at] as Pending, result[at + 1] as Pending));
  }
  return result;
}

const hull = (one: Pending, other: Pending): Pending => ({
  fromMs: one.fromMs,
  toMs: Math.max(one.toMs, other.toMs),
  sinceMs: Math.min(one.sinceMs, other.sinceMs),
  touchedMs: Math.max(one.touchedMs, other.touchedMs),
});

/** The coverage when these times have been made. */
export function withoutTimes(coverage: Coverage, made: readonly BucketTimes[]): Coverage {
  const pending = made.reduce<readonly Pending[]>(
    (left, { fromMs, toMs }) =>
      left.flatMap((one) => {
        const parts = [
          { ...one, toMs: Math.min(one.toMs, fromMs) },
          { ...one, fromMs: Math.max(one.fromMs, toMs) },
        ];
        return parts.filter((part) => part.fromMs < part.toMs);
      }),
    coverage.pending,
  );
  return { ...coverage, pending: [...pending] };
}
