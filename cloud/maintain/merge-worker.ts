import { parentPort } from 'node:worker_threads';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { MergedSegment } from '../../lake/parquet/merge-streaming.ts';
import { type MergeJob, mergeJob } from './merge-job.ts';

// The thread that merges files: it must not stall queries and ingest.

export type MergeReply =
  | { readonly kind: 'merged'; readonly segment: MergedSegment }
  | { readonly kind: 'failed'; readonly error: MergeFailure };

/** A FirnError's fields; errors lose their class between threads. */
export type MergeFailure = Pick<FirnError, 'code' | 'operation' | 'subject' | 'message' | 'hint'>;

const port = parentPort;
if (port === null) throw new Error('merge-worker.ts runs as a worker thread');

port.on('message', async (job: MergeJob) => {
  const reply = await mergeJob(job).then(
    (segment): MergeReply => ({ kind: 'merged', segment }),
    (error: unknown): MergeReply => ({ kind: 'failed', error: failureOf(error, job) }),
  );
  port.postMessage(reply);
});

function failureOf(error: unknown, { folder }: MergeJob): MergeFailure {
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
