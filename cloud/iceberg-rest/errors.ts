import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { FirnError, hasCode, messageOf, retryAfterSecondsOf } from '../../lake/base/errors.ts';

/** An answer in the form of the specification's ErrorModel; clients look at `type`. */
export class RestError extends Error {
  readonly status: ContentfulStatusCode;
  readonly type: string;
  constructor(status: ContentfulStatusCode, type: string, message: string) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

export const noSuchTable = (table: string): RestError =>
  new RestError(404, 'NoSuchTableException', `there is no table ${table}`);
export const noSuchNamespace = (namespace: string): RestError =>
  new RestError(404, 'NoSuchNamespaceException', `there is no namespace ${namespace}`);

export function errorResponse(c: Context, error: unknown): Response {
  const { status, type, message } = error instanceof RestError ? error : restErrorOf(error);
  if (status === 401) c.header('WWW-Authenticate', 'Bearer');
  if (hasCode(error, 'limit') && error.retryAfterMs !== undefined)
    c.header('Retry-After', `${retryAfterSecondsOf(error)}`);
  return c.json({ error: { message, type, code: status } }, status);
}

function restErrorOf(error: unknown): RestError {
  const hint = error instanceof FirnError && error.hint !== undefined ? ` (${error.hint})` : '';
  const message = `${messageOf(error)}${hint}`;
  if (hasCode(error, 'limit') && error.retryAfterMs !== undefined)
    return new RestError(429, 'TooManyRequestsException', message);
  if (error instanceof FirnError && error.code === 'unavailable')
    return new RestError(503, 'ServiceUnavailableException', message);
  return new RestError(500, 'InternalServerError', message);
}
