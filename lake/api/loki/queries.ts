import type { Clock } from '../../base/clock.ts';
import type { AnswerTask } from '../../logql/answer/answer.ts';
import { defaultEntries } from '../../logql/limits.ts';
import { parseExpr } from '../../logql/parse.ts';
import type { LogqlTask } from '../../logql/query.ts';
import type { Parameters } from '../prometheus/parameters.ts';
import {
  badParameter,
  countParameter,
  directionParameter,
  durationParameter,
  rangeParameters,
  type TimeRange,
  timeParameter,
} from './parameters.ts';

export const nowNs = (clock: Clock): bigint => BigInt(Math.round(clock.nowMs())) * 1_000_000n;

/** Of one request. */
export interface Asking {
  readonly nowNs: bigint;
  /** Labels are to stand by where they come from. */
  readonly categorize: boolean;
}

/** GET and POST /loki/api/v1/query: metric queries at one time. */
export function queryTask(parameters: Parameters, asking: Asking): AnswerTask {
  const timeNs = timeParameter(parameters, 'time') ?? asking.nowNs;
  countParameter(parameters, 'limit', defaultEntries);
  directionParameter(parameters);
  const expr = parseExpr(parameters.text('query'));
  if (expr.kind === 'log')
    throw badParameter(
      'log queries are not supported as an instant query type, please change your query to a range query type',
    );
  return ofQuery({ kind: 'instant', expr, timeNs }, asking);
}

/** GET and POST /loki/api/v1/query_range: lines, or a metric at each step. */
export function rangeQueryTask(parameters: Parameters, asking: Asking): AnswerTask {
  const range = rangeParameters(parameters, asking.nowNs);
  const { fromNs, toNs } = range;
  if (toNs < fromNs) throw badParameter('end timestamp must not be before or equal to start time');
  const limit = countParameter(parameters, 'limit', defaultEntries);
  const direction = directionParameter(parameters);
  const intervalNs = durationParameter(parameters, 'interval') ?? 0;
  if (intervalNs < 0) throw badParameter('interval must be >= 0');
  const expr = parseExpr(parameters.text('query'));
  if (expr.kind === 'log')
    return ofQuery({ kind: 'log', expr, log: { ...range, limit, direction, intervalNs } }, asking);
  const stepNs = stepParameter(parameters, range);
  const steps = Number((toNs - fromNs) / BigInt(stepNs)) + 1;
  return ofQuery({ kind: 'range', expr, times: { startNs: fromNs, stepNs, steps } }, asking);
}

const ofQuery = (task: LogqlTask, { categorize }: Asking): AnswerTask => ({
  kind: 'query',
  task,
  categorize,
});

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
