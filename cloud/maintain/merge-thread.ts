import { Worker } from 'node:worker_threads';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { RollUp } from '../../lake/rollups/roll-up-files.ts';
import type { Merge } from './merge-job.ts';
import type { ThreadJob, ThreadReply } from './merge-worker.ts';

/** The thread that merges files and rolls them up, started when it is first needed. Jobs are done one after another. */
export interface MergeThread extends AsyncDisposable {
  /** Both reject with FirnError, `unavailable` when the thread died: the next call starts another. */
  readonly merge: Merge;
  readonly rollUp: RollUp;
}

type Done<Kind> = Exclude<Extract<ThreadReply, { readonly kind: Kind }>, { readonly kind: 'failed' }>;

export function createMergeThread(): MergeThread {
  let worker: Worker | undefined;
  let waiting: PromiseWithResolvers<ThreadReply> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const start = (): Worker => {
    const started = new Worker(new URL('./merge-worker.ts', import.meta.url));
    const died = (why: string): void => {
      if (worker === started) worker = undefined;
      waiting?.reject(ended(why));
    };
    started.on('message', (reply: ThreadReply) => waiting?.resolve(reply));
    started.on('error', (error) => died(messageOf(error)));
    started.on('exit', (code) => died(`it ended with code ${code}`));
    return started;
  };
  const run = async (job: ThreadJob): Promise<ThreadReply> => {
    worker ??= start();
    waiting = Promise.withResolvers();
    worker.postMessage(job);
    return waiting.promise;
  };
  const inTurn = async <Kind extends ThreadJob['kind']>(
    job: ThreadJob & { readonly kind: Kind },
  ): Promise<Done<Kind>> => {
    const turn = last.then(() => run(job));
    last = turn.catch(() => undefined);
    const reply = await turn;
    if (reply.kind !== 'failed') return reply as Done<Kind>;
    const { hint, ...detail } = reply.error;
    throw new FirnError(hint === undefined ? detail : { ...detail, hint });
  };
  return {
    merge: async (job) => (await inTurn({ kind: 'merge', job })).segment,
    rollUp: async (request) => (await inTurn({ kind: 'roll-up', request })).files,
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
