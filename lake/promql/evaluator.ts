import type { Clock } from '../base/clock.ts';
import { type AnnotationTexts, createAnnotations } from './annotations.ts';
import { createBudget } from './budget.ts';
import { createEvaluation } from './evaluate.ts';
import type { Plan, QueryTimes } from './plan.ts';
import { finish, type ResultData } from './result.ts';
import type { BucketSeries } from './rollups/evaluate.ts';
import { createSampleCounts, type SampleCounts } from './sample-counts.ts';
import type { SeriesData, SeriesSet, StoredScan } from './source.ts';

/** A query whose samples have been read. */
export interface EvaluationTask<Scan = readonly SeriesData[] | StoredScan> {
  readonly plan: Plan;
  readonly times: QueryTimes;
  /** The samples of every scan of the plan; or where they are, for evaluators that read files. */
  readonly data: readonly Scan[];
  /** Scans that were read in buckets instead, and have no samples. */
  readonly buckets: readonly (readonly BucketSeries[] | undefined)[];
  readonly lookbackMs: number;
  /** Samples that are in `data`. */
  readonly samplesRead: number;
  readonly samplesMax: number;
  /** Samples are counted by step. */
  readonly counted: boolean;
  /** For the positions in what is said of it. */
  readonly text: string;
}

export interface Evaluated extends AnnotationTexts {
  readonly data: ResultData;
  readonly samplesRead: number;
  /** Absent when nobody has asked. */
  readonly counts?: { readonly perStep: SampleCounts['perStep']; readonly peakSamples: number } | undefined;
}

/** Where queries are evaluated. It may keep the arrays of a task for itself; the task is of no use afterwards. */
export interface Evaluator {
  /** Takes scans that are not read yet. */
  readonly readsFiles: boolean;
  /** Throws PromqlError `execution`, and `timeout` or `canceled` when the signal is aborted. */
  evaluate(task: EvaluationTask, signal: AbortSignal): Promise<Evaluated>;
}

/** Evaluates on the thread that asks, in turns. */
export const inlineEvaluator = (clock: Clock): Evaluator => ({
  readsFiles: false,
  evaluate: (task, signal) => {
    const data = task.data.map((one) => {
      if ('files' in one) throw new Error('a scan has not been read');
      return one;
    });
    return evaluateTask({ ...task, data }, clock, signal);
  },
});

/** Throws what Evaluator throws. */
export async function evaluateTask(
  task: EvaluationTask<SeriesSet>,
  clock: Clock,
  signal: AbortSignal,
): Promise<Evaluated> {
  const { plan, times, data, buckets, lookbackMs, samplesRead, samplesMax, counted, text } = task;
  const budget = createBudget(samplesMax, clock, signal);
  budget.charge(samplesRead);
  const annotations = createAnnotations();
  const counts = counted ? createSampleCounts(plan.times.steps) : undefined;
  const evaluation = createEvaluation({ data, buckets, lookbackMs, annotations, budget, counts });
  const value = await evaluation.evaluate(plan.root, plan.times);
  return {
    ...{ data: finish(plan, times, value), ...annotations.texts(text), samplesRead },
    ...(counts && { counts: { perStep: counts.perStep, peakSamples: budget.peak } }),
  };
}
