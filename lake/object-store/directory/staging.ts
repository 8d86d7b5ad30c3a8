import { randomInt, randomUUID } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { isFileError } from './file-errors.ts';

/** Older leftovers of writers that were killed are removed. Far longer than any write takes. */
export const leftoverAgeMsMax = 24 * 3600 * 1000;

/**
 * New objects are written here, where no listing looks: one folder per write, holding one file of the same name
 * (turns.ts says why a folder).
 */
export interface Staging {
  /** Writes a file with `fill` and makes its bytes durable. The caller moves it away, then calls `remove`. */
  write(fill: (handle: FileHandle) => Promise<void>): Promise<StagedFile>;
  /** An empty folder instead of a file. */
  folder(): Promise<Staged>;
  /** Removes what is left of it, if anything. */
  remove(staged: Staged): Promise<void>;
}

export interface Staged {
  readonly name: string;
  readonly folder: string;
}

export interface StagedFile extends Staged {
  readonly path: string;
  readonly etag: string;
  readonly sizeBytes: number;
}

/** `path` must be on the file system that the objects are on. `prepare` makes it; called when it is not there. */
export function createStaging(path: string, clock: Clock, prepare: () => Promise<void>): Staging {
  const begin = async (): Promise<Staged> => {
    const name = randomUUID();
    const folder = join(path, name);
    await mkdir(folder).catch(async (error: unknown) => {
      if (!isFileError(error, 'ENOENT')) throw error;
      await prepare();
      await mkdir(folder);
    });
    return { name, folder };
  };
  const remove = (staged: Staged) => rm(staged.folder, { recursive: true, force: true });

  return {
    write: async (fill) => {
      const staged = await begin();
      try {
        const file = join(staged.folder, staged.name);
        await using handle = await open(file, 'wx');
        await fill(handle);
        await handle.utimes(clock.nowMs() / 1000, drawModifiedTime(clock));
        await handle.sync();
        const stats = await handle.stat({ bigint: true });
        return { ...staged, path: file, etag: etagOf(stats), sizeBytes: Number(stats.size) };
      } catch (error) {
        await remove(staged);
        throw error;
      }
    },
    folder: async () => {
      const staged = await begin();
      await mkdir(join(staged.folder, staged.name));
      return staged;
    },
    remove,
  };
}

/**
 * A file's etag costs no read of its bytes: every write makes a new file, so the inode number tells two versions apart.
 * But a number is used again once its file is gone, perhaps within one tick of the file system's clock; therefore the
 * fraction of the modification time, which nothing else needs, is drawn at random for each write.
 */
export function etagOf(stats: BigIntStats): string {
  return `${stats.ino.toString(36)}-${stats.mtimeNs.toString(36)}-${stats.size.toString(36)}`;
}

/** Seconds; a double that is a Unix time today has room for 22 bits after the point. */
const drawModifiedTime = (clock: Clock): number =>
  Math.floor(clock.nowMs() / 1000) + randomInt(2 ** 22) / 2 ** 22;

/** Removes what writers left behind that were killed. */
export async function removeLeftovers(path: string, clock: Clock): Promise<void> {
  for (const name of await orAbsent(readdir(path), [])) {
    const folder = join(path, name);
    const stats = await orAbsent(stat(folder), undefined);
    if (stats !== undefined && clock.nowMs() - stats.mtimeMs > leftoverAgeMsMax)
      await rm(folder, { recursive: true, force: true });
  }
}

const orAbsent = <T, A>(found: Promise<T>, absent: A): Promise<T | A> =>
  found.catch((error: unknown) => {
    if (isFileError(error, 'ENOENT')) return absent;
    throw error;
  });
