import { closeSync, fsyncSync, ftruncateSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { signals } from '../../../lake/model/batch.ts';
import { parseSegmentName } from '../../../lake/model/keys.ts';
import { inspectWal, type WalInspection } from './inspect-wal.ts';
import { isMissing, openIfThere, readAt } from './read-at.ts';
import type { WalMark } from './wal-mark.ts';

// What the files say before SQLite sees them.

export interface LogFiles {
  readonly databaseBytes: number;
  readonly wal: WalInspection;
  /** Why SQLite must not open what is there. */
  readonly unusable: readonly string[];
  /** Why something may be lost although SQLite can open it. */
  readonly doubts: readonly Doubt[];
  /** Nothing was here before: neither log nor mark nor segment. */
  readonly fresh: boolean;
  /** Newest epoch that is in the name of a segment; 0: none. */
  readonly segmentEpoch: number;
  /** Newest place in the log that is in the name of a segment. */
  readonly segmentSeq: number;
  /** When the log was written last; undefined: nobody knows. */
  readonly writtenUs: number | undefined;
  /** When the newest segment was written; undefined: there is none. */
  readonly segmentUs: number | undefined;
}

interface Doubt {
  readonly reason: string;
  /** The pages may not belong together either: the structure has to be looked at. */
  readonly structure: boolean;
}

export function inspectLogFiles(path: string, mark: WalMark | undefined): LogFiles {
  const databaseBytes = bytesOf(path);
  const wal = inspectWal(`${path}-wal`, databaseBytes ?? 0);
  const { segmentEpoch, segmentSeq, newestPaths } = newestSegment(dirname(path));
  const nothing = (databaseBytes ?? 0) === 0 && (wal.verdict === 'absent' || wal.verdict === 'empty');
  const fresh = nothing && mark === undefined && segmentEpoch === 0;
  return {
    databaseBytes: databaseBytes ?? 0,
    wal,
    unusable: fresh ? [] : whyUnusable(path, databaseBytes, wal, mark),
    doubts: fresh ? [] : doubtsOf(wal, mark),
    fresh,
    segmentEpoch,
    segmentSeq,
    // Not of wal.db itself: what is appended comes to it late.
    writtenUs: newestWrite([`${path}-wal`, markPath(path)]),
    segmentUs: newestWrite(newestPaths),
  };
}

export const markPath = (path: string): string => join(dirname(path), 'wal.mark');

function whyUnusable(
  path: string,
  databaseBytes: number | undefined,
  wal: WalInspection,
  mark: WalMark | undefined,
): string[] {
  if (databaseBytes === undefined) return ['wal.db is missing'];
  if (databaseBytes === 0) return ['wal.db is empty'];
  const reasons: string[] = [];
  if (mark?.condemned) reasons.push('wal.db was found damaged while it was in use');
  const pages = headerOf(path, databaseBytes);
  if (pages === undefined) reasons.push('wal.db does not begin as a database does');
  if (wal.verdict === 'damaged') reasons.push(`wal.db-wal is damaged: ${wal.reason}`);
  if (wal.missingPages > 0) reasons.push(`wal.db is cut short by ${wal.missingPages} pages`);
  else if (wal.commits === 0 && pages !== undefined && pages.missing > 0)
    reasons.push(`wal.db is cut short by ${pages.missing} pages`);
  return reasons;
}

function doubtsOf(wal: WalInspection, mark: WalMark | undefined): Doubt[] {
  if (wal.verdict === 'absent' && (mark?.open ?? true)) {
    const reason = mark === undefined ? 'wal.mark is missing or damaged' : 'wal.db-wal is missing';
    return [{ reason, structure: true }];
  }
  if (wal.verdict === 'torn-tail') return [{ reason: `wal.db-wal is torn: ${wal.reason}`, structure: false }];
  return [];
}

/** Undefined when it is no header of a database. `missing`: pages that it counts beyond the end of the file. */
function headerOf(path: string, databaseBytes: number): { missing: number } | undefined {
  const file = openIfThere(path);
  if (file === undefined) return undefined;
  try {
    const header = new Uint8Array(100);
    if (readAt(file, header, 0) < header.byteLength) return undefined;
    const view = new DataView(header.buffer);
    if (Buffer.from(header.subarray(0, 16)).toString('latin1') !== 'SQLite format 3\0') return undefined;
    const pageBytes = view.getUint16(16) === 1 ? 65_536 : view.getUint16(16);
    // The count is only good when it was written by who wrote last.
    const counted = view.getUint32(24) === view.getUint32(92) ? view.getUint32(28) : 0;
    return { missing: Math.max(0, counted - Math.floor(databaseBytes / pageBytes)) };
  } finally {
    closeSync(file);
  }
}

/**
 * Cuts off what SQLite would leave standing: the next commits would be written over its beginning only, and the rest
 * would look like damage at the next start.
 */
export function cutTornTail(path: string, { committedEndByte, commits }: WalInspection): void {
  const file = openIfThere(`${path}-wal`, 'r+');
  if (file === undefined) return;
  try {
    ftruncateSync(file, commits === 0 ? 0 : committedEndByte);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function bytesOf(path: string): number | undefined {
  try {
    return statSync(path).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function newestWrite(paths: readonly string[]): number | undefined {
  const times = paths.flatMap((path) => {
    try {
      return [Math.round(statSync(path).mtimeMs * 1000)];
    } catch {
      return [];
    }
  });
  return times.length === 0 ? undefined : Math.max(...times);
}

function newestSegment(dataDir: string) {
  let [segmentEpoch, segmentSeq] = [0, 0];
  const newestPaths: string[] = [];
  for (const signal of signals) {
    const names = namesIn(join(dataDir, 'segments', signal));
    newestPaths.push(
      ...names
        .sort()
        .slice(-1)
        .map((name) => join(dataDir, 'segments', signal, name)),
    );
    for (const name of names) {
      const place = parseSegmentName(name);
      segmentEpoch = Math.max(segmentEpoch, place?.epoch ?? 0);
      segmentSeq = Math.max(segmentSeq, place?.toSeq ?? 0);
    }
  }
  return { segmentEpoch, segmentSeq, newestPaths };
}

/** Names in a folder; none when there is no folder. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
