import { Worker } from 'node:worker_threads';
import type { Clock } from '../base/clock.ts';
import { throwIfStopped } from '../promql/budget.ts';
import { PromqlError } from '../promql/errors.ts';
import { type Evaluated, type EvaluationTask, type Evaluator, inlineEvaluator } from '../promql/evaluator.ts';
import type { SeriesData, StoredScan } from '../promql/source.ts';
import {
  buffersOf,
  type FoundSeries,
  type FromWorker,
  type JobAnswer,
  type JobRequest,
  type NotInFiles,
  packPaths,
  type SeriesRequest,
  type ToWorker,
  type WorkerSettings,
} from './evaluation-messages.ts';

export interface EvaluationPool extends Evaluator, AsyncDisposable {
  /** Which series an owner's files have. */
  find(owner: string, request: SeriesRequest, signal: AbortSignal): Promise<FoundSeries>;
}

export interface EvaluationPoolOptions {
  readonly clock: Clock;
  readonly threads: number;
  /** Memory for what all threads remember of files: half as much again for which series they have as for samples. */
  readonly cacheBytesMax: number;
  /** A task with no more samples, read and in its result, is done at once on the thread that asks. */
  readonly inlineSamplesMax?: number;
}

/** Less than a few milliseconds of work; handing it over would cost as much. */
const defaultInlineSamplesMax = 50_000;

interface Thread {
  readonly worker: Worker;
  readonly jobs: Map<number, PromiseWithResolvers<JobAnswer>>;
}

/**
 * Evaluates queries on threads of their own, which start when they are first needed, read files themselves and remember
 * what they have read. Queries of one thread take turns.
 */
export function createEvaluationPool({
  clock,
  threads: threadsMax,
  cacheBytesMax,
  inlineSamplesMax = defaultInlineSamplesMax,
}: EvaluationPoolOptions): EvaluationPool {
  const inline = inlineEvaluator(clock);
  const threads: (Thread | undefined)[] = new Array<undefined>(threadsMax).fill(undefined);
  let lastJob = 0;

  const perThread = cacheBytesMax / threadsMax;
  const limits = { samplesBytesMax: (perThread * 2) / 3, indexBytesMax: perThread / 3 };
  const startThread = (place: number): Thread => {
    const thread = openThread(limits, () => {
      if (threads[place] === thread) threads[place] = undefined;
    });
    threads[place] = thread;
    return thread;
  };
  /** The thread that an owner's queries go to, because it remembers the owner's files; another when that is less busy. */
  const threadFor = (owner: string): Thread => {
    const preferred = placeOf(owner, threadsMax);
    const busy = (place: number): number => threads[place]?.jobs.size ?? 0;
    let best = preferred;
    for (let place = 0; place < threadsMax; place++) if (busy(place) < busy(best)) best = place;
    return threads[best] ?? startThread(best);
  };

  return {
    readsFiles: true,
    evaluate: (task, signal) =>
      weightOf(task) <= inlineSamplesMax
        ? inline.evaluate(task, signal)
        : runJob(threadFor(ownerOf(task)), ++lastJob, task, signal),
    find: (owner, request, signal) =>
      withJob(threadFor(owner), ++lastJob, signal, async (ask) => {
        const answer = await ask({ kind: 'find', request });
        return expectKind(answer, 'found').found;
      }),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(threads.map((thread) => thread?.worker.terminate()));
    },
  };
}

function openThread(limits: WorkerSettings['limits'], onEnd: () => void): Thread {
  const worker = new Worker(new URL('./evaluation-worker.ts', import.meta.url), { workerData: { limits } });
  const thread: Thread = { worker, jobs: new Map() };
  const drop = (error: Error): void => {
    onEnd();
    for (const { reject } of thread.jobs.values()) reject(error);
    thread.jobs.clear();
  };
  worker.on('message', ({ job, answer }: FromWorker) => thread.jobs.get(job)?.resolve(answer));
  worker.on('error', drop);
  worker.on('exit', () => drop(new Error('the thread that evaluates queries has ended')));
  worker.unref();
  return thread;
}

type Ask = (request: JobRequest, transfer?: ArrayBuffer[]) => Promise<JobAnswer>;

/** Runs `body`, whose requests are those of one job, which ends with it or when the signal is aborted. */
async function withJob<T>(
  { worker, jobs }: Thread,
  job: number,
  signal: AbortSignal,
  body: (ask: Ask) => Promise<T>,
): Promise<T> {
  throwIfStopped(signal);
  /** The thread keeps something for the job. */
  let held = false;
  const end = (): void => worker.postMessage({ kind: 'cancel', job } satisfies ToWorker);
  const cancel = (): void => {
    end();
    try {
      throwIfStopped(signal);
    } catch (error) {
      jobs.get(job)?.reject(error);
    }
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await body(async (request, transfer = []) => {
      const answer = Promise.withResolvers<JobAnswer>();
      jobs.set(job, answer);
      worker.postMessage({ kind: 'job', job, request } satisfies ToWorker, transfer);
      const answered = await answer.promise;
      held = answered.kind === 'located';
      return answered;
    });
  } finally {
    signal.removeEventListener('abort', cancel);
    jobs.delete(job);
    // What was located is not needed any more, whatever became of it.
    if (held) end();
  }
}

const runJob = (thread: Thread, job: number, task: EvaluationTask, signal: AbortSignal): Promise<Evaluated> =>
  withJob(thread, job, signal, async (ask) => {
    const { data: scans, ...rest } = task;
    const stored = scans.map((one) => ('files' in one ? one : undefined));
    const isAll = stored.every((one) => one !== undefined && !one.hasRest);
    let missing: readonly (NotInFiles | undefined)[] = [];
    if (stored.some((one) => one !== undefined)) {
      const located = await ask({
        ...{ kind: 'locate', scans: stored.map((one) => one && filesOf(one)) },
        task: isAll ? rest : undefined,
      });
      if (located.kind === 'done') return located.evaluated;
      missing = expectKind(located, 'located').scans;
    }
    const data: (readonly SeriesData[])[] = [];
    for (const [index, one] of scans.entries())
      data.push('files' in one ? await one.readOthers(missing[index] ?? nothing, signal) : one);
    throwIfStopped(signal);
    const answer = await ask({ kind: 'evaluate', task: rest, data }, buffersOf(data.flat()));
    return expectKind(answer, 'done').evaluated;
  });

const nothing = { special: [], unsupported: [] };

const ownerOf = ({ data }: EvaluationTask): string => {
  for (const one of data) if ('files' in one) return one.owner;
  return '';
};

const filesOf = ({ files, selection: { matchers, fromMs, toMs, samplesMax, seriesMax } }: StoredScan) => ({
  ...{ paths: packPaths(files), matchers, fromMs, toMs, samplesMax, seriesMax },
});

function expectKind<Kind extends JobAnswer['kind']>(
  answer: JobAnswer,
  kind: Kind,
): JobAnswer & { readonly kind: Kind } {
  if (answer.kind === kind) return answer as JobAnswer & { readonly kind: Kind };
  if (answer.kind !== 'failed') throw new Error(`${answer.kind} where ${kind} was asked for`);
  throw answer.errorType ? new PromqlError(answer.errorType, answer.message) : new Error(answer.message);
}

function placeOf(owner: string, places: number): number {
  let hash = 0;
  for (const letter of owner) hash = (hash * 31 + letter.charCodeAt(0)) >>> 0;
  return hash % places;
}

/** Samples that are looked at, roughly: what was read, and each series at each step; what is in files is not known. */
function weightOf({ plan, data, samplesRead }: EvaluationTask): number {
  let series = 1;
  for (const one of data) series += 'files' in one ? Number.POSITIVE_INFINITY : one.length;
  const steps = plan.grids.reduce((sum, grid) => sum + grid.steps, plan.times.steps);
  return samplesRead + series * steps;
}
