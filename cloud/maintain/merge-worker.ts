import { parentPort } from 'node:worker_threads';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { MergedSegment } from '../../lake/parquet/merge-streaming.ts';
import type { SegmentFile } from '../../lake/parquet/segment-writer.ts';
import { type RollUpRequest, rollUpFiles } from '../../lake/rollups/roll-up-files.ts';
import { type MergeJob, mergeJob } from './merge-job.ts';

// The thread that merges files and rolls them up: it must not stall queries and ingest.

export type ThreadJob =
  | { readonly kind: 'merge'; readonly job: MergeJob }
  | { readonly kind: 'roll-up'; readonly request: RollUpRequest };

export type ThreadReply =
  | { readonly kind: 'merge'; readonly segment: MergedSegment }
  | { readonly kind: 'roll-up'; readonly files: readonly SegmentFile[] }
  | { readonly kind: 'failed'; readonly error: Failure };

/** A FirnError's fields; errors lose their class between threads. */
type Failure = Pick<FirnError, 'code' | 'operation' | 'subject' | 'message' | 'hint'>;

const port = parentPort;
if (port === null) throw new Error('merge-worker.ts runs as a worker thread');

port.on('message', async (job: ThreadJob) => {
  const reply = await done(job).catch((error: unknown): ThreadReply => {
    const folder = job.kind === 'merge' ? job.job.folder : job.request.spillDirectory;
    return { kind: 'failed', error: failureOf(error, folder) };
  });
  port.postMessage(reply);
});

async function done(job: ThreadJob): Promise<ThreadReply> {
  if (job.kind === 'merge') return { kind: 'merge', segment: await mergeJob(job.job) };
  return { kind: 'roll-up', files: await rollUpFiles(job.request) };
}

function failureOf(error: unknown, folder: string): Failure {
  if (error instanceof FirnError) {
    const { code, operation, subject, message, hint } = error;
    return { code, operation, subject, message, hint };
  }
  const detail = { operation: 'merge files', subject: folder, hint: undefined };
  const message = messageOf(error);
  if (/ENOSPC|EDQUOT|no space left/i.test(message))
    return {
      ...detail,
      code: 'unavailable',
      message: `the disk of ${folder} is full: ${message}`,
      hint: 'make room for the work directory (--data-dir): compaction goes on by itself then',
    };
  return { ...detail, code: 'corrupt', message };
}
