import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { MergedSegment } from '../../lake/parquet/merge-streaming.ts';
import { dayOfUs, dayText } from '../../lake/schema/tables.ts';
import type { CommitOptions } from '../catalog/commit.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import { dataFileOf } from '../catalog/data-file.ts';
import { dataKeyOf } from '../catalog/data-key.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import type { IcebergTable } from '../catalog/table.ts';
import type { Merge } from './merge-job.ts';
import { noteRemoved } from './removed-files.ts';
import type { ReplaceFiles } from './replace-files.ts';
import type { RowRule } from './row-rules.ts';

export interface RewriteLimits {
  /** Files fetched at once, where the store is not a local directory. */
  readonly fetchConcurrencyMax: number;
  readonly memoryBytesMax: number;
  /** zstd's level for files of today, which are soon merged again, ... */
  readonly compressionLevel: number;
  /** ... and for those of days that are over. */
  readonly pastCompressionLevel: number;
}

export interface RewriteOptions {
  readonly table: IcebergTable;
  /** Of the maintainer's lease. */
  readonly epoch: number;
  /** Makes an empty folder, which goes with all that is in it when it is disposed. */
  readonly openFolder: (name: string) => Promise<WorkFolder>;
  readonly limits: RewriteLimits;
  readonly merge: Merge;
  readonly replaceFiles: ReplaceFiles;
  readonly commitOptions?: CommitOptions;
}

export interface WorkFolder extends AsyncDisposable {
  /** Absolute. */
  readonly path: string;
}

/** Files of one day, the oldest first, that become one. */
export interface FileGroup {
  /** For logs, and for leaving it alone. */
  readonly group: string;
  readonly day: number;
  readonly files: readonly DataFile[];
  readonly rows: number;
}

export interface Rewrite {
  /** `unchanged`: no row was to go, and the files stay. `superseded`: others replaced them first. */
  readonly outcome: 'done' | 'superseded' | 'unchanged';
  readonly group: FileGroup;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly repeated: number;
  readonly leftOut: number;
}

/** A group of files that can't be merged, with the reason as its cause. The store and the table are well. */
export class UnmergeableError extends Error {
  readonly group: FileGroup;
  constructor(group: FileGroup, cause: unknown) {
    super(`cannot merge ${group.files.length} files of ${group.group}`, { cause });
    this.group = group;
  }
}

/** `data/<day>/e<epoch>-<uuid>.parquet`: the epoch tells which maintainer may still mean to commit it. */
export const mergedName = (epoch: number, uuid: string): string =>
  `e${String(epoch).padStart(8, '0')}-${uuid}.parquet`;

/**
 * Makes one file of several, without the rows that `rules` are about, and commits it in their place. With `rules` alone
 * to obey (`ifFewer`) the files stay as they are when no row has to go. May be killed at any moment: until the commit it
 * leaves at most an object that no snapshot names.
 *
 * Throws UnmergeableError, and what the store throws.
 */
export async function rewriteFiles(
  options: RewriteOptions,
  group: FileGroup,
  rules: readonly RowRule[] = [],
  { ifFewer = false }: { readonly ifFewer?: boolean } = {},
): Promise<Rewrite> {
  const { table, epoch, commitOptions = {} } = options;
  const name = (commitOptions.uuid ?? randomUUID)();
  await using folder = await options.openFolder(name);
  const { file, repeated, leftOut } = await mergeInto(options, group, rules, folder.path);
  const bytesBefore = group.files.reduce((sum, { bytes }) => sum + bytes, 0);
  const result = { group, bytesBefore, bytesAfter: file?.bytes ?? 0, repeated, leftOut };
  if (ifFewer && leftOut === 0) return { ...result, outcome: 'unchanged' };
  if (file === undefined) return { ...result, outcome: await commitOrDrop(options, group, undefined) };
  const key = `${table.prefix}data/${file.day}/${mergedName(epoch, name)}`;
  await table.store.putFile(key, file.path);
  const added = dataFileOf({ ...file, key, signal: table.schema.table }, table.locations);
  return { ...result, outcome: await commitOrDrop(options, group, added, key) };
}

/** The merged file, in `folder`, of the day of its parts. */
async function mergeInto(
  { table, limits, merge }: RewriteOptions,
  group: FileGroup,
  rules: readonly RowRule[],
  folder: string,
): Promise<MergedSegment> {
  const paths = await localPaths(table, group, folder, limits.fetchConcurrencyMax);
  const { memoryBytesMax } = limits;
  const isOver = group.day < dayOfUs(table.clock.nowMs() * 1000);
  const compressionLevel = isOver ? limits.pastCompressionLevel : limits.compressionLevel;
  try {
    const merged = await merge({
      ...{ signal: table.schema.table, paths, rows: group.rows, folder, rules },
      ...{ memoryBytesMax, compressionLevel },
    });
    const { file, repeated, leftOut } = merged;
    const rows = (file?.rows ?? 0) + repeated + leftOut;
    if (rows === group.rows && (file === undefined || file.day === dayText(group.day))) return merged;
    throw new FirnError({
      code: 'corrupt',
      operation: 'compact table',
      subject: group.group,
      message: `the merged file has ${rows} rows of ${file?.day}, its parts have ${group.rows} of ${dayText(group.day)}`,
    });
  } catch (cause) {
    // A full disk is no fault of the files.
    throw hasCode(cause, 'unavailable') ? cause : new UnmergeableError(group, cause);
  }
}

/** Where the files of a group can be read; those of a store that is elsewhere are fetched into `folder`. */
export async function localPaths(
  table: IcebergTable,
  group: FileGroup,
  folder: string,
  fetchConcurrencyMax: number,
): Promise<string[]> {
  const { store } = table;
  try {
    const keys = group.files.map((file) => keyOf(table, file));
    return await mapConcurrent(keys, fetchConcurrencyMax, async (key, index) => {
      const local = store.localPath(key);
      if (local !== undefined) return local;
      const path = join(folder, `${index}.parquet`);
      await store.getFile(key, path);
      return path;
    });
  } catch (cause) {
    const lost = hasCode(cause, 'not-found') || hasCode(cause, 'corrupt') || hasCode(cause, 'invalid');
    throw lost ? new UnmergeableError(group, cause) : cause;
  }
}

/** The object of a file that is to be written again. */
export const keyOf = (table: IcebergTable, file: DataFile): string => dataKeyOf(table, file, 'compact table');

async function commitOrDrop(
  { table, epoch, replaceFiles, commitOptions = {} }: RewriteOptions,
  { files }: FileGroup,
  added: DataFile | undefined,
  key?: string,
): Promise<'done' | 'superseded'> {
  await noteRemoved(
    table,
    files.map((file) => keyOf(table, file)),
    (commitOptions.uuid ?? randomUUID)(),
  );
  // Merging took a while: from the newest state there is one race less to lose.
  await table.load();
  try {
    await replaceFiles(table, { replaced: files, added, epoch }, commitOptions);
    return 'done';
  } catch (error) {
    if (!hasCode(error, 'conflict')) throw error;
    if (key !== undefined) await table.store.delete(key);
    return 'superseded';
  }
}
