import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';

/**
 * Keeps files that a view may still read. Whoever replaces files forgets them in the WAL first and then discards them
 * here. A view pins in the same turn of the event loop in which it read their names, so none is deleted in between.
 */
export interface FilePins {
  /** Paths relative to the data folder. Returns the function that releases them, to be called once. */
  pin(paths: readonly string[]): () => void;
  /** Deletes files that nothing pins now; the others when they are released. A crash leaves them to the next start (wal/recovery). */
  discard(paths: readonly string[]): Promise<void>;
}

export function createFilePins(dataDir: string, logger: Logger): FilePins {
  const pins = new Map<string, number>();
  const discarded = new Set<string>();

  const remove = async (path: string): Promise<void> => {
    discarded.delete(path);
    try {
      await rm(join(dataDir, path), { force: true });
    } catch (error) {
      logger.warn('could not delete a file that is no longer used', { path, error: messageOf(error) });
    }
  };
  const release = (path: string): void => {
    const left = (pins.get(path) ?? 1) - 1;
    if (left > 0) return void pins.set(path, left);
    pins.delete(path);
    if (discarded.has(path)) void remove(path);
  };
  return {
    pin: (paths) => {
      for (const path of paths) pins.set(path, (pins.get(path) ?? 0) + 1);
      return () => paths.forEach(release);
    },
    discard: async (paths) => {
      for (const path of paths) discarded.add(path);
      await Promise.all(paths.filter((path) => !pins.has(path)).map(remove));
    },
  };
}
