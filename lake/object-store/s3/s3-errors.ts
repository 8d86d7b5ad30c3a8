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
  // Nor must the loss of what was uploaded so far.
  NoSuchUpload: 'unavailable',
  QuotaExceeded: 'unavailable',
  EntityTooLarge: 'invalid',
  KeyTooLongError: 'invalid',
  ExpiredToken: 'denied',
  InvalidToken: 'denied',
  // The SDK corrects its clock by this answer; the next request is signed with the right time.
  RequestTimeTooSkewed: 'unavailable',
  AuthorizationHeaderMalformed: 'denied',
  CredentialsProviderError: 'denied',
};

const programErrors = [TypeError, RangeError, ReferenceError];

/**
 * The FirnError for what the SDK throws. Whatever is not known to be final (network, timeouts, 5xx, 429, other 4xx) is
 * `unavailable`: to try again loses nothing. Mistakes of the program are returned as they are.
 */
export function s3Error(operation: string, key: string, error: unknown): unknown {
  const status = statusOf(error);
  const isMistake = status === undefined && programErrors.some((type) => error instanceof type);
  if (error instanceof FirnError || isMistake) return error;
  const name = nameOf(error);
  const code = codeOfName[name] ?? codeOfStatus[status ?? 0] ?? 'unavailable';
  return new FirnError({
    code,
    operation,
    subject: key,
    message: `can't ${operation} ${key}: ${[status, name, messageOf(error)].filter(Boolean).join(' ')}`,
    cause: error,
    ...(code === 'unavailable'
      ? { answered: status !== undefined, retryAfterMs: retryAfterMsOf(error) }
      : {}),
  });
}

/** What the SDK hangs on its errors once an answer has come, whether or not it could be understood. */
interface SdkDetail {
  readonly $metadata?: { readonly httpStatusCode?: number; readonly attempts?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}
const detailOf = (error: unknown): SdkDetail => (error instanceof Error ? (error as SdkDetail) : {});

export const statusOf = (error: unknown): number | undefined => detailOf(error).$metadata?.httpStatusCode;

export const nameOf = (error: unknown): string => (error instanceof Error ? error.name : '');

/** More than 1: an earlier try of the request may have taken effect although its reply was lost. */
export const attemptsOf = (error: unknown): number => detailOf(error).$metadata?.attempts ?? 1;

/** Retry-After (RFC 9110 10.2.3) in seconds; its other form, a date, needs a clock that is right. */
function retryAfterMsOf(error: unknown): number | undefined {
  const text = detailOf(error).$response?.headers?.['retry-after'] ?? '';
  return /^\d+$/.test(text) ? Number(text) * 1000 : undefined;
}
