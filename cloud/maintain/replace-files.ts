import { type CommitOptions, commit } from '../catalog/commit.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import { currentSnapshot, type TableMetadata } from '../catalog/metadata.ts';
import type { IcebergTable } from '../catalog/table.ts';
import type { TableState } from '../catalog/table-head.ts';
import { checkEpoch } from './fence.ts';

export type ReplaceFiles = typeof replaceFiles;

export interface Replacement {
  readonly replaced: readonly DataFile[];
  /** Undefined when no row of the replaced files is left. */
  readonly added: DataFile | undefined;
  /** Of the maintainer's lease. */
  readonly epoch: number;
}

/**
 * Puts one file in the place of several: a snapshot with operation `replace` when it holds the same rows, `overwrite`
 * when it holds fewer, `delete` when there is none. The new file inherits the new sequence number; without delete files,
 * and takeOut refuses tables that have some, nothing depends on it. After a lost race it goes on from the new snapshot,
 * if the replaced files are still live there.
 *
 * Throws FirnError `conflict` when they are not, a later maintainer is at work, or too many races were lost: the new
 * file is then certainly in no snapshot. After any other error it may be in one.
 */
export function replaceFiles(
  table: IcebergTable,
  { replaced, added, epoch }: Replacement,
  options: CommitOptions = {},
): Promise<TableState> {
  const rowsBefore = replaced.reduce((sum, { rows }) => sum + rows, 0);
  const operation = added === undefined ? 'delete' : added.rows < rowsBefore ? 'overwrite' : 'replace';
  return commit(
    table,
    ({ metadata }) => {
      if (metadata) checkEpoch(table, metadata, epoch);
      return {
        added: added === undefined ? [] : [added],
        replaced,
        summary: { operation, ...(metadata && firnProperties(metadata)) },
      };
    },
    options,
  );
}

/** Whether a snapshot says something about Firn, such as which shipments are in it. */
const firnEntries = (summary: Readonly<Record<string, string>>): [string, string][] =>
  Object.entries(summary).filter(([name]) => name.startsWith('firn.'));

/**
 * Firn's own properties in the newest snapshot that has some. The ingest keeps its high-water marks there and finds them
 * by the same search; snapshots expire, so each commit has to hand them on.
 */
export function firnProperties(metadata: TableMetadata): Record<string, string> {
  const snapshot = snapshotWithProperties(metadata);
  return Object.fromEntries(firnEntries(snapshot?.summary ?? {}));
}

export function snapshotWithProperties(metadata: TableMetadata) {
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot.snapshotId, snapshot]));
  for (let at = currentSnapshot(metadata); at; at = byId.get(at.parentSnapshotId ?? -1n))
    if (firnEntries(at.summary).length > 0) return at;
  return undefined;
}
