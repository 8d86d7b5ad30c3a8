import Database from 'better-sqlite3';
import type { SegmentClaims } from '../seal/segment-claims.ts';
import { recordOf, type SegmentRow, segmentColumns } from '../wal/reader.ts';
import type { SegmentRecord } from '../wal/wal.ts';
import type { FileState, LadderFile, LadderFiles } from './ladder.ts';

// The ladder's view of the log's list of files.

/**
 * Thinned-out samples and their minutes have at least this tier, also when they are merged: rolled up again, a minute
 * would be counted twice. Merging keeps tiers apart.
 */
export const rolledUpTier = 100;

/** Files that are younger are not rolled up: their minutes are not over, and people look at what is new. */
const rollUpAgeUsMin = 600_000_000;
/** Files that were looked at in vain; when there are more, all get another chance. */
const heldFilesMax = 100_000;

export interface SegmentFiles extends LadderFiles, Disposable {
  hold(files: readonly LadderFile[]): void;
  /** The rows of the list for these files, in the same order; undefined when one is gone. */
  records(files: readonly LadderFile[]): readonly SegmentRecord[] | undefined;
  /** Of all files together. */
  bytes(): number;
}

const conditions: Readonly<Record<FileState, string>> = {
  committed: 'committed = 1',
  shipped: `committed = 0 AND refused IS NULL AND shipment IN (SELECT number FROM shipment WHERE state = 'shipped')`,
  refused: 'committed = 0 AND refused IS NOT NULL',
  composed: `committed = 0 AND refused IS NULL AND shipment IN (SELECT number FROM shipment WHERE state = 'composed')`,
  uploaded: 'committed = 0 AND refused IS NULL AND shipment IS NULL AND uploaded = 1',
  waiting: 'committed = 0 AND refused IS NULL AND shipment IS NULL AND uploaded = 0',
};
const copies: ReadonlySet<FileState> = new Set(['committed', 'shipped', 'refused']);

const fileColumns = `path, signal, class, day, rows, bytes, min_timestamp_us AS minTimestampUs,
  max_timestamp_us AS maxTimestampUs`;
type FileRow = Omit<LadderFile, 'state'>;
const isRaw = `signal = 'metrics' AND class = 'metrics' AND tier < ${rolledUpTier} AND upload_state IS NULL`;

/** `claims`: files that someone works on are left out. `nowUs`: by the clock that stamps seals. */
export function openSegmentFiles(
  walPath: string,
  claims: Pick<SegmentClaims, 'isTaken'>,
  nowUs: () => number,
): SegmentFiles {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  const inState = (state: FileState) =>
    db.prepare<[{ class: string | null }], FileRow>(
      `SELECT ${fileColumns} FROM segment
       WHERE ${conditions[state]} AND (@class IS NULL OR class = @class)
         ${copies.has(state) ? '' : `AND signal <> 'gaps'`} ORDER BY epoch, from_seq, path`,
    );
  const statements = Object.fromEntries(
    Object.keys(conditions).map((state) => [state, inState(state as FileState)]),
  ) as Readonly<Record<FileState, ReturnType<typeof inState>>>;
  const firstRaw = db.prepare<[number], Place>(
    `SELECT path, day, epoch, clock FROM segment WHERE ${isRaw} AND ${conditions.waiting} AND sealed_us < ?
     ORDER BY epoch, from_seq, path`,
  );
  const neighbours = db.prepare<
    [{ day: string; epoch: number }],
    FileRow & { clock: string; raw: 0 | 1; sealedUs: number }
  >(
    `SELECT ${fileColumns}, clock, sealed_us AS sealedUs, (${isRaw} AND ${conditions.waiting}) AS raw FROM segment
     WHERE signal = 'metrics' AND class = 'metrics' AND day = @day AND epoch = @epoch AND committed = 0
     ORDER BY from_seq, path`,
  );
  const record = db.prepare<[string], SegmentRow>(`SELECT ${segmentColumns} FROM segment WHERE path = ?`);
  const sum = db.prepare<[], number>('SELECT coalesce(sum(bytes), 0) FROM segment').pluck();
  const held = new Set<string>();
  const isFree = (path: string): boolean => !held.has(path) && !claims.isTaken(path);

  return {
    oldest: ({ state, class: of = null }, filesMax) => {
      const found: LadderFile[] = [];
      for (const row of statements[state].iterate({ class: of })) {
        if (!claims.isTaken(row.path)) found.push({ ...row, state });
        if (found.length === filesMax) break;
      }
      return found;
    },
    oldestRun: (filesMax) => {
      const beforeUs = nowUs() - rollUpAgeUsMin;
      const first = find(firstRaw.iterate(beforeUs), ({ path }) => isFree(path));
      if (first === undefined) return [];
      const run: LadderFile[] = [];
      // A range must not be drawn over a file between: see gateway/seal/local-files.ts.
      for (const { clock, raw, sealedUs, ...row } of neighbours.iterate(first)) {
        const fits = raw === 1 && clock === first.clock && sealedUs < beforeUs && isFree(row.path);
        if (run.length === 0 && row.path !== first.path) continue;
        if (!fits || run.length === filesMax) break;
        run.push({ ...row, state: 'waiting' });
      }
      return run;
    },
    hold: (files) => {
      if (held.size + files.length > heldFilesMax) held.clear();
      for (const { path } of files) held.add(path);
    },
    records: (files) => {
      const rows = files.map(({ path }) => record.get(path));
      return rows.every((row) => row !== undefined) ? rows.map(recordOf) : undefined;
    },
    bytes: () => sum.get() ?? 0,
    [Symbol.dispose]: () => void db.close(),
  };
}

type Place = Pick<SegmentRecord, 'path' | 'day' | 'epoch' | 'clock'>;

/** The first that passes; the cursor is closed. */
function find<T>(rows: Iterable<T>, passes: (row: T) => boolean): T | undefined {
  for (const row of rows) if (passes(row)) return row;
  return undefined;
}
