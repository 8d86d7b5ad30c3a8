import { createHash } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FirnError } from '../../lake/base/errors.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { hashFile } from '../../lake/parquet/durable-file.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';

/**
 * Local copies of immutable objects, for readers that need files. Bounded; the least recently used go first, files in
 * use never. Survives restarts: a file of an earlier process is used again if its bytes still have the checksum that is in
 * its name.
 */
export interface FileCache {
  /**
   * Local paths of these objects, in order, fetching what is missing; callers that want the same object share one fetch.
   * The files stay until the lease is disposed. Throws FirnError `limit` when they don't fit beside those in use, and
   * `corrupt` when an object doesn't have the size expected of it.
   */
  acquire(objects: readonly CachedObject[], signal?: AbortSignal): Promise<FileLease>;
  /** Bytes [startByte, endByte) of an object: of its local copy where there is one, else by a request for just these. */
  readRange(key: string, startByte: number, endByte: number): Promise<Uint8Array>;
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
  /** Empty until the file is there. */
  path: string;
  readonly bytes: number;
  users: number;
  readonly ready: Promise<void>;
  /** What an earlier process left: hex SHA-256 that it should have. */
  readonly unchecked?: string;
}

export async function openFileCache({
  store,
  directory,
  cacheBytesMax,
}: FileCacheOptions): Promise<FileCache> {
  await mkdir(directory, { recursive: true });
  const held = entriesIn(cacheBytesMax);
  for (const { name, bytes, sha256, path } of await filesLeft(directory))
    held.add({ name, path, bytes, users: 0, ready: Promise.resolve(), unchecked: sha256 });
  held.makeRoom(0);

  const { fetchFile, reuseOrFetch } = fetcher(store, directory);

  function start(name: string, bytes: number, file: Promise<string>): Entry {
    const entry: Entry = { name, path: '', bytes, users: 0, ready: file.then((path) => setPath(path)) };
    const setPath = (path: string): void => {
      entry.path = path;
    };
    held.add(entry);
    entry.ready.catch(() => held.forget(entry));
    return entry;
  }

  async function use(object: CachedObject, users: Entry[]): Promise<string> {
    const name = fileName(object.key);
    let entry = held.touch(name);
    if (entry?.unchecked !== undefined) {
      held.forget(entry);
      held.makeRoom(object.bytes);
      entry = start(name, object.bytes, reuseOrFetch(entry, object));
    } else if (!entry) {
      held.makeRoom(object.bytes);
      entry = start(name, object.bytes, fetchFile(name, object));
    }
    entry.users++;
    users.push(entry);
    await entry.ready;
    return entry.path;
  }

  return {
    readRange: async (key, startByte, endByte) => {
      const { path = '', unchecked } = held.peek(fileName(key)) ?? {};
      const local = path !== '' && unchecked === undefined;
      // Removed in between: the object is still there.
      const bytes = local ? await readFileRange(path, startByte, endByte).catch(() => undefined) : undefined;
      return bytes ?? store.getRange(key, startByte, endByte);
    },
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

async function readFileRange(path: string, startByte: number, endByte: number): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(endByte - startByte),
      position: startByte,
    });
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Both give the path of a file that has the object's bytes. */
function fetcher(store: ObjectStore, directory: string) {
  async function fetchFile(name: string, { key, bytes }: CachedObject): Promise<string> {
    const part = join(directory, `${name}.part`);
    const size = await store.getFile(key, part);
    if (size !== bytes) {
      await rm(part, { force: true });
      throw wrongSize(key, bytes, size);
    }
    const { sha256 } = await hashFile(part);
    const path = join(directory, `${name}-${sha256}.parquet`);
    await rename(part, path);
    return path;
  }

  /** The file of an earlier process, when a power failure or the disk has not changed it; else a new copy. */
  async function reuseOrFetch(left: Entry, object: CachedObject): Promise<string> {
    const found = await hashFile(left.path).catch(() => undefined);
    if (found?.bytes === object.bytes && found.sha256 === left.unchecked) return left.path;
    await rm(left.path, { force: true });
    return fetchFile(left.name, object);
  }

  return { fetchFile, reuseOrFetch };
}

interface Entries {
  /** The entry, which is the most recently used from now on. */
  touch(name: string): Entry | undefined;
  peek(name: string): Entry | undefined;
  add(entry: Entry): void;
  /** Without its file, which was never made. */
  forget(entry: Entry): void;
  remove(entry: Entry): void;
  /** Removes what was not used for longest until so much more fits; throws FirnError `limit` when it can't. */
  makeRoom(bytes: number): void;
  bytes(): number;
}

function entriesIn(cacheBytesMax: number): Entries {
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
    peek: (name) => entries.get(name),
    add: (entry) => {
      entries.set(entry.name, entry);
      total += entry.bytes;
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
const fileName = (key: string): string => createHash('sha256').update(key).digest('hex');

/** What an earlier process left, oldest first; unfinished fetches are removed. */
async function filesLeft(directory: string) {
  const files = await Promise.all(
    (await readdir(directory)).map(async (file) => {
      const path = join(directory, file);
      const [, name, sha256] = /^([0-9a-f]{64})-([0-9a-f]{64})\.parquet$/.exec(file) ?? [];
      if (name !== undefined && sha256 !== undefined) return [{ name, sha256, path, info: await stat(path) }];
      // Also what an older Firn named otherwise.
      if (/\.(part|parquet)$/.test(file)) await rm(path, { force: true });
      return [];
    }),
  );
  return files
    .flat()
    .sort((a, b) => a.info.mtimeMs - b.info.mtimeMs)
    .map(({ info, ...file }) => ({ ...file, bytes: info.size }));
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
