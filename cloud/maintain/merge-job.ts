import { join } from 'node:path';
import { hasCode } from '../../lake/base/errors.ts';
import type { TableName } from '../../lake/model/table-name.ts';
import { mergeSegments } from '../../lake/parquet/duckdb-merge.ts';
import { type MergedSegment, mergeStreaming } from '../../lake/parquet/merge-streaming.ts';
import { type RowRule, rowTest } from './row-rules.ts';

/** What the merging thread is asked to do. */
export interface MergeJob {
  readonly signal: TableName;
  /** Local files of one day, the oldest first. */
  readonly paths: readonly string[];
  readonly rows: number;
  /** A folder for the merged file and for spilling; made by the caller, who also removes it. */
  readonly folder: string;
  readonly memoryBytesMax: number;
  /** Of zstd. */
  readonly compressionLevel: number;
  /** Rows that any of these is about are left out. */
  readonly rules: readonly RowRule[];
}

export type Merge = (job: MergeJob) => Promise<MergedSegment>;

/**
 * Merges in a stream. What that can't take (files of other engines, or files whose row groups are too large together)
 * DuckDB sorts first, on the disk where memory is short. Throws what the two throw.
 */
export async function mergeJob({ folder, rules, ...job }: MergeJob): Promise<MergedSegment> {
  const request = {
    ...job,
    path: join(folder, 'merged.parquet'),
    ...(rules.length > 0 && { leaveOut: rowTest(rules) }),
  };
  try {
    return await mergeStreaming(request);
  } catch (error) {
    if (!hasCode(error, 'unsupported') && !hasCode(error, 'limit')) throw error;
    const sorted = await mergeSegments({
      ...{ signal: job.signal, paths: job.paths, rows: job.rows, path: join(folder, 'sorted.parquet') },
      ...{ writerMemoryBytesMax: job.memoryBytesMax, spillDirectory: join(folder, 'spill') },
    });
    return mergeStreaming({ ...request, paths: [sorted.path] });
  }
}
