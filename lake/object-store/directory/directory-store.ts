import { mkdir, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { type Clock, systemClock } from '../../base/clock.ts';
import { FirnError } from '../../base/errors.ts';
import { checkFolderPrefix, checkKey, checkPrefix, reservedSegment } from '../key.ts';
import type { ObjectInfo, ObjectStore } from '../object-store.ts';
import { fileError, isAbsence, isFileError, notFound } from './file-errors.ts';
import { createFolders } from './folders.ts';
import { infoAt, read, readRange, readToFile } from './read.ts';
import { createStaging, removeLeftovers } from './staging.ts';
import { createTurns } from './turns.ts';
import { walk, walkFolders } from './walk.ts';
import { createWriter } from './write.ts';

// Objects are files: the key `a/b` is <root>/a/b. The folder <root>/.firn-store holds what is being written. So a key
// can't be at the same time an object and the beginning of another (`a` and `a/b`): that is `invalid` here.

/** An object store in a local folder, which several processes may share. Nothing is opened before the first call. */
export function directoryStore(options: {
  /** Absolute. Made when it is not there, at the first call and at each write. */
  readonly root: string;
  readonly clock?: Clock;
}): ObjectStore {
  const { root, clock = systemClock } = options;
  if (!isAbsolute(root)) throw new Error(`the root ${root} of a directory store must be absolute`);
  const pathOf = (key: string): string => join(root, key);
  const [staging, turns] = [pathOf(`${reservedSegment}/staging`), pathOf(`${reservedSegment}/turns`)];
  const folders = createFolders(root);
  const writer = createWriter({
    pathOf,
    folders,
    turns: createTurns(turns, clock),
    staging: createStaging(staging, clock, async () => {
      await folders.makeRoot();
      await mkdir(turns, { recursive: true });
      await mkdir(staging, { recursive: true });
    }),
  });

  let opened: Promise<void> | undefined;
  const open = (): Promise<void> => {
    opened ??= folders.makeRoot().then(() => removeLeftovers(staging, clock));
    opened.catch(() => {
      opened = undefined;
    });
    return opened;
  };

  async function checkRoot(operation: string): Promise<void> {
    const lost = await lossOf(root);
    if (lost !== undefined) throw rootLost(operation, root, lost);
  }

  /** Without its root nothing can be told about an object, in particular not that it does not exist. */
  async function translate(operation: string, key: string, error: unknown): Promise<unknown> {
    const lost = isAbsence(error) ? await lossOf(root) : undefined;
    return lost === undefined ? fileError(operation, key, error) : rootLost(operation, root, lost);
  }

  async function run<T>(
    operation: string,
    key: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ) {
    checkKey(operation, key);
    signal?.throwIfAborted();
    try {
      await open();
      return await work();
    } catch (error) {
      throw await translate(operation, key, error);
    }
  }

  const reading = <T>(
    operation: string,
    key: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ) =>
    run(operation, key, signal, async () => {
      try {
        return await work();
      } catch (error) {
        throw isAbsence(error) && (await lossOf(root)) === undefined
          ? notFound(operation, key, error)
          : error;
      }
    });

  async function* listing<T>(operation: string, prefix: string, items: () => AsyncIterable<T>) {
    try {
      await open();
      yield* items();
    } catch (error) {
      throw await translate(operation, prefix, error);
    }
    // Folders that vanish meanwhile are empty; but if the root did, the listing was cut short.
    await checkRoot(operation);
  }

  return {
    description: `directory ${root}`,
    put: (key, body, { signal } = {}) => run('put', key, signal, () => writer.put(key, body, signal)),
    putIfAbsent: (key, body, { signal } = {}) =>
      run('put if absent', key, signal, () => writer.putIfAbsent(key, body, signal)),
    putIfMatch: (key, body, etag, { signal } = {}) =>
      run('put if match', key, signal, async () => {
        await checkRoot('put if match');
        return writer.putIfMatch(key, body, etag, signal);
      }),
    putFile: (key, path, { signal } = {}) =>
      run('put file', key, signal, () => writer.putFile(key, path, signal)),
    get: (key, { signal } = {}) => reading('get', key, signal, () => read(pathOf(key), key, signal)),
    getRange: (key, startByte, endByte, { signal } = {}) =>
      reading('get range', key, signal, () => readRange(pathOf(key), key, startByte, endByte)),
    getFile: (key, path, { signal } = {}) =>
      reading('get file', key, signal, () => readToFile(pathOf(key), key, path, signal)),
    head: (key, { signal } = {}) => reading('head', key, signal, () => infoAt(pathOf(key), key)),
    list: (prefix, { after, limit = Number.POSITIVE_INFINITY, signal } = {}) =>
      listing('list', checkPrefix('list', prefix), () =>
        infosOf(walk(root, prefix, after), pathOf, limit, signal),
      ),
    listFolders: (prefix, { signal } = {}) =>
      listing('list folders', checkFolderPrefix('list folders', prefix), async function* () {
        for await (const name of walkFolders(root, prefix)) {
          signal?.throwIfAborted();
          yield name;
        }
      }),
    delete: (key, { signal } = {}) =>
      run('delete', key, signal, async () => {
        await checkRoot('delete');
        await writer.delete(key, signal);
      }),
    localPath: (key) => pathOf(checkKey('find', key)),
    close: () => undefined,
  };
}

async function* infosOf(
  batches: AsyncIterable<readonly string[]>,
  pathOf: (key: string) => string,
  limit: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  let left = limit;
  if (left <= 0) return;
  for await (const keys of batches) {
    signal?.throwIfAborted();
    const infos = await Promise.all(
      keys.slice(0, left).map((key) =>
        infoAt(pathOf(key), key).catch((error: unknown) => {
          if (isAbsence(error)) return undefined;
          throw error;
        }),
      ),
    );
    for (const info of infos) {
      if (info === undefined) continue;
      yield info;
      if (--left <= 0) return;
    }
  }
}

/** Why the root can't be used as a folder, if it can't. */
async function lossOf(root: string): Promise<string | undefined> {
  try {
    return (await stat(root)).isDirectory() ? undefined : 'it is not a folder';
  } catch (error) {
    if (isFileError(error)) return error.message;
    throw error;
  }
}

const rootLost = (operation: string, root: string, why: string): FirnError =>
  new FirnError({
    code: 'unavailable',
    operation,
    subject: root,
    message: `can't ${operation}: the store's folder ${root} is lost: ${why}`,
    hint: 'mount the disk, or put the folder back',
  });
