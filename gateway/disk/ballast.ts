import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A file that does nothing but take up room, so that there is some to give back: when others have filled the disk to the
 * last block, even the transaction that takes files off the list would find none.
 */
export interface Ballast {
  /** Makes it, if there is room for it above the reserve. */
  restore(freeBytes: number): Promise<void>;
  /** Deletes it; false when there was none. */
  release(): Promise<boolean>;
}

export const ballastName = 'ballast';
/** A few transactions of the log. */
const ballastBytes = 2 * 1024 * 1024;

export function createBallast(dataDir: string): Ballast {
  const path = join(dataDir, ballastName);
  return {
    restore: async (freeBytes) => {
      const found = await stat(path).catch(() => undefined);
      if (found?.size === ballastBytes || freeBytes < 4 * ballastBytes) return;
      const file = await open(path, 'w');
      try {
        // Not zeros, which some file systems keep as nothing.
        const block = Buffer.alloc(64 * 1024, 'ballast of a Firn gateway; ');
        for (let at = 0; at < ballastBytes; at += block.length) await file.write(block);
        await file.sync();
      } finally {
        await file.close();
      }
    },
    release: async () => {
      const found = await stat(path).catch(() => undefined);
      await rm(path, { force: true });
      return found !== undefined && found.size > 0;
    },
  };
}
