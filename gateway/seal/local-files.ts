import { basename, dirname } from 'node:path/posix';
import Database from 'better-sqlite3';
import type { SegmentRecord } from '../wal/wal.ts';

// Which local files may be merged or removed: those of shipped shipments, and merged ones, which are made of those.

export interface MergeLimits {
  /** Files of one tier, signal and day that become one file of the next tier. */
  readonly mergeFilesMin: number;
  /** What one merged file may hold. */
  readonly mergeRowsMax: number;
  readonly mergeBytesMax: number;
}

export type LocalFile = Pick<SegmentRecord, 'path' | 'signal' | 'day' | 'tier' | 'rows' | 'bytes'>;

export interface LocalFiles extends Disposable {
  /** Files that are to become one, oldest first; empty when no tier has enough. `isHeld`: groups to leave alone. */
  nextMerge(limits: MergeLimits, isHeld: (group: string) => boolean): LocalFile[];
  /** Files all of whose rows are older, the oldest first. */
  olderThan(timestampUs: number, limit: number): string[];
}

const shippedSql = `(shipment IS NULL OR shipment NOT IN (SELECT number FROM shipment WHERE state = 'sealed'))`;

export function openLocalFiles(walPath: string): LocalFiles {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  // A file of more than half the limits stays as it is, so that any two of the others fit together.
  type Limits = MergeLimits & { files: number };
  const mergeable = `${shippedSql} AND rows * 2 <= @mergeRowsMax AND bytes * 2 <= @mergeBytesMax`;
  const groups = db.prepare<[Limits], Pick<LocalFile, 'signal' | 'day' | 'tier'>>(
    `SELECT signal, day, tier FROM segment WHERE ${mergeable} GROUP BY signal, day, tier
     HAVING count(*) >= @mergeFilesMin ORDER BY tier, day`,
  );
  const filesOf = db.prepare<[Limits & Pick<LocalFile, 'signal' | 'day' | 'tier'>], LocalFile>(
    `SELECT path, signal, day, tier, rows, bytes FROM segment
     WHERE signal = @signal AND day = @day AND tier = @tier AND ${mergeable} ORDER BY path LIMIT @mergeFilesMin`,
  );
  const old = db.prepare<[number, number], { path: string }>(
    `SELECT path FROM segment WHERE max_timestamp_us < ? AND ${shippedSql} ORDER BY max_timestamp_us LIMIT ?`,
  );
  return {
    nextMerge: (limits, isHeld) => {
      const parameters = { ...limits, files: limits.mergeFilesMin };
      const group = groups.all(parameters).find((one) => !isHeld(groupOf(one)));
      if (group === undefined) return [];
      return thoseThatFit(filesOf.all({ ...parameters, ...group }), limits);
    },
    olderThan: (timestampUs, limit) => old.all(timestampUs, limit).map(({ path }) => path),
    [Symbol.dispose]: () => void db.close(),
  };
}

/** Name of a group, for `isHeld`. */
export const groupOf = ({ signal, day, tier }: Pick<LocalFile, 'signal' | 'day' | 'tier'>): string =>
  `${signal} ${day} tier ${tier}`;

function thoseThatFit(
  files: readonly LocalFile[],
  { mergeRowsMax, mergeBytesMax }: MergeLimits,
): LocalFile[] {
  let rows = 0;
  let bytes = 0;
  const fit: LocalFile[] = [];
  for (const file of files) {
    rows += file.rows;
    bytes += file.bytes;
    if (rows > mergeRowsMax || bytes > mergeBytesMax) break;
    fit.push(file);
  }
  return fit;
}

/**
 * The path of the file that replaces these: from the first one's range to the last one's, with its tier, so that no
 * file that is merged has this name.
 */
export function mergedPath(files: readonly LocalFile[]): string {
  const names = files.map(({ path }) => basename(path, '.parquet')).sort();
  const first = /^(\d+-\d+)-\d+-/.exec(names[0] ?? '');
  const last = /^\d+-\d+-(\d+)-/.exec(names.at(-1) ?? '');
  const [file] = files;
  if (file === undefined || first === null || last === null)
    throw new RangeError(`no merged name for ${names.join(', ')}`);
  return `${dirname(file.path)}/${first[1]}-${last[1]}-${file.day}-t${file.tier + 1}.parquet`;
}
