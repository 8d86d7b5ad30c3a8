import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { createBell } from '../../lake/base/retry.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { tablePrefix } from '../../lake/model/keys.ts';
import { isRollupTable, type RollupTable, rollupTables, tableNames } from '../../lake/model/table-name.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { openPlainTable, plainTableNames } from '../catalog/plain-table.ts';
import {
  type HeadOf,
  type TableLimits as IcebergLimits,
  openTables as openIcebergTables,
} from '../catalog/table.ts';
import { leaseKeeper } from './lease.ts';
import { createMergeThread, type MergeThread } from './merge-thread.ts';
import { replaceFiles } from './replace-files.ts';
import { readRetention } from './retention.ts';
import { type Rewrite, UnmergeableError, type WorkFolder } from './rewrite.ts';
import { listPendingDeletes } from './row-deletes.ts';
import {
  type Housekeeping,
  keepHouse,
  keepPlainHouse,
  mergeTurn,
  type PlainTableWork,
  rollUpTurn,
  type TableLimits,
  type TableWork,
} from './table-work.ts';

/**
 * Keeps tables small and quick to read: merges files (gateways ship one every few seconds), removes rows that are not to
 * be kept, lets old snapshots expire and deletes what nothing names any more. Any number of these may run at once,
 * beside any number of ingests; one acts per table.
 */
export interface Maintain extends AsyncDisposable {
  /** Does all the merging that there is now; rejects with the first error when everything else is done. */
  runNow(): Promise<void>;
  /** Does all the housekeeping, as the loop does every `housekeepingIntervalMs`. */
  keepHouseNow(): Promise<void>;
  readonly status: MaintainStatus;
}

/** Counted since the start. */
interface MaintainStatus {
  readonly merges: number;
  readonly filesMerged: number;
  readonly rowsMerged: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Merges thrown away because another process was first. */
  readonly superseded: number;
  /** Rows of merged files that had been sent more than once. */
  readonly rowsRepeated: number;
  /** Rows that were deleted, by retention or on request. */
  readonly rowsRemoved: number;
  /** Rows that were written into rollups. */
  readonly bucketsMade: number;
  readonly snapshotsExpired: number;
  readonly objectsDeleted: number;
  /** Groups of files that could not be merged, and tables that could not be looked at. */
  readonly failures: number;
}

export interface MaintainLimits extends TableLimits {
  /** A group of files that could not be merged is left alone for so long. */
  readonly mergeRetryMs: number;
  /** Another maintainer takes a table over when its last one was silent for so long. */
  readonly leaseMs: number;
  readonly housekeepingIntervalMs: number;
}

export const maintainDefaults: MaintainLimits & { readonly intervalMs: number } = {
  intervalMs: 15_000,
  filesMin: 16,
  pastFilesMin: 4,
  filesMax: 1_000,
  rowsMax: 1_000_000_000,
  bytesMax: 256 * 1024 * 1024,
  fileAgeMsMin: 60_000,
  fetchConcurrencyMax: 8,
  memoryBytesMax: 512 * 1024 * 1024,
  compressionLevel: 3,
  pastCompressionLevel: 17,
  mergeRetryMs: 3_600_000,
  leaseMs: 600_000,
  housekeepingIntervalMs: 60_000,
  snapshotAgeMsMin: 3_600_000,
  snapshotsKeptMin: 5,
  looseManifestsMax: 20,
  orphanGraceMs: 3_600_000,
  foreignGraceMs: 7 * 86_400_000,
  metadataGraceMs: 86_400_000,
  orphansNotedMax: 100_000,
  lagMs: 120_000,
  settleMs: 60_000,
  lateMs: 900_000,
  pendingMax: 64,
  piecesMax: 24,
};

export interface MaintainOptions {
  readonly store: ObjectStore;
  /** As given to the ingest: the URI of a key. */
  readonly locationOf: (key: string) => string;
  /** Asked each round, so that tenants may come and go. */
  readonly tenants: () => readonly TenantId[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Absolute, and this process's alone: it is emptied at the start. */
  readonly workDirectory: string;
  /** How often it looks for work. */
  readonly intervalMs?: number;
  readonly limits?: Partial<MaintainLimits>;
  readonly tableLimits?: Partial<IcebergLimits>;
  /** Rollups that are made; absent: none. */
  readonly rollups?: readonly RollupTable[];
  /** An external catalog's: it decides about snapshots and old metadata, and nothing is swept. */
  readonly headOf?: HeadOf | undefined;
}

type Counts = { -readonly [K in keyof MaintainStatus]: MaintainStatus[K] };

interface Work {
  readonly options: MaintainOptions;
  readonly limits: MaintainLimits;
  readonly status: Counts;
  readonly stop: AbortSignal;
  readonly thread: MergeThread;
  /** Tells this process from all others. */
  readonly owner: string;
  readonly tables: Map<TenantId, readonly OpenTable[]>;
  /** The tenants' own, by their prefix. */
  readonly plainTables: Map<string, OpenPlainTable>;
}

interface Watched {
  readonly logger: Logger;
  /** What was wrong the last time; logged when it begins or changes. */
  reason: string | undefined;
}

interface OpenTable extends TableWork, Watched {
  /** Groups that failed, and until when they are left alone. */
  readonly held: Map<string, number>;
}

interface OpenPlainTable extends PlainTableWork, Watched {}

/** Throws FirnError `invalid` for limits with which merging would never come to an end. */
export function startMaintain(options: MaintainOptions): Maintain {
  const { clock, logger, intervalMs = maintainDefaults.intervalMs } = options;
  const limits = { ...maintainDefaults, ...options.limits };
  checkLimits(limits);
  const stop = new AbortController();
  const counts = { merges: 0, filesMerged: 0, rowsMerged: 0, bytesRead: 0, bytesWritten: 0, rowsRepeated: 0 };
  const more = {
    rowsRemoved: 0,
    bucketsMade: 0,
    snapshotsExpired: 0,
    objectsDeleted: 0,
    superseded: 0,
    failures: 0,
  };
  const status: Counts = { ...counts, ...more };
  const thread = createMergeThread();
  const work: Work = {
    ...{ options, limits, status, thread, stop: stop.signal, owner: randomUUID() },
    ...{ tables: new Map(), plainTables: new Map() },
  };
  let swept = false;
  let last: Promise<void> = Promise.resolve();

  const inTurn = (act: (work: Work) => Promise<void>): Promise<void> => {
    last = last
      .catch(() => undefined)
      .then(sweep)
      .then(() => act(work));
    return last;
  };
  async function sweep(): Promise<void> {
    if (swept) return;
    try {
      await emptyFolder(options.workDirectory);
      swept = true;
    } catch (error) {
      logger.error('could not empty the work directory; trying again', { reason: messageOf(error) });
      throw error;
    }
  }
  const loop = (async () => {
    const bell = createBell(clock);
    let housekeptMs = clock.monotonicMs();
    while (!stop.signal.aborted) {
      await bell.wait(stop.signal, intervalMs);
      if (stop.signal.aborted) return;
      await inTurn(mergeAll).catch(() => undefined); // logged, and counted
      if (clock.monotonicMs() - housekeptMs < limits.housekeepingIntervalMs) continue;
      await inTurn(keepAllHouses).catch(() => undefined);
      housekeptMs = clock.monotonicMs();
    }
  })();
  return {
    runNow: () => inTurn(mergeAll),
    keepHouseNow: () => inTurn(keepAllHouses),
    status,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await loop;
      await last.catch(() => undefined); // whoever called runNow has it
      await thread[Symbol.asyncDispose]();
      const tables = [...[...work.tables.values()].flat(), ...work.plainTables.values()];
      await Promise.allSettled(tables.map(({ lease }) => lease.release()));
    },
  };
}

function checkLimits({ filesMin, pastFilesMin, filesMax }: MaintainLimits): void {
  const fault =
    Math.min(filesMin, pastFilesMin) < 2
      ? 'filesMin and pastFilesMin must be at least 2'
      : filesMax < Math.max(filesMin, pastFilesMin) && 'filesMax must be at least filesMin and pastFilesMin';
  if (!fault) return;
  throw new FirnError({
    code: 'invalid',
    operation: 'start maintenance',
    subject: 'limits',
    message: `${fault}; they are ${filesMin}, ${pastFilesMin} and filesMax ${filesMax}`,
  });
}

/** What a process that was killed left behind. */
async function emptyFolder(path: string): Promise<void> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  for (const name of names) await rm(join(path, name), { recursive: true, force: true });
}

async function openWorkFolder(path: string): Promise<WorkFolder> {
  await mkdir(join(path, 'spill'), { recursive: true });
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Tables of the tenants that there are now. */
function openTables(work: Work): ReadonlyMap<TenantId, readonly OpenTable[]> {
  const { tables, options } = work;
  const names = options.tenants();
  for (const tenant of tables.keys()) if (!names.includes(tenant)) tables.delete(tenant);
  for (const tenant of names) if (!tables.has(tenant)) tables.set(tenant, tablesOf(work, tenant));
  return tables;
}

function tablesOf({ options, limits, stop, thread, owner }: Work, tenant: TenantId): OpenTable[] {
  const { store, locationOf, clock, headOf, tableLimits, workDirectory, rollups = [] } = options;
  const tables = openIcebergTables({ store, tenant, locationOf, clock, headOf, limits: tableLimits ?? {} });
  return tableNames.map((signal) => ({
    options: {
      table: tables[signal],
      openFolder: (name) => openWorkFolder(join(workDirectory, name)),
      limits,
      merge: thread.merge,
      replaceFiles,
      commitOptions: { signal: stop },
    },
    limits,
    sweeps: headOf === undefined,
    rollups: signal === 'metrics' ? rollupTables.map((name) => tables[name]) : [],
    ...(isRollupTable(signal) && {
      rollup: {
        ...{ name: signal, metrics: tables.metrics },
        rollUp: rollups.includes(signal) ? thread.rollUp : undefined,
      },
    }),
    lease: leaseKeeper({ store, tenant, table: signal, clock, owner, leaseMs: limits.leaseMs }),
    fencedEpoch: 0,
    logger: options.logger.with({ tenant, table: signal }),
    held: new Map(),
    reason: undefined,
  }));
}

/** Tables in the tenant's namespace that are none of a signal. */
async function plainTablesOf(work: Work, tenant: TenantId): Promise<OpenPlainTable[]> {
  const { options, limits, stop, owner, plainTables } = work;
  const { store, locationOf, clock, headOf, logger, tableLimits = {} } = options;
  const found: OpenPlainTable[] = [];
  for await (const name of plainTableNames(store, tenant)) {
    const prefix = tablePrefix(tenant, name);
    const table = openPlainTable({ store, tenant, name, locationOf, clock, headOf, limits: tableLimits });
    const open = plainTables.get(prefix) ?? {
      ...{ options: { table, commitOptions: { signal: stop } }, limits, sweeps: headOf === undefined },
      lease: leaseKeeper({ store, tenant, table: name, clock, owner, leaseMs: limits.leaseMs }),
      ...{ fencedEpoch: 0, logger: logger.with({ tenant, table: name }), reason: undefined },
    };
    plainTables.set(prefix, open);
    found.push(open);
  }
  return found;
}

/** One merge of each table in turn, as long as there are any: a tenant with much to do doesn't keep the others waiting. */
async function mergeAll(work: Work): Promise<void> {
  let busy = [...openTables(work).values()].flat();
  const failures: unknown[] = [];
  while (busy.length > 0) {
    const again: OpenTable[] = [];
    for (const each of busy) {
      if (work.stop.aborted) return;
      try {
        if (await takeTurn(work, each)) again.push(each);
      } catch (error) {
        failures.push(error);
      }
    }
    busy = again;
  }
  if (failures.length > 0) throw failures[0];
}

/** At most one merge, and one commit of rollups; true when there may be another. */
async function takeTurn({ options, limits, status, stop }: Work, each: OpenTable): Promise<boolean> {
  const { held, logger } = each;
  const nowMs = options.clock.monotonicMs();
  for (const [group, untilMs] of held) if (untilMs <= nowMs) held.delete(group);
  try {
    const rolled = await rollUpTurn(each);
    if (rolled) status.bucketsMade += rolled.rows;
    const turn = await mergeTurn(each, (group) => held.has(group));
    each.reason = undefined;
    if (turn.kind !== 'rewrite') return rolled?.isMore ?? false;
    countMerge(status, turn.rewrite);
    // Who was second leaves this table to the other one until the next round.
    return turn.rewrite.outcome === 'done';
  } catch (error) {
    if (stop.aborted) return false;
    if (error instanceof UnmergeableError) {
      status.failures++;
      const reason = messageOf(error.cause);
      held.set(error.group.group, nowMs + limits.mergeRetryMs);
      logger.error('could not merge files; they are left alone', { group: error.group.group, reason });
      return true;
    }
    failed(status, each, 'could not compact a table; trying again', error);
    throw error;
  }
}

/** Says what is wrong when it begins. */
function failed(status: Counts, each: Watched, what: string, error: unknown): void {
  status.failures++;
  const reason = error instanceof UnmergeableError ? messageOf(error.cause) : messageOf(error);
  // Names of files are new each time.
  const kind = reason.replaceAll(/[0-9a-f-]{30,}/g, '');
  if (each.reason !== kind) each.logger.error(what, { reason });
  each.reason = kind;
}

async function keepAllHouses(work: Work): Promise<void> {
  const { options, status, stop } = work;
  const failures: unknown[] = [];
  for (const [tenant, tables] of openTables(work)) {
    try {
      const retention = await readRetention(options.store, tenant);
      let deletes = await listPendingDeletes(options.store, tenant);
      const keep = async (each: Watched, house: () => Promise<Housekeeping | undefined>): Promise<void> => {
        if (stop.aborted) return;
        await house().then(
          (done) => done && countHouse(status, done),
          (error: unknown) => {
            if (stop.aborted) return;
            failed(status, each, 'could not keep a table tidy; trying again', error);
            failures.push(error);
          },
        );
      };
      const keepAll = async (those: readonly OpenTable[]): Promise<void> => {
        for (const each of those) await keep(each, () => keepHouse(each, { retention, deletes }));
      };
      // Rollups first: a request about metrics is done when they are.
      await keepAll(tables.filter(({ rollup }) => rollup));
      if (deletes.length > 0) deletes = await listPendingDeletes(options.store, tenant);
      await keepAll(tables.filter(({ rollup }) => !rollup));
      for (const each of await plainTablesOf(work, tenant)) await keep(each, () => keepPlainHouse(each));
    } catch (error) {
      options.logger.error('could not read what a tenant keeps', { tenant, reason: messageOf(error) });
      status.failures++;
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

function countHouse(status: Counts, { rowsRemoved, snapshotsExpired, swept }: Housekeeping): void {
  status.rowsRemoved += rowsRemoved;
  status.snapshotsExpired += snapshotsExpired;
  status.objectsDeleted += swept.deleted;
}

function countMerge(status: Counts, { outcome, group, bytesBefore, bytesAfter, repeated }: Rewrite): void {
  if (outcome === 'superseded') {
    status.superseded++;
    return;
  }
  status.merges++;
  status.filesMerged += group.files.length;
  status.rowsMerged += group.rows;
  status.rowsRepeated += repeated;
  status.bytesRead += bytesBefore;
  status.bytesWritten += bytesAfter;
}
