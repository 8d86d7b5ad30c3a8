import type { Signal } from '../../../lake/model/batch.ts';
import type { SegmentPlace } from '../../../lake/model/keys.ts';

// Segment files against the table that names them, after the table may have lost or kept too much. Pure: which file is
// to be taken over, which is to go, and which rows of the table have no file any more.

export interface FoundFile {
  /** Relative to the data folder. */
  readonly path: string;
  readonly signal: Signal;
  readonly place: SegmentPlace;
}

export interface KnownSegment {
  readonly path: string;
  readonly signal: Signal;
  readonly committed: boolean;
}

export interface ReconcileLimits {
  /** Files of older epochs are looked at; what is of this epoch or newer is the running gateway's. */
  readonly epoch: number;
  /** Files of epochs before this are left to another job. */
  readonly sinceEpoch: number;
  /** The epoch that ended, and how far it was sealed for certain; undefined: the table can be trusted. */
  readonly ended: { readonly epoch: number; readonly sealedSeq: number } | undefined;
}

export interface ReconcilePlan {
  /** Files that the table does not name and that hold committed rows; merged ones first. */
  readonly adopt: readonly FoundFile[];
  /** Files that go as soon as the one that holds their rows is adopted, by its path. */
  readonly covered: ReadonlyMap<string, readonly string[]>;
  /** Files that hold nothing that is not elsewhere. */
  readonly remove: readonly string[];
  /** Of the last seal of the epoch that ended: maybe committed, maybe not even complete. */
  readonly last: readonly FoundFile[];
  /** Everything up to here is in files for certain. */
  readonly sealedSeq: number;
  /** Rows of the table without a file and without another file that holds their rows. */
  readonly gone: readonly KnownSegment[];
}

export function planReconcile(
  files: readonly FoundFile[],
  known: readonly (KnownSegment & { readonly place: SegmentPlace })[],
  { epoch, sinceEpoch, ended }: ReconcileLimits,
): ReconcilePlan {
  const onDisk = new Set(files.map(({ path }) => path));
  const named = new Set(known.map(({ path }) => path));
  const isOurs = ({ place }: Placed): boolean => place.epoch < epoch && place.epoch >= sinceEpoch;
  const unknown = files.filter((file) => !named.has(file.path) && isOurs(file));
  const gone = known.filter((segment) => !onDisk.has(segment.path) && isOurs(segment));
  if (ended === undefined)
    return { adopt: [], covered: new Map(), remove: unknown.map(pathOf), last: [], sealedSeq: 0, gone };

  const sealedSeq = sealedFor(files, ended);
  const isLast = ({ place }: FoundFile): boolean => place.epoch === ended.epoch && place.toSeq > sealedSeq;
  const last = unknown.filter(isLast);
  const candidates = unknown.filter((file) => !isLast(file));
  const remove: string[] = [];
  const covered = new Map<string, string[]>();
  const isCovered = new Set<string>();
  /** The largest first, so that a part of a part is found to be in the whole. */
  const merged = candidates.filter(({ place }) => place.merge !== undefined).sort(bySize);
  for (const whole of merged) {
    if (isCovered.has(whole.path)) continue;
    const parts = [...known, ...candidates].filter((part) => holds(whole, part) && !isCovered.has(part.path));
    const named = known.filter((part) => holds(whole, part));
    if (named.length > 0 && named.every(({ path }) => onDisk.has(path))) {
      remove.push(whole.path); // a merge that was not committed: its parts are all here, and named
      isCovered.add(whole.path);
      continue;
    }
    for (const part of parts) isCovered.add(part.path);
    covered.set(whole.path, parts.map(pathOf));
  }
  // A whole that is in the table already.
  for (const file of candidates)
    if (!isCovered.has(file.path) && known.some((whole) => onDisk.has(whole.path) && holds(whole, file))) {
      remove.push(file.path);
      isCovered.add(file.path);
    }
  const adopt = [...merged, ...candidates.filter(({ place }) => place.merge === undefined)];
  return {
    adopt: adopt.filter(({ path }) => !isCovered.has(path)),
    ...{ covered, remove, last, sealedSeq },
    gone: gone.filter(({ path }) => !isCovered.has(path)),
  };
}

const pathOf = ({ path }: { readonly path: string }): string => path;
const bySize = (a: FoundFile, b: FoundFile): number =>
  b.place.toSeq - b.place.fromSeq - (a.place.toSeq - a.place.fromSeq) ||
  (b.place.merge?.count ?? 0) - (a.place.merge?.count ?? 0);

/**
 * A seal begins when the one before it is committed, and only committed files are merged: so the files themselves say
 * how far the seals came at least.
 */
function sealedFor(files: readonly FoundFile[], ended: { epoch: number; sealedSeq: number }): number {
  let sealedSeq = ended.sealedSeq;
  for (const { place } of files)
    if (place.epoch === ended.epoch)
      sealedSeq = Math.max(sealedSeq, place.merge === undefined ? place.fromSeq : place.toSeq);
  return sealedSeq;
}

interface Placed {
  readonly path: string;
  readonly signal: Signal;
  readonly place: SegmentPlace;
}

/** All rows of the part are in the whole, which was made of it and others. */
function holds(whole: Placed, part: Placed): boolean {
  const [of, its] = [whole.place, part.place];
  if (of.merge === undefined || whole.path === part.path || whole.signal !== part.signal) return false;
  if (of.epoch !== its.epoch || of.day !== its.day || of.class !== its.class) return false;
  if (of.fromSeq > its.fromSeq || of.toSeq < its.toSeq) return false;
  const same = of.fromSeq === its.fromSeq && of.toSeq === its.toSeq;
  return !same || (its.merge?.count ?? 0) < of.merge.count;
}
