import { dirname } from 'node:path/posix';
import Database from 'better-sqlite3';
import { segmentName } from '../../lake/model/keys.ts';
import { classOfSignal } from '../../lake/model/stream-class.ts';
import { recordOf, type SegmentRow, segmentColumns } from '../wal/reader.ts';
import type { SegmentRecord } from '../wal/wal.ts';

// Which local files may become one. Files that wait to be shipped are merged with each other, so that a long outage is
// shipped in few large files; files that the cloud has are merged with each other for local reading. The two are never
// mixed, and what an upload or a shipment names is left alone.

export interface MergeLimits {
  /** Files of one tier, signal, class and day that become one file of the next tier. */
  readonly mergeFilesMin: number;
  /** What one merged file may hold. */
  readonly mergeRowsMax: number;
  readonly mergeBytesMax: number;
}

export type LocalFile = SegmentRecord & { readonly state: FileState };
/** `waiting`: not shipped, and no upload has begun. `busy`: on its way. */
type FileState = 'waiting' | 'busy' | 'committed';

/** What is to be left alone: groups by `groupOf`, files by path. */
interface Held {
  group(name: string): boolean;
  file(path: string): boolean;
}

export interface LocalFiles extends Disposable {
  /** Files that are to become one, oldest first; empty when no tier has enough. */
  nextMerge(limits: MergeLimits, isHeld: Held): LocalFile[];
  /** Committed files that were sealed before, the oldest first. */
  expired(beforeUs: number, limit: number): string[];
}

type Group = Pick<SegmentRow, 'signal' | 'class' | 'day' | 'tier' | 'epoch' | 'clock' | 'committed'>;
type GroupName = Pick<SegmentRecord, 'signal' | 'class' | 'day' | 'tier' | 'epoch'> & {
  readonly committed: 0 | 1 | boolean;
};

const stateSql = `CASE WHEN committed = 1 THEN 'committed'
  WHEN shipment IS NULL AND refused IS NULL AND uploaded = 0 AND upload_state IS NULL THEN 'waiting' ELSE 'busy' END`;

export function openLocalFiles(walPath: string): LocalFiles {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  // A file of more than a quarter of the limits stays as it is, so that any four of the others fit together: to write rows
  // again costs as much as to seal them.
  const mergeable = `(${stateSql}) <> 'busy' AND rows * 4 <= @mergeRowsMax AND bytes * 4 <= @mergeBytesMax`;
  const groups = db.prepare<[MergeLimits], Group>(
    `SELECT signal, class, day, tier, epoch, clock, committed FROM segment WHERE ${mergeable}
     GROUP BY signal, class, day, tier, epoch, clock, committed
     HAVING count(*) >= @mergeFilesMin ORDER BY tier, day`,
  );
  // All of the day that the cloud does not have, or all that it has: a range must not be drawn over a file between.
  const filesOf = db.prepare<[Group], SegmentRow & { state: FileState }>(
    `SELECT ${segmentColumns}, ${stateSql} AS state FROM segment
     WHERE signal = @signal AND class = @class AND day = @day AND epoch = @epoch AND committed = @committed
     ORDER BY from_seq, path`,
  );
  const old = db
    .prepare<[number, number], string>(
      `SELECT path FROM segment WHERE committed = 1 AND sealed_us < ? ORDER BY sealed_us LIMIT ?`,
    )
    .pluck();
  return {
    nextMerge: (limits, isHeld) => {
      for (const group of groups.all(limits)) {
        if (isHeld.group(groupOf(group))) continue;
        const files = filesOf.all(group).map((row): LocalFile => ({ ...recordOf(row), state: row.state }));
        const run = firstRun(files, group, limits, isHeld);
        if (run.length > 0) return run;
      }
      return [];
    },
    expired: (beforeUs, limit) => old.all(beforeUs, limit),
    [Symbol.dispose]: () => void db.close(),
  };
}

/** Files merged at once, so that one merge does not take long. */
const mergeFilesMax = 256;

/** Name of a group, for `isHeld`. */
export const groupOf = ({ signal, class: of, day, tier, epoch, committed }: GroupName): string =>
  `${signal} ${of} ${day} epoch ${epoch} tier ${tier}${committed ? ' committed' : ''}`;

/** The first neighbours that are enough: all there are, or as many as fit into one file. */
function firstRun(
  files: readonly LocalFile[],
  { tier, clock }: Group,
  limits: MergeLimits,
  isHeld: Held,
): LocalFile[] {
  const { mergeFilesMin, mergeRowsMax, mergeBytesMax } = limits;
  let run: LocalFile[] = [];
  let [rows, bytes] = [0, 0];
  for (const file of files) {
    const small = file.rows * 4 <= mergeRowsMax && file.bytes * 4 <= mergeBytesMax;
    const free = file.state !== 'busy' && !isHeld.file(file.path);
    const fits = file.tier === tier && file.clock === clock && free && small;
    if (!fits) {
      if (run.length >= mergeFilesMin) return run;
      [run, rows, bytes] = [[], 0, 0];
      continue;
    }
    if (rows + file.rows > mergeRowsMax || bytes + file.bytes > mergeBytesMax) return run;
    run.push(file);
    rows += file.rows;
    bytes += file.bytes;
    if (run.length === mergeFilesMax) return run;
  }
  return run.length >= mergeFilesMin ? run : [];
}

/**
 * The path of the file that replaces these: from the first one's range to the last one's, with its tier, so that no
 * file that is merged has this name.
 */
export function mergedPath(files: readonly LocalFile[]): string {
  const [first] = files;
  const last = files.at(-1);
  if (first === undefined || last === undefined) throw new RangeError('nothing is to be merged');
  const apart = first.class === 'alarms' && classOfSignal(first.signal) !== 'alarms';
  const kind = first.committed ? 'after-commit' : 'before-ship';
  const { epoch, fromSeq, day, tier } = first;
  const merge = { kind, count: tier + 1 } as const;
  const name = segmentName({
    epoch,
    fromSeq,
    toSeq: last.toSeq,
    day,
    merge,
    ...(apart && { class: 'alarms' }),
  });
  return `${dirname(first.path)}/${name}`;
}
