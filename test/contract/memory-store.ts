import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { FirnError } from '../../lake/base/errors.ts';
import type { ObjectInfo, ObjectStore } from '../../lake/object-store/object-store.ts';

/** An object store in memory, for tests of what stands on the port. */
export interface MemoryStore extends ObjectStore {
  readonly objects: Map<string, Uint8Array>;
}

export function memoryStore(): MemoryStore {
  const objects = new Map<string, Uint8Array>();
  /** Simulations ask for the same objects thousands of times. */
  const etags = new WeakMap<Uint8Array, string>();
  const etagOf = (body: Uint8Array): string => {
    const etag = etags.get(body) ?? createHash('md5').update(body).digest('hex');
    etags.set(body, etag);
    return etag;
  };
  const infoOf = (key: string, body: Uint8Array): ObjectInfo => ({
    key,
    etag: etagOf(body),
    sizeBytes: body.byteLength,
  });
  const found = (key: string): Uint8Array => {
    const body = objects.get(key);
    if (!body) throw failure('not-found', key, `no object ${key}`);
    return body;
  };
  const write = (key: string, body: Uint8Array): ObjectInfo => {
    const stored = new Uint8Array(body);
    objects.set(key, stored);
    return infoOf(key, stored);
  };
  const keysUnder = (prefix: string): string[] =>
    [...objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  return {
    objects,
    description: 'memory',
    put: async (key, body) => write(key, body),
    putIfAbsent: async (key, body) => {
      if (objects.has(key)) throw failure('conflict', key, `${key} exists`);
      return write(key, body);
    },
    putIfMatch: async (key, body, etag) => {
      if (infoOf(key, found(key)).etag !== etag) throw failure('conflict', key, `${key} was replaced`);
      return write(key, body);
    },
    putFile: async (key, path) => write(key, await readFile(path)),
    get: async (key) => ({ ...infoOf(key, found(key)), body: found(key) }),
    getRange: async (key, startByte, endByte) => {
      const body = found(key);
      if (startByte >= body.byteLength) throw failure('invalid', key, `range of ${key} starts past its end`);
      return body.subarray(startByte, endByte);
    },
    getFile: async (key, path) => {
      await writeFile(path, found(key));
      return found(key).byteLength;
    },
    head: async (key) => infoOf(key, found(key)),
    list: async function* (prefix, { after = '', limit = Number.POSITIVE_INFINITY } = {}) {
      const keys = keysUnder(prefix).filter((key) => key > after);
      for (const key of keys.slice(0, limit)) yield infoOf(key, found(key));
    },
    listFolders: async function* (prefix) {
      const rests = keysUnder(prefix).map((key) => key.slice(prefix.length));
      yield* new Set(rests.filter((rest) => rest.includes('/')).map((rest) => rest.split('/')[0] ?? ''));
    },
    delete: async (key) => {
      objects.delete(key);
    },
    localPath: () => undefined,
    close: () => undefined,
  };
}

function failure(code: 'not-found' | 'conflict' | 'invalid', subject: string, message: string): FirnError {
  return new FirnError({ code, operation: 'use memory store', subject, message });
}

/** The same store, calling `before(method, key)` ahead of each request and `after` when it has taken effect. */
export function watchedStore(
  inner: ObjectStore,
  before: (method: string, key: string) => Promise<void> | void,
  after: (method: string, key: string) => Promise<void> | void = () => undefined,
): ObjectStore {
  const call =
    <A extends [string, ...unknown[]], R>(method: string, fn: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await before(method, args[0]);
      const result = await fn(...args);
      await after(method, args[0]);
      return result;
    };
  const iterate = <A extends [string, ...unknown[]], R>(
    method: string,
    fn: (...args: A) => AsyncIterable<R>,
  ) =>
    async function* (...args: A): AsyncGenerator<R> {
      await before(method, args[0]);
      yield* fn(...args);
    };
  return {
    description: inner.description,
    put: call('put', inner.put),
    putIfAbsent: call('putIfAbsent', inner.putIfAbsent),
    putIfMatch: call('putIfMatch', inner.putIfMatch),
    putFile: call('putFile', inner.putFile),
    get: call('get', inner.get),
    getRange: call('getRange', inner.getRange),
    getFile: call('getFile', inner.getFile),
    head: call('head', inner.head),
    list: iterate('list', inner.list),
    listFolders: iterate('listFolders', inner.listFolders),
    delete: call('delete', inner.delete),
    localPath: inner.localPath,
    close: inner.close,
  };
}
