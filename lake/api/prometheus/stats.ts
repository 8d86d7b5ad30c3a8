import type { QueryTimes } from '../../promql/plan.ts';
import type { QueryResult } from '../../promql/query.ts';
import { sumOf } from '../../promql/sample-counts.ts';

/** What the `stats` of an answer are made of. */
export interface StatsOf extends QueryResult {
  readonly times: QueryTimes;
  /** How long the query waited for its turn. */
  readonly queuedMs: number;
  readonly cachedSteps?: number | undefined;
}

/**
 * The parameter `stats` of Prometheus: its own names, and what Firn has besides. `all` says samples by step too; times are
 * in seconds. Results are brought into order as they are evaluated, which is not timed by itself.
 */
export function statsText(kind: string, result: StatsOf): string {
  if (kind === '') return '';
  const { times, counts, timings, rollups, cachedSteps } = result;
  const { perStep: samplesPerStep = new Float64Array(0), peakSamples = 0 } = counts ?? {};
  const { preparedMs = 0, evaluatedMs = 0 } = timings ?? {};
  const { startMs, stepMs } = times;
  const perStep = Array.from(samplesPerStep, (samples, step) => [(startMs + step * stepMs) / 1000, samples]);
  const evaluated = preparedMs + evaluatedMs;
  const stats = {
    timings: {
      evalTotalTime: evaluated / 1000,
      resultSortTime: 0,
      queryPreparationTime: preparedMs / 1000,
      innerEvalTime: evaluatedMs / 1000,
      execQueueTime: result.queuedMs / 1000,
      execTotalTime: (result.queuedMs + evaluated) / 1000,
    },
    samples: {
      ...(kind === 'all' && { totalQueryableSamplesPerStep: perStep }),
      ...{ totalQueryableSamples: sumOf(samplesPerStep), peakSamples },
    },
    ...(rollups.length > 0 && { rollups }),
    ...(cachedSteps !== undefined && { cachedSteps }),
  };
  return `,"stats":${JSON.stringify(stats)}`;
}
