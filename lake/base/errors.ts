/**
 * The error every layer throws where a caller branches on what went wrong.
 * `code` is what a caller branches on; `operation` and `subject` say what was being done to what; `hint` is the
 * next thing a person should try.
 */
export class FirnError extends Error {
  readonly code: ErrorCode;
  readonly operation: string;
  readonly subject: string;
  readonly hint: string | undefined;
  /**
   * Of `unavailable`: true when the other side answered (overloaded, out of order), false when no whole answer came
   * (refused, reset, silent, no such name: perhaps there is no network). Undefined where nothing was asked.
   */
  readonly answered: boolean | undefined;
  /** How long the other side asked to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(detail: {
    readonly code: ErrorCode;
    readonly operation: string;
    readonly subject: string;
    readonly message: string;
    readonly hint?: string;
    readonly cause?: unknown;
    readonly answered?: boolean | undefined;
    readonly retryAfterMs?: number | undefined;
  }) {
    super(detail.message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = 'FirnError';
    this.code = detail.code;
    this.operation = detail.operation;
    this.subject = detail.subject;
    this.hint = detail.hint;
    this.answered = detail.answered;
    this.retryAfterMs = detail.retryAfterMs;
  }
}

export type ErrorCode =
  /** The caller's input is wrong; the same input will always fail. */
  | 'invalid'
  /** The thing named does not exist. */
  | 'not-found'
  /** A precondition (put-if-absent, put-if-match, commit) was lost to someone else: read again and decide. */
  | 'conflict'
  /** A named limit was met; `subject` is its name. */
  | 'limit'
  /** The operation may work later (network, overload). */
  | 'unavailable'
  /** Credentials missing, wrong, or not allowed. */
  | 'denied'
  /** Stored bytes are not what was written (checksum, truncated file). */
  | 'corrupt'
  /** This deployment or build cannot do it (for example SQL where DuckDB has no binary). */
  | 'unsupported';

/** True when `error` is a FirnError with this code. */
export function hasCode(error: unknown, code: ErrorCode): error is FirnError {
  return error instanceof FirnError && error.code === code;
}

/** For the header Retry-After: whole seconds, at least one. */
export const retryAfterSecondsOf = ({ retryAfterMs = 1000 }: FirnError): number =>
  Math.max(1, Math.ceil(retryAfterMs / 1000));

/** The message of anything thrown, and what to try next where it says so. */
export function explanationOf(error: unknown): string {
  const hint = error instanceof FirnError ? error.hint : undefined;
  return hint === undefined ? messageOf(error) : `${messageOf(error)}; ${hint}`;
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
