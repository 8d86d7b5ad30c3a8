import { createHash } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FirnError } from '../../lake/base/errors.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';

/**
 * Local copies of immutable objects, for readers that need files. Bounded; the least recently used go first, files in
 * use never. Survives restarts.
 */
export interface FileCache {
  /**
   * Local paths of these objects, in order, fetching what is missing; callers that want the same object share one fetch.
   * The files stay until the lease is disposed. Throws FirnError `limit` when they don't fit beside those in use, and
   * `corrupt` when an object doesn't have the size expected of it.
   */
  acquire(objects: readonly CachedObject[], signal?: AbortSignal): Promise<FileLease>;
  readonly bytes: number;
}

export interface CachedObject {
  readonly key: string;
  readonly bytes: number;
}

export interface FileLease extends Disposable {
  readonly paths: readonly string[];
}

export interface FileCacheOptions {
  readonly store: ObjectStore;
  /** Absolute; belongs to this cache alone. Created when absent. */
  readonly directory: string;
  readonly cacheBytesMax: number;
}

const fetchesConcurrentMax = 8;

interface Entry {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  users: number;
  readonly ready: Promise<void>;
}

export async function openFileCache({
  store,
  directory,
  cacheBytesMax,
}: FileCacheOptions): Promise<FileCache> {
  await mkdir(directory, { recursive: true });
  const held = entriesIn(directory, cacheBytesMax);
  for (const { name, bytes } of await filesLeft(directory)) held.add(name, bytes, Promise.resolve());
  held.makeRoom(0);

  async function fetchFile(name: string, { key, bytes }: CachedObject): Promise<void> {
    const part = join(directory, `${name}.part`);
    const size = await store.getFile(key, part);
    if (size !== bytes) {
      await rm(part, { force: true });
      throw wrongSize(key, bytes, size);
    }
    await rename(part, join(directory, name));
  }

  async function use(object: CachedObject, users: Entry[]): Promise<string> {
    const name = fileName(object.key);
    let entry = held.touch(name);
    if (entry && entry.bytes !== object.bytes && entry.users === 0) {
      // Cut short by a power failure before its size was on disk.
      held.remove(entry);
      entry = undefined;
    }
    if (!entry) {
      held.makeRoom(object.bytes);
      const fresh = held.add(name, object.bytes, fetchFile(name, object));
      fresh.ready.catch(() => held.forget(fresh));
      entry = fresh;
    }
    entry.users++;
    users.push(entry);
    await entry.ready;
    return entry.path;
  }

  return {
    acquire: async (objects, signal) => {
      const wanted = objects.reduce((sum, { bytes }) => sum + bytes, 0);
      if (wanted > cacheBytesMax) throw full(cacheBytesMax, wanted);
      const users: Entry[] = [];
      const release = (): void => {
        for (const entry of users.splice(0)) entry.users--;
      };
      try {
        const paths = await mapConcurrent(objects, fetchesConcurrentMax, (object) => {
          signal?.throwIfAborted();
          return use(object, users);
        });
        return { paths, [Symbol.dispose]: release };
      } catch (error) {
        release();
        throw error;
      }
    },
    get bytes() {
      return held.bytes();
    },
  };
}

interface Entries {
  /** The entry, which is the most recently used from now on. */
  touch(name: string): Entry | undefined;
  add(name: string, bytes: number, ready: Promise<void>): Entry;
  /** Without its file, which was never made. */
  forget(entry: Entry): void;
  remove(entry: Entry): void;
  /** Removes what was not used for longest until so much more fits; throws FirnError `limit` when it can't. */
  makeRoom(bytes: number): void;
  bytes(): number;
}

function entriesIn(directory: string, cacheBytesMax: number): Entries {
  /** In order of last use. Bytes count from the moment a fetch begins. */
  const entries = new Map<string, Entry>();
  let total = 0;

  function forget(entry: Entry): void {
    if (entries.get(entry.name) !== entry) return;
    entries.delete(entry.name);
    total -= entry.bytes;
  }

  function remove(entry: Entry): void {
    forget(entry);
    // At once, so that it can't remove a file of the same name that is fetched next.
    unlinkSync(entry.path);
  }

  return {
    touch: (name) => {
      const entry = entries.get(name);
      if (entry) {
        entries.delete(name);
        entries.set(name, entry);
      }
      return entry;
    },
    add: (name, bytes, ready) => {
      const entry: Entry = { name, path: join(directory, name), bytes, users: 0, ready };
      entries.set(name, entry);
      total += bytes;
      return entry;
    },
    forget,
    remove,
    makeRoom: (bytes) => {
      for (const entry of entries.values()) {
        if (total + bytes <= cacheBytesMax) return;
        if (entry.users === 0) remove(entry);
      }
      if (total + bytes > cacheBytesMax) throw full(cacheBytesMax, total + bytes);
    },
    bytes: () => total,
  };
}

/** Flat and safe whatever the key holds. */
const fileName = (key: string): string => `${createHash('sha256').update(key).digest('hex')}.parquet`;

/** What an earlier process left, oldest first; unfinished fetches are removed. */
async function filesLeft(directory: string): Promise<{ name: string; bytes: number }[]> {
  const names = await readdir(directory);
  const parts = names.filter((name) => name.endsWith('.part'));
  await Promise.all(parts.map((name) => rm(join(directory, name), { force: true })));
  const files = await Promise.all(
    names
      .filter((name) => /^[0-9a-f]{64}\.parquet$/.test(name))
      .map(async (name) => ({ name, info: await stat(join(directory, name)) })),
  );
  return files
    .sort((a, b) => a.info.mtimeMs - b.info.mtimeMs)
    .map(({ name, info }) => ({ name, bytes: info.size }));
}

function full(cacheBytesMax: number, neededBytes: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'cache files',
    subject: 'cacheBytesMax',
    message: `the query needs ${neededBytes} bytes of local copies beside what is in use; cacheBytesMax is ${cacheBytesMax}`,
    hint: 'ask for a shorter time range or one metric name, or give the cache more room',
  });
}

function wrongSize(key: string, expected: number, actual: number): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'cache file',
    subject: key,
    message: `object ${key} has ${actual} bytes; the table says ${expected}`,
  });
}
