import type { Clock } from '../../base/clock.ts';
import { defaultEntries } from '../../logql/limits.ts';
import { parseExpr } from '../../logql/parse.ts';
import { type LogqlTask, type QueryOptions, runQuery } from '../../logql/query.ts';
import type { Parameters } from '../prometheus/parameters.ts';
import { resultPieces } from './encode.ts';
import {
  badParameter,
  countParameter,
  directionParameter,
  durationParameter,
  rangeParameters,
  type TimeRange,
  timeParameter,
} from './parameters.ts';
import { succeedWith } from './respond.ts';

export interface QueryHandlerOptions extends QueryOptions {
  readonly categorize: boolean;
}

export const nowNs = (clock: Clock): bigint => BigInt(Math.round(clock.nowMs())) * 1_000_000n;

/** GET and POST /loki/api/v1/query: metric queries at one time. */
export async function answerQuery(parameters: Parameters, options: QueryHandlerOptions): Promise<Response> {
  const timeNs = timeParameter(parameters, 'time') ?? nowNs(options.clock);
  countParameter(parameters, 'limit', defaultEntries);
  directionParameter(parameters);
  const expr = parseExpr(parameters.text('query'));
  if (expr.kind === 'log')
    throw badParameter(
      'log queries are not supported as an instant query type, please change your query to a range query type',
    );
  return answer({ kind: 'instant', expr, timeNs }, options);
}

/** GET and POST /loki/api/v1/query_range: lines, or a metric at each step. */
export async function answerRangeQuery(
  parameters: Parameters,
  options: QueryHandlerOptions,
): Promise<Response> {
  const range = rangeParameters(parameters, nowNs(options.clock));
  const { fromNs, toNs } = range;
  if (toNs < fromNs) throw badParameter('end timestamp must not be before or equal to start time');
  const limit = countParameter(parameters, 'limit', defaultEntries);
  const direction = directionParameter(parameters);
  const intervalNs = durationParameter(parameters, 'interval') ?? 0;
  if (intervalNs < 0) throw badParameter('interval must be >= 0');
  const expr = parseExpr(parameters.text('query'));
  if (expr.kind === 'log')
    return answer({ kind: 'log', expr, log: { ...range, limit, direction, intervalNs } }, options);
  const stepNs = stepParameter(parameters, range);
  const steps = Number((toNs - fromNs) / BigInt(stepNs)) + 1;
  return answer({ kind: 'range', expr, times: { startNs: fromNs, stepNs, steps } }, options);
}

const stepsByDefault = 250n;

/** The step of a range: a 250th of it, and at least a second, where none is given. */
export function stepParameter(parameters: Parameters, { fromNs, toNs }: TimeRange): number {
  const given = durationParameter(parameters, 'step');
  if (given === undefined) {
    const seconds = (toNs - fromNs) / 1_000_000_000n;
    return Math.max(1, Math.floor(Number(seconds) / Number(stepsByDefault))) * 1e9;
  }
  if (given <= 0)
    throw badParameter(
      'zero or negative query resolution step widths are not accepted. Try a positive integer',
    );
  return given;
}

async function answer(task: LogqlTask, options: QueryHandlerOptions): Promise<Response> {
  const startMs = options.clock.monotonicMs();
  const result = await runQuery(task, options);
  const execMs = options.clock.monotonicMs() - startMs;
  const forward = task.kind === 'log' && task.log.direction === 'forward';
  return succeedWith(resultPieces(result, { categorize: options.categorize, forward, execMs }));
}
