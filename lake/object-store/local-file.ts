import { type FileHandle, open } from 'node:fs/promises';
import { FirnError, messageOf } from '../base/errors.ts';

/** How much of a file is read or written at once. */
export const fileChunkBytes = 1024 * 1024;

/**
 * Opens the file on this side of `putFile` or `getFile`. Its errors must not look like the store's: `invalid` when the
 * path is no file that can be opened, `denied`, else `unavailable`.
 */
export async function openLocalFile(operation: string, path: string, flags: 'r' | 'w'): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (error) {
    throw localFileError(operation, path, error);
  }
}

export function localFileError(operation: string, path: string, error: unknown): FirnError {
  const errno = error instanceof Error && 'code' in error ? String(error.code) : '';
  return new FirnError({
    code: ['ENOENT', 'ENOTDIR', 'EISDIR'].includes(errno)
      ? 'invalid'
      : ['EACCES', 'EPERM', 'EROFS'].includes(errno)
        ? 'denied'
        : 'unavailable',
    operation,
    subject: path,
    message: `can't ${operation}: local file ${path}: ${messageOf(error)}`,
    cause: error,
  });
}
