import { hasCode } from '../../lake/base/errors.ts';
import type { RollupTable } from '../../lake/model/table-name.ts';
import type { RollUp } from '../../lake/rollups/roll-up-files.ts';
import type { CommitOptions } from '../catalog/commit.ts';
import type { CatalogTable, IcebergTable } from '../catalog/table.ts';
import { isOfKind } from '../catalog/table-kind.ts';
import { type CompactLimits, nextCompaction } from './compact.ts';
import { type ExpireLimits, expireSnapshots, rewriteManifests } from './expire.ts';
import { raiseFence } from './fence.ts';
import type { LeaseKeeper } from './lease.ts';
import { carryOutDelete, dropExpiredDays, expireSeries } from './remove-rows.ts';
import { type RetentionRule, readRetention } from './retention.ts';
import { type Rewrite, type RewriteOptions, rewriteFiles } from './rewrite.ts';
import { hasRollUpWork, type RolledUp, type RollUpLimits, rollUpOnce } from './roll-up.ts';
import { deleteFromRollup, isDoneInRollups } from './rollup-deletes.ts';
import type { DeleteRequest } from './row-deletes.ts';
import { type SweepLimits, type Swept, sweepTable } from './sweep.ts';

// What there is to do for one table, in turns: a tenant with much to do doesn't keep the others waiting.

export interface TableLimits extends CompactLimits, ExpireLimits, SweepLimits, RollUpLimits {}

/** Any table as a maintainer sees it. */
interface AnyTableWork {
  readonly limits: TableLimits;
  readonly lease: LeaseKeeper;
  /**
   * False where another catalog keeps the snapshots and the old metadata. A fence there would not hold: a catalog compares
   * snapshots, and raising the fence makes none, so that it would still take the commit of a maintainer that slept.
   */
  readonly sweeps: boolean;
  /** Up to which epoch the fence was raised by this process. */
  fencedEpoch: number;
}

interface RollupWork {
  readonly name: RollupTable;
  readonly metrics: IcebergTable;
  /** Undefined: no rollups are made; those that there are are kept. */
  readonly rollUp: RollUp | undefined;
}

/** A table of a signal. */
export interface TableWork extends AnyTableWork {
  readonly options: Omit<RewriteOptions, 'epoch'>;
  /** Of a rollup: what it is made of. */
  readonly rollup?: RollupWork | undefined;
  /** Of metrics: the rollups that are made of it. */
  readonly rollups?: readonly IcebergTable[];
}

/** A table of the tenant's own: nothing is merged or deleted there, but old snapshots and their files go. */
export interface PlainTableWork extends AnyTableWork {
  readonly options: { readonly table: CatalogTable; readonly commitOptions: CommitOptions };
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
  const epoch = await underLease(work);
  if (epoch === undefined) return { kind: 'held' };
  const options = { ...work.options, epoch };
  return { kind: 'rewrite', rewrite: await rewriteFiles(options, group) };
}

/** At most one commit of buckets; undefined when there is nothing to roll up, or another maintainer does. */
export async function rollUpTurn(work: TableWork): Promise<RolledUp | undefined> {
  const { rollup, limits } = work;
  if (!rollup?.rollUp) return undefined;
  const { name, metrics, rollUp } = rollup;
  const { table } = work.options;
  if (!(await hasRollUpWork({ metrics, table, limits }, name))) return undefined;
  const epoch = await underLease(work);
  if (epoch === undefined) return undefined;
  const retention = await readRetention(table.store, table.tenant);
  try {
    return await rollUpOnce({ ...work.options, epoch, limits, metrics, rollUp }, name, retention);
  } catch (error) {
    if (hasCode(error, 'conflict')) return undefined;
    throw error;
  }
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
  const epoch = await underLease(work);
  if (epoch === undefined) return undefined;
  const options = { ...work.options, epoch };
  const dropped = await dropExpiredDays(options, retention);
  let rowsRemoved = dropped.rows + (await expireSeries(options, retention));
  for (const request of deletes.filter((each) => each.table === table.schema.table))
    if (await isDoneInRollups(work.rollups ?? [], request))
      rowsRemoved += (await carryOutDelete(options, request)).rowsDeleted;
  if (work.rollup)
    for (const request of deletes.filter((each) => each.table === 'metrics'))
      rowsRemoved += await deleteFromRollup(options, work.rollup.name, work.rollup.metrics, request);
  await rewriteManifests(table, options.epoch, work.limits, commitOptions);
  return { rowsRemoved, ...(await clearAway(work, epoch)) };
}

/** The same for a table of the tenant's own; what another engine made there is its to look after. */
export async function keepPlainHouse(work: PlainTableWork): Promise<Housekeeping | undefined> {
  const { metadata } = await work.options.table.load();
  if (!metadata || !(isOfKind(metadata, 'user-table') || isOfKind(metadata, 'dropped'))) return undefined;
  const epoch = await underLease(work);
  return epoch === undefined ? undefined : { rowsRemoved: 0, ...(await clearAway(work, epoch)) };
}

type Cleared = Pick<Housekeeping, 'snapshotsExpired' | 'swept'>;

async function clearAway(work: TableWork | PlainTableWork, epoch: number): Promise<Cleared> {
  const { table, commitOptions } = work.options;
  if (!work.sweeps) return { snapshotsExpired: 0, swept: { deleted: 0, waiting: 0 } };
  const snapshotsExpired = await expireSnapshots(table, epoch, work.limits, commitOptions);
  return { snapshotsExpired, swept: await sweepTable(table, epoch, work.limits, commitOptions) };
}

/** The epoch of the lease; undefined while another maintainer holds it. */
async function underLease(work: TableWork | PlainTableWork): Promise<number | undefined> {
  const lease = await work.lease.hold();
  if (!lease) return undefined;
  const { table, commitOptions } = work.options;
  if (work.fencedEpoch !== lease.epoch) await raiseFence(table, lease.epoch, commitOptions);
  work.fencedEpoch = lease.epoch;
  return lease.epoch;
}
