import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { runInBackground } from '../base/background-thread.ts';
import { systemClock } from '../base/clock.ts';
import { explanationOf, messageOf } from '../base/errors.ts';
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
  unpackPaths,
  type WorkerSettings,
} from './evaluation-messages.ts';
import { tooMuch } from './read-series.ts';
import { findSeries } from './samples/find-series.ts';
import { type Located, locate, type Pause } from './samples/locate.ts';
import { createSeriesFiles } from './samples/series-files.ts';
import { type OtherSeries, storedSeries } from './samples/stored-series.ts';

// Reads files and evaluates queries, off the thread that receives samples. Jobs take turns.

runInBackground();
const { limits } = workerData as WorkerSettings;
const store = createSeriesFiles(limits);

interface Job {
  readonly stopped: AbortController;
  located: readonly (Located | undefined)[];
  running: boolean;
  /** Series that it has retained. */
  readonly series: Uint32Array[];
}
const jobs = new Map<number, Job>();
/** Jobs that look at indexes, none of which may be forgotten meanwhile. */
let locating = 0;

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

async function locateAll(job: Job, { scans, task }: JobRequest & { kind: 'locate' }): Promise<JobAnswer> {
  const located: (Located | undefined)[] = [];
  const missing: (NotInFiles | undefined)[] = [];
  locating++;
  try {
    for (const scan of scans) {
      const one = scan && (await locate(store, unpackPaths(scan.paths), scan, pauseOf(job)));
      if (one) {
        store.table.retain(one.series);
        job.series.push(one.series);
        if (one.series.length > scan.seriesMax)
          throw executionError(explanationOf(tooMuch('seriesMax', scan.seriesMax, 'series')));
      }
      located.push(one);
      missing.push(
        one && { special: Array.from(one.special, store.table.idOf), unsupported: one.unsupported },
      );
    }
  } finally {
    locating--;
  }
  job.located = located;
  const isAll = missing.every((one) => one && one.special.length + one.unsupported.length === 0);
  if (task && isAll) return evaluate(job, { kind: 'evaluate', task, data: scans.map(() => []) });
  return { kind: 'located', scans: missing };
}

async function find(job: Job, { request }: JobRequest & { kind: 'find' }): Promise<JobAnswer> {
  locating++;
  try {
    return { kind: 'found', found: await findSeries(store, request, pauseOf(job)) };
  } finally {
    locating--;
  }
}

function answerTo(job: Job, request: JobRequest): Promise<JobAnswer> {
  switch (request.kind) {
    case 'find':
      return find(job, request);
    case 'locate':
      return locateAll(job, request);
    case 'evaluate':
      return evaluate(job, request);
  }
}

async function evaluate(job: Job, request: JobRequest & { kind: 'evaluate' }): Promise<JobAnswer> {
  let { samplesRead } = request.task;
  const data = request.data.map((given, scan): SeriesSet => {
    const located = job.located[scan];
    if (located === undefined) return given as readonly SeriesData[];
    samplesRead += located.samples;
    const others = given as readonly OtherSeries[];
    const numbers = Uint32Array.from(others, ({ id, labels }) =>
      store.table.add(id, () => labelsJson(labels)),
    );
    job.series.push(numbers);
    return storedSeries(store.table, located, others, numbers);
  });
  const task = { ...request.task, data, samplesRead };
  return { kind: 'done', evaluated: await evaluateTask(task, systemClock, job.stopped.signal) };
}

async function run(id: number, request: JobRequest): Promise<void> {
  const job = jobs.get(id) ?? { stopped: new AbortController(), located: [], running: false, series: [] };
  jobs.set(id, job);
  job.running = true;
  let answer: JobAnswer;
  try {
    answer = await answerTo(job, request);
  } catch (error) {
    answer = failure(error);
  }
  job.running = false;
  // A job that was ended meanwhile has nothing more to come.
  if (answer.kind !== 'located' || !jobs.has(id)) end(id, job);
  const message: FromWorker = { job: id, answer };
  const series =
    answer.kind === 'done' && answer.evaluated.data.type === 'matrix' ? answer.evaluated.data.series : [];
  parentPort?.postMessage(message, buffersOf(series));
}

function end(id: number, job: Job): void {
  jobs.delete(id);
  for (const numbers of job.series.splice(0)) store.table.release(numbers);
  if (locating === 0) store.trim();
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
  else cancel(message.job);
});

/** Ends a job; what of it still runs notices, and gives back what it retains. */
function cancel(id: number): void {
  const job = jobs.get(id);
  jobs.delete(id);
  job?.stopped.abort();
  if (job && !job.running) end(id, job);
}
