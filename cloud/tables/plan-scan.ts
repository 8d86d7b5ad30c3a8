import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { Prune } from '../../lake/tables.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import { dataKeyOf } from '../catalog/data-key.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import type { Snapshot } from '../catalog/metadata.ts';
import { snapshotAt } from '../catalog/snapshot-at.ts';
import type { IcebergTable } from '../catalog/table.ts';
import type { FileIndex } from './file-index.ts';
import { fileFilter, indexFilter, manifestMayMatch, type PruneReason } from './prune.ts';

/** Which files of a table a query reads, and what spared it the others. */
export interface ScanPlan {
  /** Undefined for a table that has none. */
  readonly snapshot: Snapshot | undefined;
  /** The newest state can't be read, and this is an older one. */
  readonly fault: FirnError | undefined;
  readonly manifestsConsidered: number;
  readonly manifestsRead: number;
  readonly filesConsidered: number;
  /** Files that were left out, by what showed it; those of a manifest that was not read count as `partition`. */
  readonly prunedBy: ReadonlyMap<PruneReason, number>;
  readonly files: readonly DataFile[];
}

const manifestsConcurrentMax = 8;
const indexesConcurrentMax = 16;

/**
 * Reads the manifests of the state that is asked for, and with an `index` the ends of files that may have an id. Throws
 * FirnError `not-found` when the state is not kept.
 */
export async function planScan(
  table: IcebergTable,
  prune: Prune,
  snapshotMaxAgeMs: number,
  signal?: AbortSignal,
  index?: FileIndex,
): Promise<ScanPlan> {
  const state = await table.load(snapshotMaxAgeMs);
  signal?.throwIfAborted();
  const { metadata, fault } = state;
  const snapshot = metadata && snapshotAt(metadata, prune.asOf);
  const manifests = metadata ? await needed(table, () => table.manifestsOf(state, snapshot)) : [];
  const chosen = manifests.filter((manifest) => metadata && manifestMayMatch(manifest, metadata, prune));
  const prunedBy = new Map<PruneReason, number>();
  const count = (reason: PruneReason, files: number): void => {
    if (files > 0) prunedBy.set(reason, (prunedBy.get(reason) ?? 0) + files);
  };
  const whyNot = fileFilter(table.schema, prune);
  const files = await mapConcurrent(chosen, manifestsConcurrentMax, async (manifest) => {
    signal?.throwIfAborted();
    const kept: DataFile[] = [];
    for (const { file } of await needed(table, () => table.entriesOf(manifest))) {
      const reason = whyNot(file);
      if (reason === undefined) kept.push(file);
      else count(reason, 1);
    }
    return kept;
  });
  const found = files.flat();
  const byIndex = index && indexFilter(table.schema, prune, index);
  const may = await mapConcurrent(byIndex ? found : [], indexesConcurrentMax, async (file) => {
    signal?.throwIfAborted();
    return byIndex?.({ key: keyOf(table, file), bytes: file.bytes });
  });
  const read = found.filter((_, at) => may[at] !== false);
  count('bloom', found.length - read.length);
  const filesOf = (list: typeof manifests): number =>
    list.reduce((sum, each) => sum + each.addedFiles + each.existingFiles, 0);
  count('partition', filesOf(manifests) - filesOf(chosen));
  return {
    snapshot,
    fault,
    manifestsConsidered: manifests.length,
    manifestsRead: chosen.length,
    filesConsidered: filesOf(manifests),
    prunedBy,
    files: read,
  };
}

/** The object of a data file of the plan. */
export const keyOf = (table: IcebergTable, file: DataFile): string => dataKeyOf(table, file, 'plan scan');

/** An object of the snapshot that is lost is named, with the way round it: nothing is left out in silence. */
async function needed<T>({ prefix }: IcebergTable, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!hasCode(error, 'not-found') && !hasCode(error, 'corrupt')) throw error;
    throw new FirnError({
      code: 'corrupt',
      operation: 'plan scan',
      subject: error.subject,
      message: `${prefix} can't be read: ${error.message}`,
      hint: 'firn lake check says which snapshot is whole; until it is repaired, ask as of that one (FOR SYSTEM_VERSION AS OF, as_of)',
      cause: error,
    });
  }
}
