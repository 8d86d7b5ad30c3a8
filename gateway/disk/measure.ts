import { readdir, stat, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
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
  const pragma = (name: string): number => db.pragma(name, { simple: true }) as number;
  const pageBytes = pragma('page_size');
  // The database is counted by its pages. Its -wal file is written from the start again after each checkpoint, so its
  // size says nothing of how much is in it.
  const log = basename(walPath);
  const notOwn = new Set(['segments', ballastName, log, `${log}-wal`, `${log}-shm`]);
  const lingering = new Set<string>();
  const stillThere = async (): Promise<number> => {
    let bytes = 0;
    for (const path of [...lingering]) {
      const size = await sizeOf(join(dataDir, path));
      if (size === undefined) lingering.delete(path);
      else bytes += size;
    }
    return bytes;
  };
  return {
    measure: async () => {
      const { bsize, blocks, bavail } = await statfs(dataDir);
      const [pages, freePages] = ['page_count', 'freelist_count'].map((name) => pragma(name));
      const databaseFreeBytes = (freePages ?? 0) * pageBytes;
      const databaseBytes = (pages ?? 0) * pageBytes - databaseFreeBytes;
      const others = await bytesBelow(dataDir, notOwn);
      // The ballast is a part of the reserve.
      const ballastBytes = (await sizeOf(join(dataDir, ballastName))) ?? 0;
      return {
        fileSystemBytes: blocks * bsize,
        availableBytes: bavail * bsize + ballastBytes + (await stillThere()),
        ownBytes: segmentBytes() + others + databaseBytes,
        databaseBytes,
        databaseFreeBytes,
      };
    },
    deleted: (paths) => {
      for (const path of paths) lingering.add(path);
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
