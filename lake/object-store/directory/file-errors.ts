import { type ErrorCode, FirnError, messageOf } from '../../base/errors.ts';

/** What an error of the file system means to a caller of the store. What is not here may pass: `unavailable`. */
const codeOf: Readonly<Record<string, ErrorCode>> = {
  EISDIR: 'invalid',
  ENOTDIR: 'invalid',
  ENAMETOOLONG: 'invalid',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
};

/** A disk that is full or damaged has answered; with these, a disk or a network share is out of reach. */
const unreachable = ['ENODEV', 'ENXIO', 'ESTALE', 'ETIMEDOUT', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENOTCONN'];

/** File systems without hard links (FAT, some network shares) can't do put-if-absent; they say so in these ways. */
const noHardLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

type FileError = NodeJS.ErrnoException & { readonly code: string };

/** True for an error of the file system, with one of these codes if there are any. */
export function isFileError(error: unknown, ...codes: readonly string[]): error is FileError {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return false;
  return 'syscall' in error && (codes.length === 0 || codes.includes(error.code));
}

/** There is no such file: nothing of this name, or a part of its path is itself a file, or it is a folder. */
export const isAbsence = (error: unknown): error is FileError =>
  isFileError(error, 'ENOENT', 'ENOTDIR', 'EISDIR');

/** The FirnError for an error of the file system; anything else is returned as it is. */
export function fileError(operation: string, key: string, error: unknown): unknown {
  if (!isFileError(error)) return error;
  const unsupported = error.syscall === 'link' && noHardLinks.includes(error.code);
  const code = unsupported ? 'unsupported' : (codeOf[error.code] ?? 'unavailable');
  return new FirnError({
    code,
    operation,
    subject: key,
    message: `can't ${operation} ${key}: ${messageOf(error)}`,
    ...(unsupported ? { hint: 'put the store on a file system that has hard links' } : {}),
    cause: error,
    ...(code === 'unavailable' ? { answered: !unreachable.includes(error.code) } : {}),
  });
}

export const notFound = (operation: string, key: string, cause?: unknown): FirnError =>
  new FirnError({ code: 'not-found', operation, subject: key, message: `there is no object ${key}`, cause });

export const conflict = (operation: string, key: string, why: string): FirnError =>
  new FirnError({
    code: 'conflict',
    operation,
    subject: key,
    message: `can't ${operation} ${key}: ${why}`,
    hint: 'read it again and decide',
  });
