import { FirnError } from '../../lake/base/errors.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import type { ManifestEntry } from '../catalog/manifest-file.ts';
import type { TableMetadata } from '../catalog/metadata.ts';
import type { IcebergTable } from '../catalog/table.ts';
import type { TableState } from '../catalog/table-head.ts';
import { type MergeLimits, planMerge } from './plan.ts';
import {
  type FileGroup,
  type Rewrite,
  type RewriteLimits,
  type RewriteOptions,
  rewriteFiles,
} from './rewrite.ts';

export interface CompactLimits extends MergeLimits, RewriteLimits {
  /** Files that were committed later than this are left alone. */
  readonly fileAgeMsMin: number;
}

/** The group of small files that is to be merged next; undefined when there is none. Without a request when nothing is new. */
export async function nextCompaction(
  table: IcebergTable,
  limits: CompactLimits,
  isHeld: (group: string) => boolean,
): Promise<FileGroup | undefined> {
  // A table that was made since then has only files that are too young.
  const state = await table.load(0, limits.fileAgeMsMin);
  if (!state.metadata) return undefined;
  const entries = await oldEntries(table, state, state.metadata, limits.fileAgeMsMin);
  const today = Math.floor(table.clock.nowMs() / 86_400_000);
  const merge = planMerge(entries, today, limits, isHeld);
  if (merge) checkColumns(table, state.metadata);
  return merge;
}

/**
 * Merges one group of small files into one; undefined when there is none. Rows that were sent again are then there once.
 *
 * Throws UnmergeableError, FirnError `unsupported` for a table that Firn can't rewrite, and what the store throws.
 */
export async function compactOnce(
  options: RewriteOptions & { readonly limits: CompactLimits },
  isHeld: (group: string) => boolean,
): Promise<Rewrite | undefined> {
  const group = await nextCompaction(options.table, options.limits, isHeld);
  return group && rewriteFiles(options, group);
}

/** Live files of Firn's partition spec, without those of the newest snapshots. Reads only manifests that are new. */
async function oldEntries(
  table: IcebergTable,
  state: TableState,
  metadata: TableMetadata,
  fileAgeMsMin: number,
): Promise<ManifestEntry[]> {
  const youngest = table.clock.nowMs() - fileAgeMsMin;
  const young = new Set(
    metadata.snapshots
      .filter(({ timestampMs }) => timestampMs > youngest)
      .map(({ snapshotId }) => snapshotId),
  );
  return (await liveEntries(table, state)).filter(({ snapshotId }) => !young.has(snapshotId));
}

/** Entries of all live files of Firn's partition spec. */
export async function liveEntries(table: IcebergTable, state: TableState): Promise<ManifestEntry[]> {
  const manifests = (await table.manifestsOf(state)).filter(({ specId }) => specId === 0);
  const entries = await mapConcurrent(manifests, manifestsConcurrentMax, (each) => table.entriesOf(each));
  return entries.flat();
}
const manifestsConcurrentMax = 8;

/** A column that another engine added would be lost. */
export function checkColumns({ schema, prefix }: IcebergTable, metadata: TableMetadata): void {
  const current = metadata.schemas.find((each) => each['schema-id'] === metadata.currentSchemaId);
  const known = new Set(schema.columns.map(({ fieldId }) => fieldId));
  const strange = current?.fields.find(({ id }) => !known.has(id));
  if (!strange) return;
  throw new FirnError({
    code: 'unsupported',
    operation: 'compact table',
    subject: prefix,
    message: `${prefix} has a column ${strange.name} that is not Firn's, which compaction would drop`,
    hint: 'compact this table with the engine that added the column',
  });
}
