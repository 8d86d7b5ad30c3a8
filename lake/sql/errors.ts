import { type ErrorCode, FirnError } from '../base/errors.ts';

/** What a SQL client is told: an SQLSTATE, a message, and where in the text it sent. */
export class SqlError extends Error {
  /** Five characters, https://www.postgresql.org/docs/16/errcodes-appendix.html */
  readonly sqlstate: string;
  /** 1-based, in characters (code points) of the text as the client sent it. */
  readonly position: number | undefined;
  readonly hint: string | undefined;
  readonly detail: string | undefined;

  constructor(sqlstate: string, message: string, more: SqlErrorDetail = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'SqlError';
    this.sqlstate = sqlstate;
    this.position = more.position;
    this.hint = more.hint;
    this.detail = more.detail;
  }
}

interface SqlErrorDetail {
  readonly position?: number | undefined;
  readonly hint?: string | undefined;
  readonly detail?: string | undefined;
  readonly cause?: unknown;
}

export const syntaxError = (message: string, position?: number): SqlError =>
  new SqlError('42601', message, { position });

export const notSupported = (what: string, position?: number, hint?: string): SqlError =>
  new SqlError('0A000', `${what} is not supported`, { position, hint });

export const canceled = (why: 'user request' | 'statement timeout'): SqlError =>
  new SqlError('57014', `canceling statement due to ${why}`);

const sqlstates: Readonly<Record<ErrorCode, string>> = {
  invalid: '22023',
  'not-found': '42704',
  conflict: '40001',
  limit: '54000',
  unavailable: '58000',
  denied: '42501',
  corrupt: 'XX001',
  unsupported: '0A000',
};

/** Of an error of other rooms by its kind; XX000 of what nobody expected. */
export function sqlstateOf(error: unknown): string {
  if (error instanceof SqlError) return error.sqlstate;
  return error instanceof FirnError ? sqlstates[error.code] : 'XX000';
}
