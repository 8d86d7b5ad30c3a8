import { type ErrorCode, FirnError, messageOf } from '../base/errors.ts';
import type { SentError } from './messages.ts';

export function sentError(error: unknown): SentError {
  if (!(error instanceof FirnError))
    return { code: undefined, operation: '', subject: '', message: messageOf(error), hint: undefined };
  const { code, operation, subject, message, hint } = error;
  return { code, operation, subject, message, hint };
}

export function receivedError({ code, hint, ...rest }: SentError): Error {
  if (code === undefined) return new Error(rest.message);
  return new FirnError({ ...rest, code: code as ErrorCode, ...(hint !== undefined && { hint }) });
}
