import type { Batch, MetricMetadata, SeriesEntry } from '../../../lake/model/batch.ts';
import type { SegmentRecord } from '../wal.ts';
import type { SalvagedBatch, SalvagedBoot } from './stored-row.ts';

/** Part of what recovery brings back. All of it is one transaction, so that work that is interrupted goes on exactly. */
export interface RestoredPart {
  /** Name of the job. */
  readonly job: string;
  /** How far the job is: `Wal.restored` says it again after a restart. */
  readonly cursor: number;
  readonly series?: readonly SeriesEntry[];
  readonly metadata?: readonly MetricMetadata[];
  /** They get new places in the log; what was known of their clock comes along. Each payload has a buffer of its own, which is given away. */
  readonly batches?: readonly RestoredBatch[];
  readonly removedSegments?: readonly string[];
  /** Rows for files that the table does not name; for one that it does, nothing changes. */
  readonly addedSegments?: readonly SegmentRecord[];
  readonly gaps?: readonly Batch[];
  /** Everything up to it is in files: its batches are released, and the log goes on behind it. */
  readonly sealedSeq?: number;
}

export interface RestoredBatch extends Omit<SalvagedBatch, 'boot'> {
  /** Undefined: not known, as in a log of format 1. */
  readonly boot: SalvagedBoot | undefined;
}

/** The cursor of a job of which all is stored. */
export const jobDone = Number.MAX_SAFE_INTEGER;
