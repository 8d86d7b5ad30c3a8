import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { createBell } from '../../lake/base/retry.ts';
import { signals } from '../../lake/model/batch.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { mergeSegments } from '../../lake/parquet/duckdb-merge.ts';
import { type HeadOf, type IcebergTable, openTable, type TableLimits } from '../catalog/table.ts';
import {
  type Compaction,
  type CompactLimits,
  compactOnce,
  UnmergeableError,
  type WorkFolder,
} from './compact.ts';
import { replaceFiles } from './replace-files.ts';

/**
 * Keeps the number of files small: gateways ship one every few seconds. Any number of these may run at once, beside any
 * number of ingests. Replaced files stay where they are, because readers may hold snapshots that name them.
 */
export interface Maintain extends AsyncDisposable {
  /** Does all the work that there is now; rejects with the first error when everything else is done. */
  runNow(): Promise<void>;
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
  /** Groups of files that could not be merged, and tables that could not be looked at. */
  readonly failures: number;
}

export interface MaintainLimits extends CompactLimits {
  /** A group of files that could not be merged is left alone for so long. */
  readonly mergeRetryMs: number;
}

export const maintainDefaults: MaintainLimits & { readonly intervalMs: number } = {
  intervalMs: 15_000,
  filesMin: 16,
  pastFilesMin: 4,
  filesMax: 1_000,
  rowsMax: 8_000_000,
  bytesMax: 256 * 1024 * 1024,
  fileAgeMsMin: 60_000,
  fetchConcurrencyMax: 8,
  writerMemoryBytesMax: 512 * 1024 * 1024,
  mergeRetryMs: 3_600_000,
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
  readonly tableLimits?: Partial<TableLimits>;
  readonly headOf?: HeadOf | undefined;
}

type Counts = { -readonly [K in keyof MaintainStatus]: MaintainStatus[K] };

interface Work {
  readonly options: MaintainOptions;
  readonly limits: MaintainLimits;
  readonly status: Counts;
  readonly stop: AbortSignal;
}

interface TableWork {
  readonly table: IcebergTable;
  /** Groups that failed, and until when they are left alone. */
  readonly held: Map<string, number>;
  /** What was wrong the last time; logged when it begins or changes. */
  reason: string | undefined;
}

/** Throws FirnError `invalid` for limits with which merging would never come to an end. */
export function startMaintain(options: MaintainOptions): Maintain {
  const { clock, logger, intervalMs = maintainDefaults.intervalMs } = options;
  const limits = { ...maintainDefaults, ...options.limits };
  checkLimits(limits);
  const stop = new AbortController();
  const counts = { merges: 0, filesMerged: 0, rowsMerged: 0, bytesRead: 0, bytesWritten: 0 };
  const status: Counts = { ...counts, superseded: 0, failures: 0 };
  const work: Work = { options, limits, status, stop: stop.signal };
  const tables = new Map<TenantId, readonly TableWork[]>();
  let swept = false;
  let last: Promise<void> = Promise.resolve();

  const runNow = (): Promise<void> => {
    last = last
      .catch(() => undefined)
      .then(sweep)
      .then(() => round(work, tables));
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
    while (!stop.signal.aborted) {
      await bell.wait(stop.signal, intervalMs);
      if (!stop.signal.aborted) await runNow().catch(() => undefined); // logged, and counted
    }
  })();
  return {
    runNow,
    status,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await loop;
      await last.catch(() => undefined); // whoever called runNow has it
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

/** One merge of each table in turn, as long as there are any: a tenant with much to do doesn't keep the others waiting. */
async function round(work: Work, tables: Map<TenantId, readonly TableWork[]>): Promise<void> {
  const names = work.options.tenants();
  for (const tenant of tables.keys()) if (!names.includes(tenant)) tables.delete(tenant);
  for (const tenant of names) if (!tables.has(tenant)) tables.set(tenant, openTables(work, tenant));
  let busy = [...tables.values()].flat();
  const failures: unknown[] = [];
  while (busy.length > 0) {
    const again: TableWork[] = [];
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

function openTables({ options }: Work, tenant: TenantId): TableWork[] {
  const { store, locationOf, clock, headOf, tableLimits: limits = {} } = options;
  return signals.map((signal) => ({
    table: openTable({ store, tenant, signal, locationOf, clock, limits, headOf }),
    held: new Map(),
    reason: undefined,
  }));
}

/** At most one merge; true when there may be another. */
async function takeTurn({ options, limits, status, stop }: Work, each: TableWork): Promise<boolean> {
  const { table, held } = each;
  const { clock, workDirectory } = options;
  const openFolder = (name: string): Promise<WorkFolder> => openWorkFolder(join(workDirectory, name));
  const logger = options.logger.with({ tenant: table.tenant, table: table.schema.table });
  const nowMs = clock.monotonicMs();
  for (const [group, untilMs] of held) if (untilMs <= nowMs) held.delete(group);
  try {
    const compaction = await compactOnce(
      { table, openFolder, limits, mergeSegments, replaceFiles, commitOptions: { signal: stop } },
      (group) => held.has(group),
    );
    each.reason = undefined;
    if (compaction) count(status, compaction);
    // Who was second leaves this table to the other one until the next round.
    return compaction?.outcome === 'done';
  } catch (error) {
    if (stop.aborted) return false;
    status.failures++;
    if (error instanceof UnmergeableError) {
      const reason = messageOf(error.cause);
      held.set(error.merge.group, nowMs + limits.mergeRetryMs);
      logger.error('could not merge files; they are left alone', { group: error.merge.group, reason });
      return true;
    }
    if (each.reason !== messageOf(error))
      logger.error('could not compact a table; trying again', { reason: messageOf(error) });
    each.reason = messageOf(error);
    throw error;
  }
}

function count(status: Counts, { outcome, merge, bytesBefore, bytesAfter }: Compaction): void {
  if (outcome === 'superseded') {
    status.superseded++;
    return;
  }
  status.merges++;
  status.filesMerged += merge.files.length;
  status.rowsMerged += merge.rows;
  status.bytesRead += bytesBefore;
  status.bytesWritten += bytesAfter;
}
