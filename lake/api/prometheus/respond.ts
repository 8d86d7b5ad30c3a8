import type { Context } from 'hono';
import { explanationOf, hasCode } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { PromqlError, type PromqlErrorType } from '../../promql/errors.ts';
import { textResponse } from '../text-response.ts';

const statusCodes: Readonly<Record<PromqlErrorType, number>> = {
  bad_data: 400,
  not_found: 404,
  execution: 422,
  canceled: 499,
  internal: 500,
  timeout: 503,
  unavailable: 503,
};

const headers = { 'content-type': 'application/json' };

/** What goes beside the data of an answer. */
export interface Notes {
  readonly warnings?: readonly string[];
  readonly infos?: readonly string[];
}

function* envelope(data: Iterable<string>, { warnings = [], infos = [] }: Notes): Generator<string> {
  yield '{"status":"success","data":';
  yield* data;
  if (warnings.length > 0) yield `,"warnings":${JSON.stringify(warnings)}`;
  if (infos.length > 0) yield `,"infos":${JSON.stringify(infos)}`;
  yield '}';
}

/** A successful answer whose data is JSON text in pieces, with `more` headers. */
export function succeedWith(
  data: Iterable<string>,
  notes: Notes = {},
  more: Readonly<Record<string, string>> = {},
): Response {
  return textResponse(envelope(data, notes), { ...headers, ...more });
}

/** A successful answer. */
export function succeed(data: unknown, notes: Notes = {}): Response {
  return succeedWith([JSON.stringify(data)], notes);
}

/** The answer to whatever a handler has thrown; what was not foreseen is logged. */
export function failWith(error: unknown, c: Context, logger: Logger): Response {
  const type = errorTypeOf(error, c);
  if (type === 'internal') logger.error('PromQL request failed', { path: c.req.path, error });
  const body = JSON.stringify({ status: 'error', errorType: type, error: explanationOf(error) });
  return new Response(body, { status: statusCodes[type], headers });
}

function errorTypeOf(error: unknown, c: Context): PromqlErrorType {
  if (error instanceof PromqlError) return error.errorType;
  if (c.req.raw.signal.aborted) return 'canceled';
  if (hasCode(error, 'invalid')) return 'bad_data';
  if (hasCode(error, 'limit') || hasCode(error, 'unsupported')) return 'execution';
  if (hasCode(error, 'unavailable')) return 'unavailable';
  return hasCode(error, 'not-found') ? 'not_found' : 'internal';
}
