import { readFileSync, statSync } from 'node:fs';
import { messageOf } from '../../../lake/base/errors.ts';
import type { Logger } from '../../../lake/base/log.ts';

/** Files that are read again when they change. */
export interface WatchedFiles<T> extends Disposable {
  readonly current: T;
}

const reloadIntervalMs = 2000;

/**
 * Reads files now (throws what `read` throws), and again when one of them has changed. What can't be read then is logged,
 * and what was read before stays in use. They are looked at every 2 seconds: notifications of changes do not come from
 * every file system.
 */
export function watchFiles<T>(
  paths: readonly string[],
  read: (texts: readonly string[]) => T,
  logger: Logger,
  onChange: (current: T) => void = () => undefined,
): WatchedFiles<T> {
  const readAll = (): T => read(paths.map((path) => readFileSync(path, 'utf8')));
  let seen = paths.map(stampOf).join();
  let current = readAll();
  const look = (): void => {
    const now = paths.map(stampOf).join();
    if (now === seen) return;
    seen = now;
    try {
      current = readAll();
      logger.info('read again', { paths });
      onChange(current);
    } catch (error) {
      logger.error('what was changed can not be read, it stays as it was', { error: messageOf(error) });
    }
  };
  const timer = paths.length === 0 ? undefined : setInterval(look, reloadIntervalMs);
  timer?.unref();
  return {
    get current() {
      return current;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

function stampOf(path: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch {
    return 'missing';
  }
}
