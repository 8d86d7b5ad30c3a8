import type { Clock } from '../base/clock.ts';
import { createAnnotations } from './annotations.ts';
import { createBudget } from './budget.ts';
import { createEvaluation } from './evaluate.ts';
import type { Plan, QueryTimes } from './plan.ts';
import { finish, type ResultData } from './result.ts';
import type { BucketSeries } from './rollups/evaluate.ts';
import type { SeriesData } from './source.ts';

/** A query whose samples have been read. */
export interface EvaluationTask {
  readonly plan: Plan;
  readonly times: QueryTimes;
  /** The samples of every scan of the plan. */
  readonly data: readonly (readonly SeriesData[])[];
  /** Scans that were read in buckets instead, and have no samples. */
  readonly buckets: readonly (readonly BucketSeries[] | undefined)[];
  readonly lookbackMs: number;
  readonly samplesRead: number;
  readonly samplesMax: number;
  /** For the positions in what is said of it. */
  readonly text: string;
}

export interface Evaluated {
  readonly data: ResultData;
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
}

/** Where queries are evaluated. It may keep the arrays of a task for itself; the task is of no use afterwards. */
export interface Evaluator {
  /** Throws PromqlError `execution`, and `timeout` or `canceled` when the signal is aborted. */
  evaluate(task: EvaluationTask, signal: AbortSignal): Promise<Evaluated>;
}

/** Evaluates on the thread that asks, in turns. */
export const inlineEvaluator = (clock: Clock): Evaluator => ({
  evaluate: async ({ plan, times, data, buckets, lookbackMs, samplesRead, samplesMax, text }, signal) => {
    const budget = createBudget(samplesMax, clock, signal);
    budget.charge(samplesRead);
    const annotations = createAnnotations();
    const evaluation = createEvaluation({ data, buckets, lookbackMs, annotations, budget });
    const value = await evaluation.evaluate(plan.root, plan.times);
    return { data: finish(plan, times, value), ...annotations.texts(text) };
  },
});
