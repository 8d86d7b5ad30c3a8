import { Worker } from 'node:worker_threads';
import type { Clock } from '../base/clock.ts';
import { throwIfStopped } from './budget.ts';
import { PromqlError } from './errors.ts';
import { buffersOf, type FromWorker, type ToWorker } from './evaluation-messages.ts';
import { type Evaluated, type EvaluationTask, type Evaluator, inlineEvaluator } from './evaluator.ts';

export interface EvaluationPool extends Evaluator, AsyncDisposable {}

export interface EvaluationPoolOptions {
  readonly clock: Clock;
  readonly threads: number;
  /** A task with no more samples, read and in its result, is done at once on the thread that asks. */
  readonly inlineSamplesMax?: number;
}

/** Less than a few milliseconds of work; handing it over would cost as much. */
const defaultInlineSamplesMax = 50_000;

interface Job {
  readonly task: EvaluationTask;
  readonly signal: AbortSignal;
  readonly done: PromiseWithResolvers<Evaluated>;
}

interface Thread {
  readonly worker: Worker;
  job: Job | undefined;
}

/** Evaluates queries on threads of their own, which start when they are first needed. Waiting ones are served in turn. */
export function createEvaluationPool({
  clock,
  threads: threadsMax,
  inlineSamplesMax = defaultInlineSamplesMax,
}: EvaluationPoolOptions): EvaluationPool {
  const inline = inlineEvaluator(clock);
  const threads: Thread[] = [];
  const waiting: Job[] = [];

  const startThread = (): Thread => {
    const worker = new Worker(new URL('./evaluation-worker.ts', import.meta.url));
    const thread: Thread = { worker, job: undefined };
    worker.on('message', (message: FromWorker) => settle(thread, message));
    worker.on('error', (error) => drop(thread, error));
    worker.on('exit', () => drop(thread, new Error('the thread that evaluates queries has ended')));
    worker.unref();
    threads.push(thread);
    return thread;
  };
  const settle = (thread: Thread, message: FromWorker): void => {
    const { job } = thread;
    thread.job = undefined;
    if (message.kind === 'done') job?.done.resolve(message.evaluated);
    else if (message.errorType) job?.done.reject(new PromqlError(message.errorType, message.message));
    else job?.done.reject(new Error(message.message));
    next();
  };
  const drop = (thread: Thread, error: Error): void => {
    const index = threads.indexOf(thread);
    if (index < 0) return;
    threads.splice(index, 1);
    thread.job?.done.reject(error);
    next();
  };
  const next = (): void => {
    if (waiting.length === 0) return;
    const idle = threads.find(({ job }) => job === undefined);
    const thread = idle ?? (threads.length < threadsMax ? startThread() : undefined);
    const job = thread && waiting.shift();
    if (thread === undefined || job === undefined) return;
    thread.job = job;
    const message: ToWorker = { kind: 'evaluate', task: job.task };
    thread.worker.postMessage(message, buffersOf(job.task.data.flat()));
  };
  const cancel = (job: Job): void => {
    const index = waiting.indexOf(job);
    if (index >= 0) waiting.splice(index, 1);
    threads.find((thread) => thread.job === job)?.worker.postMessage({ kind: 'cancel' } satisfies ToWorker);
    try {
      throwIfStopped(job.signal);
    } catch (error) {
      job.done.reject(error);
    }
  };

  return {
    evaluate: async (task, signal) => {
      if (weightOf(task) <= inlineSamplesMax) return inline.evaluate(task, signal);
      throwIfStopped(signal);
      const job: Job = { task, signal, done: Promise.withResolvers<Evaluated>() };
      const onAbort = (): void => cancel(job);
      signal.addEventListener('abort', onAbort, { once: true });
      waiting.push(job);
      next();
      try {
        return await job.done.promise;
      } finally {
        signal.removeEventListener('abort', onAbort);
      }
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}

/** Samples that are looked at, roughly: what was read, and each series at each step. */
function weightOf({ plan, data, samplesRead }: EvaluationTask): number {
  const series = data.reduce((sum, one) => sum + one.length, 1);
  const steps = plan.grids.reduce((sum, grid) => sum + grid.steps, plan.times.steps);
  return samplesRead + series * steps;
}
