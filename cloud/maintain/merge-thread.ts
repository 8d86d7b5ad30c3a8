import { Worker } from 'node:worker_threads';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { Merge, MergeJob } from './merge-job.ts';
import type { MergeReply } from './merge-worker.ts';

/** The merging thread, started when it is first needed. Jobs are done one after another. */
export interface MergeThread extends AsyncDisposable {
  /** Rejects with FirnError, `unavailable` when the thread died: the next call starts another. */
  readonly merge: Merge;
}

export function createMergeThread(): MergeThread {
  let worker: Worker | undefined;
  let waiting: PromiseWithResolvers<MergeReply> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const start = (): Worker => {
    const started = new Worker(new URL('./merge-worker.ts', import.meta.url));
    const died = (why: string): void => {
      if (worker === started) worker = undefined;
      waiting?.reject(ended(why));
    };
    started.on('message', (reply: MergeReply) => waiting?.resolve(reply));
    started.on('error', (error) => died(messageOf(error)));
    started.on('exit', (code) => died(`it ended with code ${code}`));
    return started;
  };
  const run = async (job: MergeJob): Promise<MergeReply> => {
    worker ??= start();
    waiting = Promise.withResolvers();
    worker.postMessage(job);
    return waiting.promise;
  };
  return {
    merge: async (job) => {
      const turn = last.then(() => run(job));
      last = turn.catch(() => undefined);
      const reply = await turn;
      if (reply.kind === 'merged') return reply.segment;
      const { hint, ...detail } = reply.error;
      throw new FirnError(hint === undefined ? detail : { ...detail, hint });
    },
    [Symbol.asyncDispose]: async () => {
      await last;
      await worker?.terminate();
    },
  };
}

function ended(why: string): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'merge files',
    subject: 'merging thread',
    message: `the thread that merges files stopped: ${why}`,
  });
}
