import { type CompactLimits, nextCompaction } from './compact.ts';
import { type ExpireLimits, expireSnapshots, rewriteManifests } from './expire.ts';
import { raiseFence } from './fence.ts';
import type { LeaseKeeper } from './lease.ts';
import { carryOutDelete, dropExpiredDays, expireSeries } from './remove-rows.ts';
import type { RetentionRule } from './retention.ts';
import { type Rewrite, type RewriteOptions, rewriteFiles } from './rewrite.ts';
import type { DeleteRequest } from './row-deletes.ts';
import { type SweepLimits, type Swept, sweepTable } from './sweep.ts';

// What there is to do for one table, in turns: a tenant with much to do doesn't keep the others waiting.

export interface TableLimits extends CompactLimits, ExpireLimits, SweepLimits {}

/** A table as a maintainer sees it. */
export interface TableWork {
  readonly options: Omit<RewriteOptions, 'epoch'>;
  readonly limits: TableLimits;
  readonly lease: LeaseKeeper;
  /** False where another catalog keeps the snapshots and the old metadata. */
  readonly sweeps: boolean;
  /** Up to which epoch the fence was raised by this process. */
  fencedEpoch: number;
}

/** What the tenant asks for. */
export interface TenantWishes {
  readonly retention: readonly RetentionRule[];
  /** Not done yet. */
  readonly deletes: readonly DeleteRequest[];
}

export type Turn =
  | { readonly kind: 'idle' }
  /** Another maintainer has this table. */
  | { readonly kind: 'held' }
  | { readonly kind: 'rewrite'; readonly rewrite: Rewrite };

/** At most one merge. Throws UnmergeableError, and what the store throws. */
export async function mergeTurn(work: TableWork, isHeld: (group: string) => boolean): Promise<Turn> {
  const group = await nextCompaction(work.options.table, work.limits, isHeld);
  if (!group) return { kind: 'idle' };
  const options = await underLease(work);
  if (!options) return { kind: 'held' };
  return { kind: 'rewrite', rewrite: await rewriteFiles(options, group) };
}

export interface Housekeeping {
  readonly rowsRemoved: number;
  readonly snapshotsExpired: number;
  readonly swept: Swept;
}

/** All that is done now and then; undefined while another maintainer has the table, or where there is none. */
export async function keepHouse(
  work: TableWork,
  { retention, deletes }: TenantWishes,
): Promise<Housekeeping | undefined> {
  const { table, commitOptions } = work.options;
  const state = await table.load();
  if (!state.metadata) return undefined;
  const options = await underLease(work);
  if (!options) return undefined;
  const dropped = await dropExpiredDays(options, retention);
  let rowsRemoved = dropped.rows + (await expireSeries(options, retention));
  for (const request of deletes.filter((each) => each.table === table.schema.table))
    rowsRemoved += (await carryOutDelete(options, request)).rowsDeleted;
  await rewriteManifests(table, options.epoch, work.limits, commitOptions);
  if (!work.sweeps) return { rowsRemoved, snapshotsExpired: 0, swept: { deleted: 0, waiting: 0 } };
  const snapshotsExpired = await expireSnapshots(table, options.epoch, work.limits, commitOptions);
  const swept = await sweepTable(table, options.epoch, work.limits, commitOptions);
  return { rowsRemoved, snapshotsExpired, swept };
}

/** Undefined while another maintainer holds the lease. */
async function underLease(work: TableWork): Promise<RewriteOptions | undefined> {
  const lease = await work.lease.hold();
  if (!lease) return undefined;
  const { table, commitOptions } = work.options;
  if (work.fencedEpoch !== lease.epoch) await raiseFence(table, lease.epoch, commitOptions);
  work.fencedEpoch = lease.epoch;
  return { ...work.options, epoch: lease.epoch };
}
