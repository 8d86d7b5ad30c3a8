import { type ErrorCode, FirnError } from '../base/errors.ts';

/**
 * `parse`: the query is wrong. `pipeline`: a line could not be processed, and the query did not say what to do with it.
 * `execution`: it cannot be computed. `limit`: it would use more than it may. `timeout` and `canceled`: it was stopped.
 * `refused`: too many wait already.
 */
export type LogqlErrorType =
  | 'parse'
  | 'pipeline'
  | 'execution'
  | 'limit'
  | 'timeout'
  | 'canceled'
  | 'refused';

const codes: Readonly<Record<LogqlErrorType, ErrorCode>> = {
  parse: 'invalid',
  pipeline: 'invalid',
  execution: 'invalid',
  limit: 'limit',
  timeout: 'limit',
  canceled: 'unavailable',
  refused: 'unavailable',
};

/** A query that cannot be answered; the message is Loki's text, because clients show and match it. */
export class LogqlError extends FirnError {
  readonly type: LogqlErrorType;

  constructor(type: LogqlErrorType, message: string, subject = 'query', cause?: unknown) {
    super({ code: codes[type], operation: 'answer LogQL', subject, message, cause });
    this.name = 'LogqlError';
    this.type = type;
  }
}

/** Where in the query something is; line 0 and column 0 when it is about no place. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export function parseErrorAt({ line, column }: Position, message: string): LogqlError {
  if (line === 0 && column === 0) return parseError(message);
  return new LogqlError('parse', `parse error at line ${line}, col ${column}: ${message}`);
}

/** An error in what the query means; Loki does not say where. */
export function parseError(message: string): LogqlError {
  return new LogqlError('parse', `parse error : ${message}`);
}

export const executionError = (message: string): LogqlError => new LogqlError('execution', message);

/** A limit of a query was met; `subject` is the limit's name. */
export const limitError = (subject: string, message: string): LogqlError =>
  new LogqlError('limit', message, subject);

/** A series whose lines could not be processed ends the query, in Loki's words. */
export function pipelineError(error: string, series: string): LogqlError {
  const lines = [
    `pipeline error: '${error}' for series: '${series}'.`,
    `Use a label filter to intentionally skip this error. (e.g | __error__!="${error}").`,
    'To skip all potential errors you can match empty errors.(e.g __error__="")',
    'The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__="" )\n',
  ];
  return new LogqlError('pipeline', lines.join('\n'));
}
