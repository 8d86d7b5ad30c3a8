import { Worker } from 'node:worker_threads';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { MergeRequest } from '../../lake/parquet/merge-request.ts';
import type { SegmentFile } from '../../lake/parquet/segment-writer.ts';
import type { SealFailure, SealWorkerOptions, SealWorkerReply, SealWorkerRequest } from './seal-messages.ts';
import type { SealOutcome, SealRequest } from './seal-range.ts';

/** The seal worker as the main thread sees it. Calls are done one after another. */
export interface SealThread extends AsyncDisposable {
  /** Starts the thread when it is not running, also after it died. Rejects with FirnError. */
  seal(request: SealRequest): Promise<SealOutcome>;
  /** See lake/parquet/merge-in-memory.ts; rejects with its errors. */
  merge(request: MergeRequest): Promise<SegmentFile>;
}

export function createSealThread(options: SealWorkerOptions): SealThread {
  let worker: Worker | undefined;
  let waiting: PromiseWithResolvers<SealWorkerReply> | undefined;

  const next = (): Promise<SealWorkerReply> => {
    waiting = Promise.withResolvers();
    return waiting.promise;
  };
  const start = async (): Promise<Worker> => {
    const started = new Worker(new URL('./seal-worker.ts', import.meta.url), { workerData: options });
    started.on('message', (reply: SealWorkerReply) => waiting?.resolve(reply));
    const died = (why: string): void => {
      if (worker === started) worker = undefined;
      waiting?.reject(ended(options.dataDir, why));
    };
    started.on('error', (error) => died(messageOf(error)));
    started.on('exit', (code) => died(`it ended with code ${code}`));
    const reply = await next();
    if (reply.kind !== 'failed') return started;
    await started.terminate();
    throw firnError(reply.error);
  };
  let last: Promise<unknown> = Promise.resolve();
  const ask = (message: SealWorkerRequest): Promise<SealWorkerReply> => {
    const turn = last.then(async () => {
      worker ??= await start();
      const reply = next();
      worker.postMessage(message);
      return reply;
    });
    last = turn.catch(() => undefined);
    return turn;
  };

  return {
    seal: async (request) => {
      const reply = await ask({ kind: 'seal', request });
      if (reply.kind === 'done') return reply.outcome;
      throw reply.kind === 'failed' ? firnError(reply.error) : ended(options.dataDir, 'it is confused');
    },
    merge: async (request) => {
      const reply = await ask({ kind: 'merge', request });
      if (reply.kind === 'merged') return reply.file;
      throw reply.kind === 'failed' ? firnError(reply.error) : ended(options.dataDir, 'it is confused');
    },
    [Symbol.asyncDispose]: async () => {
      await last;
      const running = worker;
      if (running === undefined) return;
      await ask({ kind: 'close' });
      await running.terminate();
    },
  };
}

function firnError({ hint, ...detail }: SealFailure): FirnError {
  return new FirnError(hint === undefined ? detail : { ...detail, hint });
}

function ended(dataDir: string, why: string): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'seal',
    subject: dataDir,
    message: `the thread that writes segments stopped: ${why}`,
  });
}
