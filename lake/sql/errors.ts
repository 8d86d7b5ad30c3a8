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
