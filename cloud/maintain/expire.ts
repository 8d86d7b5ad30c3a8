import { type CommitOptions, changeMetadata, commit } from '../catalog/commit.ts';
import type { TableMetadata } from '../catalog/metadata.ts';
import type { CatalogTable } from '../catalog/table.ts';
import { checkEpoch } from './fence.ts';
import { firnProperties, snapshotWithProperties } from './replace-files.ts';

export interface ExpireLimits {
  /** A younger snapshot can be travelled to. */
  readonly snapshotAgeMsMin: number;
  /** So many of the newest stay, whatever their age. */
  readonly snapshotsKeptMin: number;
  /** Manifests that hold less than half of what they may, above which an idle table's are written anew. */
  readonly looseManifestsMax: number;
}

/**
 * Takes old snapshots out of the metadata; returns how many. Tags and branches keep theirs, and so does what the ingest
 * looks for. Their files go later (sweep.ts). Throws FirnError `conflict` when a later maintainer is at work.
 */
export async function expireSnapshots(
  table: CatalogTable,
  epoch: number,
  limits: ExpireLimits,
  options: CommitOptions = {},
): Promise<number> {
  let expired = 0;
  await changeMetadata(
    table,
    (metadata) => {
      checkEpoch(table, metadata, epoch);
      const next = withoutExpired(metadata, table.clock.nowMs(), limits);
      expired = metadata.snapshots.length - next.snapshots.length;
      return expired === 0 ? undefined : next;
    },
    options,
  );
  return expired;
}

function withoutExpired(
  metadata: TableMetadata,
  nowMs: number,
  { snapshotAgeMsMin, snapshotsKeptMin }: ExpireLimits,
): TableMetadata {
  const kept = new Set([
    metadata.currentSnapshotId,
    snapshotWithProperties(metadata)?.snapshotId,
    ...Object.values(metadata.refs).map((ref) => ref['snapshot-id']),
    ...metadata.snapshots.slice(-snapshotsKeptMin).map(({ snapshotId }) => snapshotId),
  ]);
  const snapshots = metadata.snapshots.filter(
    ({ snapshotId, timestampMs }) => kept.has(snapshotId) || nowMs - timestampMs < snapshotAgeMsMin,
  );
  const valid = new Set(snapshots.map(({ snapshotId }) => snapshotId));
  // History before an expired snapshot goes with it (specification, "snapshot-log").
  const last = metadata.snapshotLog.findLastIndex(({ snapshotId }) => !valid.has(snapshotId));
  return { ...metadata, snapshots, snapshotLog: metadata.snapshotLog.slice(last + 1) };
}

/**
 * Writes small manifests anew, few and sorted by day, as a snapshot that changes no file; false when they are few
 * already. Commits do the same, but only where there are many more.
 */
export async function rewriteManifests(
  table: CatalogTable,
  epoch: number,
  { looseManifestsMax }: ExpireLimits,
  options: CommitOptions = {},
): Promise<boolean> {
  const state = await table.load();
  const manifests = await table.manifestsOf(state);
  const loose = manifests.filter(
    ({ specId, content, addedFiles, existingFiles }) =>
      specId === 0 &&
      content === 'data' &&
      2 * (addedFiles + existingFiles) < table.limits.manifestEntriesMax,
  );
  if (loose.length <= looseManifestsMax) return false;
  const eager = { ...table, limits: { ...table.limits, smallManifestsMax: looseManifestsMax } };
  await commit(
    eager,
    ({ metadata }) => {
      if (!metadata) return undefined;
      checkEpoch(table, metadata, epoch);
      return { added: [], summary: { operation: 'replace', ...firnProperties(metadata) } };
    },
    options,
  );
  return true;
}
