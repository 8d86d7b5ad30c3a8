import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Clock } from '../../lake/base/clock.ts';
import { hasCode, messageOf } from '../../lake/base/errors.ts';
import { noFaults, type ReachFaultPoint } from '../../lake/base/fault-points.ts';
import type { Logger } from '../../lake/base/log.ts';
import { createBell } from '../../lake/base/retry.ts';
import type { GatewayId, TenantId } from '../../lake/model/ids.ts';
import { segmentKey } from '../../lake/model/keys.ts';
import { mergeSegments } from '../../lake/parquet/duckdb-merge.ts';
import type { MergeRequest } from '../../lake/parquet/merge-request.ts';
import type { SegmentFile } from '../../lake/parquet/segment-writer.ts';
import type { Wal } from '../wal/wal.ts';
import {
  groupOf,
  type LocalFile,
  type LocalFiles,
  type MergeLimits,
  mergedPath,
  openLocalFiles,
} from './local-files.ts';
import type { SegmentClaims } from './segment-claims.ts';
import { segmentRecord } from './segment-record.ts';

export interface MergerOptions extends Partial<MergeLimits> {
  readonly wal: Wal;
  /** Absolute; the sealer's. */
  readonly dataDir: string;
  readonly tenant: TenantId;
  readonly gateway: GatewayId;
  /** Files that are being uploaded or thinned out. */
  readonly claims: SegmentClaims;
  /** Deletes files (relative paths) that the WAL no longer names, once no view reads them. */
  readonly discard: (paths: readonly string[]) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often it looks for work. */
  readonly mergeIntervalMs?: number;
  /** A group of files that could not be merged is left alone for so long. */
  readonly mergeRetryMs?: number;
  /** Local files are removed so long after they were sealed, once the cloud has them; the lake keeps the rows. */
  readonly localRetentionHours?: number;
  readonly writerMemoryBytesMax?: number;
  /** Tried first: the sealer's thread has what it needs in memory. DuckDB merges what is too large for that. */
  readonly mergeInMemory?: (request: MergeRequest) => Promise<SegmentFile>;
  readonly reach?: ReachFaultPoint;
}

export const mergerDefaults = {
  mergeFilesMin: 32,
  mergeRowsMax: 250_000,
  mergeBytesMax: 32 * 1024 * 1024,
  mergeIntervalMs: 15_000,
  mergeRetryMs: 3_600_000,
  localRetentionHours: 168,
  writerMemoryBytesMax: 48 * 1024 * 1024,
} as const;

export interface Merger extends AsyncDisposable {
  /** Does all the work that there is now. `filesMin`: how many files of a group are enough, this once. */
  runNow(filesMin?: number): Promise<void>;
  /** Counted since the start. */
  readonly status: { readonly merges: number; readonly removedFiles: number };
}

type Settings = Required<Omit<MergerOptions, 'mergeInMemory'>> & Pick<MergerOptions, 'mergeInMemory'>;

/** Files removed from the WAL at once. */
const removeFilesMax = 500;

/**
 * Keeps the number of local files small: there is a new one every few seconds. Files of one signal and day that are
 * shipped are merged tier by tier, so that a row is rewritten at most a few times; old ones are removed.
 */
export function startMerger(options: MergerOptions): Merger {
  const settings: Settings = { ...mergerDefaults, reach: noFaults, ...options };
  const { wal, clock, logger } = settings;
  const files = openLocalFiles(wal.path);
  const status = { merges: 0, removedFiles: 0 };
  /** Groups that failed, and until when they are left alone. */
  const held = new Map<string, number>();
  const stop = new AbortController();
  let last: Promise<void> = Promise.resolve();

  const runNow = (mergeFilesMin = settings.mergeFilesMin): Promise<void> => {
    last = last
      .then(() => removeOld(settings, files, status))
      .then(() => mergeAll({ ...settings, mergeFilesMin }, files, held, status, stop.signal));
    return last;
  };
  const loop = (async () => {
    const bell = createBell(clock);
    for (let logged: string | undefined; !stop.signal.aborted; ) {
      await bell.wait(stop.signal, settings.mergeIntervalMs);
      if (stop.signal.aborted) return;
      try {
        await runNow();
        logged = undefined;
      } catch (error) {
        const message = messageOf(error);
        if (message !== logged) logger.error('could not tidy local files; trying again', { error: message });
        logged = message;
        last = Promise.resolve();
      }
    }
  })();
  return {
    status,
    runNow,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await loop;
      await last.catch(() => undefined); // whoever called runNow has it
      files[Symbol.dispose]();
    },
  };
}

async function removeOld(
  settings: Settings,
  files: LocalFiles,
  status: { removedFiles: number },
): Promise<void> {
  const { wal, clock, discard, localRetentionHours } = settings;
  const beforeUs = Math.round((clock.nowMs() - localRetentionHours * 3_600_000) * 1000);
  for (;;) {
    const paths = files.expired(beforeUs, removeFilesMax);
    if (paths.length === 0) return;
    await wal.removeSegments(paths);
    await discard(paths);
    status.removedFiles += paths.length;
  }
}

async function mergeAll(
  settings: Settings,
  files: LocalFiles,
  held: Map<string, number>,
  status: { merges: number },
  stop: AbortSignal,
): Promise<void> {
  const { clock, logger, claims, mergeRetryMs } = settings;
  while (!stop.aborted) {
    const nowMs = clock.monotonicMs();
    const inputs = files.nextMerge(settings, {
      group: (group) => (held.get(group) ?? 0) > nowMs,
      file: claims.isTaken,
    });
    const [first] = inputs;
    if (first === undefined) return;
    try {
      await mergeFiles(settings, inputs);
      status.merges++;
      held.delete(groupOf(first));
    } catch (error) {
      held.set(groupOf(first), nowMs + mergeRetryMs);
      logger.error('could not merge local files', { group: groupOf(first), error: messageOf(error) });
      if (hasCode(error, 'unsupported')) return; // no DuckDB: nothing is queried here either
    }
  }
}

async function mergeFiles(settings: Settings, inputs: readonly LocalFile[]): Promise<void> {
  const { wal, dataDir, tenant, gateway, discard, claims, reach, writerMemoryBytesMax } = settings;
  const [first] = inputs;
  const last = inputs.at(-1);
  const removed = inputs.map(({ path }) => path);
  if (first === undefined || last === undefined || !claims.take(removed)) return;
  try {
    const spillDirectory = join(dataDir, 'spill', 'merge');
    await mkdir(spillDirectory, { recursive: true });
    const path = mergedPath(inputs);
    const file = await merge(settings, {
      signal: first.signal,
      paths: inputs.map((input) => join(dataDir, input.path)),
      rows: inputs.reduce((sum, { rows }) => sum + rows, 0),
      path: join(dataDir, path),
      writerMemoryBytesMax,
      spillDirectory,
    });
    reach('merge.written');
    const key = segmentKey(tenant, gateway, first.signal, basename(path));
    const record = segmentRecord({
      ...{
        dataDir,
        file,
        signal: first.signal,
        class: first.class,
        tier: first.tier + 1,
        clock: first.clock,
      },
      ...{ epoch: first.epoch, fromSeq: first.fromSeq, toSeq: last.toSeq },
      minReceivedUs: Math.min(...inputs.map(({ minReceivedUs }) => minReceivedUs)),
      maxReceivedUs: Math.max(...inputs.map(({ maxReceivedUs }) => maxReceivedUs)),
      sealedUs: Math.max(...inputs.map(({ sealedUs }) => sealedUs)),
      shipped: first.committed ? undefined : { key, columns: 'field-ids' },
    });
    await wal.replaceSegments(removed, [record]);
    reach('merge.committed');
    await discard(removed);
  } finally {
    claims.release(removed);
  }
}

async function merge({ mergeInMemory }: Settings, request: MergeRequest): Promise<SegmentFile> {
  if (mergeInMemory === undefined) return mergeSegments(request);
  return mergeInMemory(request).catch((error: unknown) => {
    if (!hasCode(error, 'limit') && !hasCode(error, 'unsupported')) throw error;
    return mergeSegments(request);
  });
}
