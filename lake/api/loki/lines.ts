import type { AnswerTask } from '../../logql/answer/answer.ts';
import type { LogExpr } from '../../logql/ast.ts';
import { LogqlError } from '../../logql/errors.ts';
import { parseExpr } from '../../logql/parse.ts';
import type { LogOptions } from '../../logql/query.ts';
import type { Parameters } from '../prometheus/parameters.ts';
import { countParameter, rangeParameters, type TimeRange } from './parameters.ts';
import { type Asking, stepParameter } from './queries.ts';

// What is found in lines: fields and patterns, of the newest of them.

const linesByDefault = 1000;
const fieldsByDefault = 1000;
/** Lines that patterns are looked for in. */
const patternLinesMax = 50_000;

/**
 * GET and POST /loki/api/v1/detected_fields and, where a name is given, /detected_field/:name/values. `linesMax`: that
 * are looked at.
 */
export function fieldsTask(
  parameters: Parameters,
  { nowNs }: Asking,
  linesMax: number,
  name?: string,
): AnswerTask {
  const range = rangeParameters(parameters, nowNs);
  const lines = Math.min(countParameter(parameters, 'line_limit', linesByDefault), linesMax);
  const limit = countParameter(parameters, 'limit', fieldsByDefault);
  return { kind: 'fields', expr: logExpr(parameters), log: newest(range, lines), name, limit };
}

/** GET and POST /loki/api/v1/patterns. */
export function patternsTask(parameters: Parameters, { nowNs }: Asking): AnswerTask {
  const range = rangeParameters(parameters, nowNs);
  const stepNs = BigInt(Math.max(10e9, stepParameter(parameters, range)));
  return { kind: 'patterns', expr: logExpr(parameters), log: newest(range, patternLinesMax), stepNs };
}

function logExpr(parameters: Parameters): LogExpr {
  const expr = parseExpr(parameters.text('query'));
  if (expr.kind !== 'log') throw new LogqlError('parse', 'only log selector is supported');
  return expr;
}

const newest = (range: TimeRange, limit: number): LogOptions => ({
  ...{ ...range, limit, direction: 'backward', intervalNs: 0 },
});
