import { type ErrorCode, FirnError, messageOf } from '../base/errors.ts';
import { SqlError } from '../sql/errors.ts';
import type { SentError } from './messages.ts';

const plain = { code: undefined, sqlstate: undefined, operation: '', subject: '', hint: undefined };

export function sentError(error: unknown): SentError {
  if (error instanceof SqlError) {
    const { sqlstate, message, hint } = error;
    return { ...plain, sqlstate, message, hint };
  }
  if (!(error instanceof FirnError)) return { ...plain, message: messageOf(error) };
  const { code, operation, subject, message, hint } = error;
  return { code, sqlstate: undefined, operation, subject, message, hint };
}

export function receivedError({ code, sqlstate, hint, ...rest }: SentError): Error {
  if (sqlstate !== undefined) return new SqlError(sqlstate, rest.message, { hint });
  if (code === undefined) return new Error(rest.message);
  return new FirnError({ ...rest, code: code as ErrorCode, ...(hint !== undefined && { hint }) });
}
