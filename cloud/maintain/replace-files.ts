import { type CommitOptions, commit } from '../catalog/commit.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import { currentSnapshot, type TableMetadata } from '../catalog/metadata.ts';
import type { IcebergTable } from '../catalog/table.ts';
import type { TableState } from '../catalog/table-head.ts';

export type ReplaceFiles = typeof replaceFiles;

/**
 * Puts one file in the place of several that hold the same rows: a snapshot with operation `replace`. The new file
 * inherits the new sequence number; without delete files, and takeOut refuses tables that have some, nothing depends on
 * it. After a lost race it goes on from the new snapshot, if the replaced files are still live there.
 *
 * Throws FirnError `conflict` when they are not, or too many races were lost: the new file is then certainly in no
 * snapshot. After any other error it may be in one.
 */
export function replaceFiles(
  table: IcebergTable,
  replaced: readonly DataFile[],
  added: DataFile,
  options: CommitOptions = {},
): Promise<TableState> {
  return commit(
    table,
    ({ metadata }) => ({ added: [added], replaced, summary: metadata ? firnProperties(metadata) : {} }),
    options,
  );
}

/**
 * Firn's own properties in the newest snapshot that has some. The ingest keeps its high-water marks there and finds them
 * by the same search; snapshots expire, so each commit has to hand them on.
 */
function firnProperties(metadata: TableMetadata): Record<string, string> {
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot.snapshotId, snapshot]));
  for (let at = currentSnapshot(metadata); at; at = byId.get(at.parentSnapshotId ?? -1n)) {
    const own = Object.entries(at.summary).filter(([name]) => name.startsWith('firn.'));
    if (own.length > 0) return Object.fromEntries(own);
  }
  return {};
}
