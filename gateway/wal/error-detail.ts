import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { ErrorDetail } from './wal-messages.ts';

const hints: Readonly<Record<string, string>> = {
  SQLITE_FULL: 'free space on the disk, or raise databaseBytesMax',
  SQLITE_CANTOPEN: 'the folder must exist and be writable for this user',
  SQLITE_READONLY: 'the folder must be writable for this user',
  SQLITE_BUSY: 'another process writes this database: is a second gateway running on this data folder?',
};

type OwnCode = 'conflict' | 'unsupported' | 'corrupt';
const ownCodes: readonly string[] = ['conflict', 'unsupported', 'corrupt'] satisfies OwnCode[];

/** What SQLite (or our own check) said, in the terms that callers branch on. */
export function errorDetail(operation: string, path: string, error: unknown): ErrorDetail {
  if (error instanceof FirnError && ownCodes.includes(error.code)) {
    const { code, subject, message, hint } = error;
    return { code: code as OwnCode, operation, subject, message, ...(hint === undefined ? {} : { hint }) };
  }
  const sqlite = sqliteCode(error);
  const hint = hints[sqlite.split('_').slice(0, 2).join('_')];
  return {
    code: isDatabaseDamage(error) ? 'corrupt' : 'unavailable',
    operation,
    subject: path,
    message: `${path}: ${messageOf(error)}`,
    ...(hint === undefined ? {} : { hint }),
  };
}

/** The database itself is damaged: trying again does not help. */
export const isDatabaseDamage = (error: unknown): boolean =>
  /^SQLITE_(CORRUPT|NOTADB)/.test(sqliteCode(error));

const sqliteCode = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
