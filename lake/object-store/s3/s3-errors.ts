import { S3ServiceException } from '@aws-sdk/client-s3';
import { type ErrorCode, FirnError, messageOf } from '../../base/errors.ts';

const codeOfStatus: Readonly<Record<number, ErrorCode>> = {
  401: 'denied',
  403: 'denied',
  404: 'not-found',
  412: 'conflict',
  416: 'invalid',
};

/** Names that say more than the status they come with. */
const codeOfName: Readonly<Record<string, ErrorCode>> = {
  // The lake as a whole is missing, which must not look like one object that does not exist.
  NoSuchBucket: 'unavailable',
  QuotaExceeded: 'unavailable',
  EntityTooLarge: 'invalid',
  KeyTooLongError: 'invalid',
  ExpiredToken: 'denied',
  InvalidToken: 'denied',
  AuthorizationHeaderMalformed: 'denied',
  CredentialsProviderError: 'denied',
};

const programErrors = [TypeError, RangeError, ReferenceError];

/**
 * The FirnError for what the SDK throws. Whatever is not known to be final (network, timeouts, 5xx, 429, other 4xx) is
 * `unavailable`: to try again loses nothing. Mistakes of the program are returned as they are.
 */
export function s3Error(operation: string, key: string, error: unknown): unknown {
  if (error instanceof FirnError || programErrors.some((type) => error instanceof type)) return error;
  const name = error instanceof Error ? error.name : '';
  const status = statusOf(error);
  return new FirnError({
    code: codeOfName[name] ?? codeOfStatus[status ?? 0] ?? 'unavailable',
    operation,
    subject: key,
    message: `can't ${operation} ${key}: ${[status, name, messageOf(error)].filter(Boolean).join(' ')}`,
    cause: error,
  });
}

export const statusOf = (error: unknown): number | undefined =>
  error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;

/** More than 1: an earlier try of the request may have taken effect although its reply was lost. */
export const attemptsOf = (error: unknown): number =>
  error instanceof S3ServiceException ? (error.$metadata.attempts ?? 1) : 1;
