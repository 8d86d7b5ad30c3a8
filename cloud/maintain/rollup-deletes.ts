import { bucketMsOf, type RollupTable } from '../../lake/model/table-name.ts';
import type { ManifestEntry } from '../catalog/manifest-file.ts';
import type { IcebergTable } from '../catalog/table.ts';
import { liveEntries } from './compact.ts';
import { raiseFence } from './fence.ts';
import { removeRows } from './remove-rows.ts';
import type { RewriteOptions } from './rewrite.ts';
import { type DeleteRequest, noteInRollup } from './row-deletes.ts';

// What a tenant asks to delete from `metrics` goes from its rollups too. Where metrics still has rows of the day, buckets
// that lie partly in the time asked for are made anew when its own rows are gone, as after every change of it; where it
// has none any more, they go whole, because nobody can tell what would be left of them.

/** Carries the request out in one rollup table, and notes that; returns the rows that went. */
export async function deleteFromRollup(
  options: RewriteOptions,
  rollup: RollupTable,
  metrics: IcebergTable,
  request: DeleteRequest,
): Promise<number> {
  const { table, epoch, commitOptions } = options;
  await raiseFence(table, epoch, commitOptions);
  const last = (await table.load()).metadata?.lastSequenceNumber ?? 0;
  const source = await metrics.load();
  const days = new Set((await liveEntries(metrics, source)).map(({ file }) => file.day));
  const isOld = ({ sequenceNumber }: ManifestEntry): boolean => sequenceNumber <= last;
  const isAlone = (entry: ManifestEntry): boolean => isOld(entry) && !days.has(entry.file.day);
  const { selector, fromUs, toUs } = request;
  const bucketUs = bucketMsOf[rollup] * 1000;
  const ruleOf = (from: number, to: number) => ({
    selector,
    ...(fromUs !== undefined && { fromUs: fromUs + from }),
    ...(toUs !== undefined && { toUs: toUs + to }),
  });
  // Rows are named by the start of their bucket.
  const whole = await removeRows(options, { rule: ruleOf(0, -bucketUs), isDue: isOld }, new Set());
  const partly = await removeRows(options, { rule: ruleOf(-bucketUs, 0), isDue: isAlone }, new Set());
  const rows = whole.rows + partly.rows;
  await noteInRollup(table.store, table.tenant, request, rollup, rows);
  return rows;
}

/** Whether all rollups that there are have carried it out: `metrics` comes last, which tells that it is done. */
export async function isDoneInRollups(
  rollups: readonly IcebergTable[],
  { rollups: done }: DeleteRequest,
): Promise<boolean> {
  for (const table of rollups) {
    if (done.some((name) => name === table.schema.table)) continue;
    if ((await table.load()).metadata !== undefined) return false;
  }
  return true;
}
