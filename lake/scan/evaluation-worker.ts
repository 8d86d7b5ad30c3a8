import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { labelsJson } from '../model/labels.ts';
import { executionError, PromqlError } from '../promql/errors.ts';
import { evaluateTask } from '../promql/evaluator.ts';
import type { SeriesData, SeriesSet } from '../promql/source.ts';
import {
  buffersOf,
  type FromWorker,
  type JobAnswer,
  type JobRequest,
  type NotInFiles,
  type ToWorker,
  type WorkerSettings,
} from './evaluation-messages.ts';
import { tooMuch } from './read-series.ts';
import { type Located, locate, type Pause } from './samples/locate.ts';
import { createSeriesFiles } from './samples/series-files.ts';
import { type OtherSeries, storedSeries } from './samples/stored-series.ts';

// Reads files and evaluates queries, off the thread that receives samples. Jobs take turns.

const { limits } = workerData as WorkerSettings;
const store = createSeriesFiles(limits);

interface Job {
  readonly stopped: AbortController;
  located: readonly (Located | undefined)[];
}
const jobs = new Map<number, Job>();

/** How long a job holds the thread at a time. */
const turnMs = 15;

function pauseOf({ stopped: { signal } }: Job): Pause {
  let turnStartMs = systemClock.monotonicMs();
  return async () => {
    if (systemClock.monotonicMs() - turnStartMs <= turnMs) return;
    await setImmediate();
    signal.throwIfAborted();
    turnStartMs = systemClock.monotonicMs();
  };
}

async function answerJob(job: Job, request: JobRequest): Promise<JobAnswer> {
  if (request.kind === 'locate') {
    const located: (Located | undefined)[] = [];
    for (const scan of request.scans) {
      const one = scan && (await locate(store, scan.files, scan, pauseOf(job)));
      if (one && one.series.length > scan.seriesMax)
        throw executionError(tooMuch('seriesMax', scan.seriesMax, 'series').message);
      located.push(one);
    }
    job.located = located;
    const notInFiles = (one: Located): NotInFiles => ({
      special: Array.from(one.special, store.table.idOf),
      unsupported: one.unsupported,
    });
    return { kind: 'located', scans: located.map((one) => one && notInFiles(one)) };
  }
  const added: Uint32Array[] = [];
  try {
    let samplesRead = request.task.samplesRead;
    const data = request.data.map((given, scan): SeriesSet => {
      const located = job.located[scan];
      if (located === undefined) return given as readonly SeriesData[];
      samplesRead += located.samples;
      const others = given as readonly OtherSeries[];
      const numbers = Uint32Array.from(others, ({ id, labels }) =>
        store.table.add(id, () => labelsJson(labels)),
      );
      added.push(numbers);
      return storedSeries(store.table, located, others, numbers);
    });
    const task = { ...request.task, data, samplesRead };
    const evaluated = await evaluateTask(task, systemClock, job.stopped.signal);
    return { kind: 'done', evaluated };
  } finally {
    for (const numbers of added) store.table.release(numbers);
  }
}

async function run(id: number, request: JobRequest): Promise<void> {
  const job = jobs.get(id) ?? { stopped: new AbortController(), located: [] };
  jobs.set(id, job);
  let answer: JobAnswer;
  try {
    answer = await answerJob(job, request);
  } catch (error) {
    answer = failure(error);
  }
  if (answer.kind !== 'located') {
    jobs.delete(id);
    if (jobs.size === 0) store.trim();
  }
  const message: FromWorker = { job: id, answer };
  const series =
    answer.kind === 'done' && answer.evaluated.data.type === 'matrix' ? answer.evaluated.data.series : [];
  parentPort?.postMessage(message, buffersOf(series));
}

function failure(error: unknown): JobAnswer {
  const promql = error instanceof PromqlError;
  const text = promql
    ? error.message
    : error instanceof Error
      ? (error.stack ?? error.message)
      : messageOf(error);
  return { kind: 'failed', errorType: promql ? error.errorType : undefined, message: text };
}

parentPort?.on('message', (message: ToWorker) => {
  if (message.kind === 'job') void run(message.job, message.request);
  else {
    jobs.get(message.job)?.stopped.abort();
    jobs.delete(message.job);
  }
});
