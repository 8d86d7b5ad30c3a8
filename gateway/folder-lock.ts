import { join } from 'node:path';
import Database from 'better-sqlite3';
import { FirnError } from '../lake/base/errors.ts';

/**
 * Takes a data folder for this process alone; two gateways on one folder would ship the same rows under two numbers.
 * The lock is SQLite's own lock on a file, so the system releases it when the process ends, however it ends. Throws
 * FirnError `invalid` when another process has it.
 */
export function lockFolder(dataDir: string): Disposable {
  const database = new Database(join(dataDir, 'gateway.lock'), { timeout: 0 });
  try {
    database.pragma('locking_mode = EXCLUSIVE');
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    throw new FirnError({
      code: 'invalid',
      operation: 'lock data folder',
      subject: dataDir,
      message: `another gateway runs on the folder ${dataDir}`,
      hint: 'stop it, or give this one a folder of its own with --data-dir DIR',
      cause,
    });
  }
  return { [Symbol.dispose]: () => database.close() };
}
