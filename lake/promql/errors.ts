import { type ErrorCode, FirnError } from '../base/errors.ts';

/** Prometheus' own error types, as its HTTP API names them. */
export type PromqlErrorType =
  | 'bad_data'
  | 'execution'
  | 'timeout'
  | 'canceled'
  | 'internal'
  | 'unavailable'
  | 'not_found';

const codes: Readonly<Record<PromqlErrorType, ErrorCode>> = {
  bad_data: 'invalid',
  execution: 'invalid',
  timeout: 'limit',
  canceled: 'unavailable',
  internal: 'unavailable',
  unavailable: 'unavailable',
  not_found: 'not-found',
};

/** A query that cannot be answered; the message is Prometheus' text, because clients show and match it. */
export class PromqlError extends FirnError {
  readonly errorType: PromqlErrorType;

  constructor(errorType: PromqlErrorType, message: string, cause?: unknown) {
    super({ code: codes[errorType], operation: 'answer PromQL', subject: 'query', message, cause });
    this.name = 'PromqlError';
    this.errorType = errorType;
  }
}

/** A syntax or type error at byte `start` of the query, worded `line:col: parse error: ...`. */
export function parseError(query: string, start: number, message: string): PromqlError {
  return new PromqlError('bad_data', `${positionText(query, start)}: parse error: ${message}`);
}

/** `line:col` of an offset (UTF-16) in the query; the column counts UTF-8 bytes from 1, as Prometheus does. */
export function positionText(query: string, start: number): string {
  const before = query.slice(0, start);
  const lineStart = before.lastIndexOf('\n') + 1;
  const line = before.split('\n').length;
  return `${line}:${Buffer.byteLength(before.slice(lineStart)) + 1}`;
}

/** An error that only evaluation can find (HTTP 422). */
export function executionError(message: string): PromqlError {
  return new PromqlError('execution', message);
}
