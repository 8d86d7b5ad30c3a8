import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { ballastName } from './ballast.ts';
import type { DiskUsage } from './pressure.ts';

export interface DiskMeter extends Disposable {
  measure(): Promise<DiskUsage>;
  /** Files that were deleted but may still be there, because a query reads them: they count as free already. */
  deleted(paths: readonly string[]): void;
}

/**
 * What the gateway holds and what is free. Segments are counted by the log's list (`segmentBytes`), everything else
 * below the data folder as it lies there.
 */
export function openDiskMeter(dataDir: string, walPath: string, segmentBytes: () => number): DiskMeter {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  const pageBytes = db.pragma('page_size', { simple: true }) as number;
  /** Sizes by path. */
  const lingering = new Map<string, number>();
  const stillThere = async (): Promise<number> => {
    let bytes = 0;
    for (const path of [...lingering.keys()]) {
      const size = await sizeOf(join(dataDir, path));
      if (size === undefined) lingering.delete(path);
      else bytes += size;
    }
    return bytes;
  };
  return {
    measure: async () => {
      const { bsize, blocks, bavail } = await statfs(dataDir);
      const free = db.pragma('freelist_count', { simple: true }) as number;
      const databaseFreeBytes = free * pageBytes;
      const others = await bytesBelow(dataDir, new Set(['segments', ballastName]));
      // The ballast is a part of the reserve.
      const ballastBytes = (await sizeOf(join(dataDir, ballastName))) ?? 0;
      return {
        fileSystemBytes: blocks * bsize,
        availableBytes: bavail * bsize + ballastBytes + (await stillThere()),
        ownBytes: Math.max(0, segmentBytes() + others - databaseFreeBytes),
        databaseFreeBytes,
      };
    },
    deleted: (paths) => {
      for (const path of paths) lingering.set(path, 0);
    },
    [Symbol.dispose]: () => void db.close(),
  };
}

const sizeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ size }) => size,
    () => undefined,
  );

/** Size of all files below a folder, but for some entries of it. What vanishes meanwhile counts nothing. */
async function bytesBelow(folder: string, except: ReadonlySet<string> = new Set()): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  let bytes = 0;
  for (const entry of entries) {
    if (except.has(entry.name)) continue;
    const path = join(folder, entry.name);
    bytes += entry.isDirectory() ? await bytesBelow(path) : ((await sizeOf(path)) ?? 0);
  }
  return bytes;
}
