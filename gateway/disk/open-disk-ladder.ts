import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { ReachFaultPoint } from '../../lake/base/fault-points.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Batch } from '../../lake/model/batch.ts';
import type { GatewayId, TenantId } from '../../lake/model/ids.ts';
import { isTextColumn, type Texts } from '../../lake/model/text-column.ts';
import { writerDefaults } from '../../lake/parquet/segment-writer.ts';
import { gapsBatch } from '../../lake/receive/gaps-builder.ts';
import { batchColumnsOf, columnOf } from '../../lake/schema/batch-columns.ts';
import type { SegmentClaims } from '../seal/segment-claims.ts';
import type { Wal } from '../wal/wal.ts';
import { createBallast } from './ballast.ts';
import { type DiskLadder, type DiskPorts, startDiskLadder } from './disk-ladder.ts';
import type { LadderSettings } from './ladder.ts';
import { openDiskMeter } from './measure.ts';
import { type DiskLimits, pressureOf } from './pressure.ts';
import { createRollUp } from './roll-up.ts';
import { openSegmentFiles } from './segment-files.ts';

export interface OpenDiskLadderOptions extends DiskLimits, Partial<LadderSettings> {
  readonly wal: Wal;
  /** Absolute; the sealer's. */
  readonly dataDir: string;
  readonly tenant: TenantId;
  readonly gateway: GatewayId;
  readonly claims: SegmentClaims;
  /** Deletes files (relative paths) that the log no longer names, once no view reads them. */
  readonly discard: (paths: readonly string[]) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly checkIntervalMs?: number;
  readonly writerMemoryBytesMax?: number;
  readonly reach?: ReachFaultPoint;
  /** Told of what came from outside once it is on disk. */
  readonly onAppended?: (batches: readonly Batch[]) => void;
}

export interface OpenDiskLadder extends DiskLadder {
  /** `Wal.append` for what comes from outside: refused with `unavailable` while there is no room. */
  append(...batches: readonly Batch[]): Promise<void>;
}

/** The ladder over the gateway's log and files. Measures once before it resolves, so that a full disk is known at once. */
export async function openDiskLadder(options: OpenDiskLadderOptions): Promise<OpenDiskLadder> {
  const { wal, dataDir, gateway, claims, clock, logger } = options;
  const files = openSegmentFiles(wal.path, claims, () => clock.nowMs() * 1000);
  const meter = openDiskMeter(dataDir, wal.path, files.bytes);
  const ballast = createBallast(dataDir);
  const rollUp = createRollUp({
    ...{ writerMemoryBytesMax: writerDefaults.writerMemoryBytesMax, ...options, files },
    replace: (removed, added, gaps) => wal.replaceSegments(removed, added, [gapsBatch(gaps, gateway)]),
  });
  const ports: DiskPorts = {
    files,
    rollUp,
    measure: async () => {
      const usage = await meter.measure();
      // Where there is no room for ballast, it is done without.
      const { headroomBytes } = pressureOf(usage, options);
      await ballast.restore(headroomBytes).catch((error: unknown) => {
        logger.debug('there is no ballast', { error: messageOf(error) });
      });
      return usage;
    },
    forget: (paths) => wal.removeSegments(paths),
    drop: async (paths, gaps) => {
      if (!claims.take(paths)) throw taken(paths);
      try {
        await wal.replaceSegments(paths, [], [gapsBatch(gaps, gateway)]);
      } finally {
        claims.release(paths);
      }
    },
    discard: async (paths) => {
      meter.deleted(paths);
      await options.discard(paths);
    },
    releaseBallast: ballast.release,
  };
  const ladder = startDiskLadder({ ...options, ...ports });
  await ladder.relieveNow().catch((error: unknown) => {
    logger.error('could not free disk space; trying again', { error: messageOf(error) });
  });
  return {
    ...ladder,
    append: async (...batches) => {
      ladder.guard.admit(batches.reduce((sum, batch) => sum + bytesOf(batch), 0));
      await wal.append(...batches);
      options.onAppended?.(batches);
    },
    [Symbol.asyncDispose]: async () => {
      await ladder[Symbol.asyncDispose]();
      meter[Symbol.dispose]();
      files[Symbol.dispose]();
    },
  };
}

/** About what a batch takes in the log. */
function bytesOf(batch: Batch): number {
  let bytes = batch.rows * rowBytes;
  for (const { name, type } of batchColumnsOf(batch.signal)) {
    if (type !== 'string') continue;
    const column = columnOf(batch, name) as Texts | undefined;
    if (column === undefined) continue;
    if (isTextColumn(column)) bytes += column.bytes.byteLength;
    else for (const text of column) bytes += text?.length ?? 0;
  }
  for (const { labels } of batch.series) bytes += labels.length;
  return bytes;
}

const rowBytes = 32;

function taken(paths: readonly string[]): FirnError {
  return new FirnError({
    code: 'conflict',
    operation: 'drop segments',
    subject: paths[0] ?? '',
    message: 'one of the files is being shipped or merged',
  });
}
