import type { Gap } from '../../lake/model/gap.ts';

export interface GapMergeLimits {
  /** Gaps of one kind that are at most so far apart become one. */
  readonly mergeWindowUs: number;
  /** More than so many become fewer and coarser. */
  readonly gapsMax: number;
}

/**
 * Puts gaps together: the same signal, class, kind, reason and detail, and times that touch or are near. Known counts
 * of rows are added, and kept apart from gaps of which nobody knows how many rows they miss. Nothing is left out, so
 * above `gapsMax` first the window goes, then the details, then the reasons: the result is never longer than the limit
 * or one gap for each signal, class and kind, whichever is more.
 */
export function mergeGaps(gaps: Iterable<Gap>, { mergeWindowUs, gapsMax }: GapMergeLimits): Gap[] {
  let merged = mergeWithin([...gaps], mergeWindowUs);
  if (merged.length > gapsMax) merged = mergeWithin(merged, Number.POSITIVE_INFINITY);
  if (merged.length > gapsMax)
    merged = mergeWithin(
      merged.map((gap) => ({ ...gap, detail: null })),
      Number.POSITIVE_INFINITY,
    );
  if (merged.length > gapsMax)
    merged = mergeWithin(
      merged.map((gap) => ({ ...gap, reason: variousReasons })),
      Number.POSITIVE_INFINITY,
    );
  return merged;
}

/** The reason of a gap that had to stand for too many different ones. */
export const variousReasons = 'various';

function mergeWithin(gaps: readonly Gap[], windowUs: number): Gap[] {
  const groups = new Map<string, Gap[]>();
  for (const gap of [...gaps].sort((a, b) => a.fromUs - b.fromUs)) {
    const { signal, class: of, kind, reason, detail, rows } = gap;
    const key = JSON.stringify([signal, of, kind, reason, detail, rows === null]);
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    const last = group.at(-1);
    if (last === undefined || gap.fromUs - last.toUs > windowUs) group.push(gap);
    else group[group.length - 1] = joined(last, gap);
  }
  return [...groups.values()].flat().sort((a, b) => a.fromUs - b.fromUs);
}

function joined(a: Gap, b: Gap): Gap {
  const rows = a.rows === null || b.rows === null ? null : a.rows + b.rows;
  return { ...a, fromUs: Math.min(a.fromUs, b.fromUs), toUs: Math.max(a.toUs, b.toUs), rows };
}
