import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { mergeSegments } from '../../lake/parquet/duckdb-merge.ts';
import type { SegmentFile } from '../../lake/parquet/segment-writer.ts';
import { dayText } from '../../lake/schema/tables.ts';
import type { CommitOptions } from '../catalog/commit.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import { dataFileOf } from '../catalog/data-file.ts';
import type { DataFile, ManifestEntry } from '../catalog/manifest-file.ts';
import type { TableMetadata } from '../catalog/metadata.ts';
import type { IcebergTable } from '../catalog/table.ts';
import type { TableState } from '../catalog/table-head.ts';
import { type Merge, type MergeLimits, planMerge } from './plan.ts';
import type { ReplaceFiles } from './replace-files.ts';

export interface CompactLimits extends MergeLimits {
  /** Files that were committed later than this are left alone. */
  readonly fileAgeMsMin: number;
  /** Files fetched at once, where the store is not a local directory. */
  readonly fetchConcurrencyMax: number;
  readonly writerMemoryBytesMax: number;
}

export interface CompactOptions {
  readonly table: IcebergTable;
  /** Makes an empty folder, which goes with all that is in it when it is disposed. */
  readonly openFolder: (name: string) => Promise<WorkFolder>;
  readonly limits: CompactLimits;
  readonly mergeSegments: typeof mergeSegments;
  readonly replaceFiles: ReplaceFiles;
  readonly commitOptions?: CommitOptions;
}

export interface WorkFolder extends AsyncDisposable {
  /** Absolute. */
  readonly path: string;
}

export interface Compaction {
  readonly outcome: 'done' | 'superseded';
  readonly merge: Merge;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** A group of files that can't be merged, with the reason as its cause. The store and the table are well. */
export class UnmergeableError extends Error {
  readonly merge: Merge;
  constructor(merge: Merge, cause: unknown) {
    super(`cannot merge ${merge.files.length} files of ${merge.group}`, { cause });
    this.merge = merge;
  }
}

/**
 * Merges one group of small files into one; undefined when there is none. `superseded`: someone else replaced them
 * first, and the work was thrown away. May be killed at any moment: until the commit it leaves at most an object that no
 * snapshot names.
 *
 * Throws UnmergeableError, FirnError `unsupported` for a table that Firn can't rewrite, and what the store throws.
 */
export async function compactOnce(
  options: CompactOptions,
  isHeld: (group: string) => boolean,
): Promise<Compaction | undefined> {
  const { table, limits, commitOptions = {} } = options;
  // A table that was made since then has only files that are too young.
  const state = await table.load(0, limits.fileAgeMsMin);
  if (!state.metadata) return undefined;
  const entries = await oldEntries(table, state, state.metadata, limits.fileAgeMsMin);
  const today = Math.floor(table.clock.nowMs() / 86_400_000);
  const merge = planMerge(entries, today, limits, isHeld);
  if (!merge) return undefined;
  checkColumns(table, state.metadata);
  const name = (commitOptions.uuid ?? randomUUID)();
  await using folder = await options.openFolder(name);
  const file = await mergeInto(options, merge, folder.path);
  const key = `${table.prefix}data/${file.day}/${name}.parquet`;
  await table.store.putFile(key, file.path);
  const added = dataFileOf({ ...file, key, signal: table.schema.table }, table.locations);
  const outcome = await commitOrDrop(options, merge, added, key);
  const bytesBefore = merge.files.reduce((sum, { bytes }) => sum + bytes, 0);
  return { outcome, merge, bytesBefore, bytesAfter: file.bytes };
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
  const manifests = (await table.manifestsOf(state)).filter(({ specId }) => specId === 0);
  const entries = await mapConcurrent(manifests, manifestsConcurrentMax, (each) => table.entriesOf(each));
  return entries.flat().filter(({ snapshotId }) => !young.has(snapshotId));
}
const manifestsConcurrentMax = 8;

/** A column that another engine added would be lost. */
function checkColumns({ schema, prefix }: IcebergTable, metadata: TableMetadata): void {
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

/** The merged file, in `folder`: as many rows as its parts, all of the same day. */
async function mergeInto(
  { table, limits, mergeSegments }: CompactOptions,
  merge: Merge,
  folder: string,
): Promise<SegmentFile> {
  const paths = await localPaths(table, merge, folder, limits.fetchConcurrencyMax);
  try {
    const file = await mergeSegments({
      signal: table.schema.table,
      paths,
      rows: merge.rows,
      path: join(folder, 'merged.parquet'),
      writerMemoryBytesMax: limits.writerMemoryBytesMax,
      spillDirectory: join(folder, 'spill'),
    });
    if (file.rows === merge.rows && file.day === dayText(merge.day)) return file;
    throw new FirnError({
      code: 'corrupt',
      operation: 'compact table',
      subject: merge.group,
      message: `the merged file has ${file.rows} rows of ${file.day}, its parts have ${merge.rows} of ${dayText(merge.day)}`,
    });
  } catch (cause) {
    throw new UnmergeableError(merge, cause);
  }
}

async function localPaths(
  table: IcebergTable,
  merge: Merge,
  folder: string,
  fetchConcurrencyMax: number,
): Promise<string[]> {
  const { store } = table;
  try {
    const keys = merge.files.map((file) => keyOf(table, file));
    return await mapConcurrent(keys, fetchConcurrencyMax, async (key, index) => {
      const local = store.localPath(key);
      if (local !== undefined) return local;
      const path = join(folder, `${index}.parquet`);
      await store.getFile(key, path);
      return path;
    });
  } catch (cause) {
    const lost = hasCode(cause, 'not-found') || hasCode(cause, 'corrupt') || hasCode(cause, 'invalid');
    throw lost ? new UnmergeableError(merge, cause) : cause;
  }
}

/** Tables may name only their tenant's files; one that does otherwise was tampered with. */
function keyOf({ locations, tenant, prefix }: IcebergTable, { path, format }: DataFile): string {
  const key = locations.keyOf(path);
  if (key.startsWith(`${tenant}/`) && format.toUpperCase() === 'PARQUET') return key;
  throw new FirnError({
    code: 'corrupt',
    operation: 'compact table',
    subject: prefix,
    message: `${prefix} lists ${path}, which is not a Parquet file of tenant ${tenant}`,
  });
}

async function commitOrDrop(
  { table, replaceFiles, commitOptions }: CompactOptions,
  merge: Merge,
  added: DataFile,
  key: string,
): Promise<Compaction['outcome']> {
  // Merging took a while: from the newest state there is one race less to lose.
  await table.load();
  try {
    await replaceFiles(table, merge.files, added, commitOptions);
    return 'done';
  } catch (error) {
    if (!hasCode(error, 'conflict')) throw error;
    await table.store.delete(key);
    return 'superseded';
  }
}
