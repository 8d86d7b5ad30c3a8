import type { Context } from 'hono';
import { hasCode, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { LogqlError, type LogqlErrorType } from '../../logql/errors.ts';
import { bytesResponse } from '../text-response.ts';

const statusCodes: Readonly<Record<LogqlErrorType, number>> = {
  parse: 400,
  pipeline: 400,
  execution: 400,
  limit: 400,
  canceled: 499,
  refused: 429,
  timeout: 504,
};

const headers = { 'content-type': 'application/json; charset=UTF-8' };
/** An answer of JSON in pieces. */
export const answered = (pieces: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Response> =>
  bytesResponse(pieces, headers);

/** An answer without Loki's envelope. */
export const bare = (data: unknown, status = 200): Response =>
  new Response(JSON.stringify(data), { status, headers });

/** An answer in Loki's envelope. */
export const succeed = (data: unknown): Response => bare({ status: 'success', data });

/** The answer to whatever a handler has thrown: plain text, as Loki's; what was not foreseen is logged. */
export function failWith(error: unknown, c: Context, logger: Logger): Response {
  const status = statusOf(error, c);
  if (status === 500) logger.error('LogQL request failed', { path: c.req.path, error });
  return new Response(messageOf(error), {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
  });
}

function statusOf(error: unknown, c: Context): number {
  if (error instanceof LogqlError) return statusCodes[error.type];
  if (c.req.raw.signal.aborted) return 499;
  if (hasCode(error, 'invalid') || hasCode(error, 'limit')) return 400;
  if (hasCode(error, 'unsupported')) return 501;
  return hasCode(error, 'unavailable') ? 503 : 500;
}
