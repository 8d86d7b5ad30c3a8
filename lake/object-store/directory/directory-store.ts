import { mkdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { type Clock, systemClock } from '../../base/clock.ts';
import { hasCode } from '../../base/errors.ts';
import { checkFolderPrefix, checkKey, checkPrefix, reservedSegment } from '../key.ts';
import type { ObjectInfo, ObjectStore, Pace } from '../object-store.ts';
import { isAbsence } from './file-errors.ts';
import { createFolders } from './folders.ts';
import { infoAt, read, readRange, readToFile } from './read.ts';
import { createRoot } from './root.ts';
import { createStaging, removeLeftovers } from './staging.ts';
import { createTurns } from './turns.ts';
import { walk, walkFolders } from './walk.ts';
import { createWriter, type Writer } from './write.ts';

// Objects are files: the key `a/b` is <root>/a/b. The folder <root>/.firn-store holds what is being written. So a key
// can't be at the same time an object and the beginning of another (`a` and `a/b`): that is `invalid` here.

/** An object store in a local folder, which several processes may share. Nothing is opened before the first call. */
export function directoryStore(options: {
  /** Absolute. Made when it is not there, at the first call and at each write. */
  readonly root: string;
  readonly clock?: Clock;
}): ObjectStore {
  const { clock = systemClock } = options;
  if (!isAbsolute(options.root)) throw new Error(`the root ${options.root} of a store must be absolute`);
  const pathOf = (key: string): string => join(options.root, key);
  const { writer, prepare } = openWriter(options.root, pathOf, clock);
  const root = createRoot(options.root, prepare);

  return {
    description: `directory ${options.root}`,
    put: (key, body, { signal, pace } = {}) =>
      root.run('put', key, signal, async () => {
        await paceWhole(pace, body.byteLength, signal);
        return await writer.put(key, body, signal);
      }),
    putIfAbsent: (key, body, { signal, pace } = {}) =>
      root.run('put if absent', key, signal, async () => {
        await paceWhole(pace, body.byteLength, signal);
        return await writer.putIfAbsent(key, body, signal);
      }),
    putIfMatch: (key, body, etag, { signal, pace } = {}) =>
      root.run('put if match', key, signal, async () => {
        await paceWhole(pace, body.byteLength, signal);
        await root.check('put if match');
        return await writer.putIfMatch(key, body, etag, signal);
      }),
    putFile: (key, path, { signal, pace } = {}) =>
      root.run('put file', key, signal, () =>
        writer.putFile(key, path, (sizeBytes) => paceWhole(pace, sizeBytes, signal), signal),
      ),
    get: (key, { signal } = {}) => root.read('get', key, signal, () => read(pathOf(key), key, signal)),
    getRange: (key, startByte, endByte, { signal } = {}) =>
      root.read('get range', key, signal, () => readRange(pathOf(key), key, startByte, endByte)),
    getFile: (key, path, { signal } = {}) =>
      root.read('get file', key, signal, () => readToFile(pathOf(key), key, path, signal)),
    head: (key, { signal } = {}) => root.read('head', key, signal, () => infoAt(pathOf(key), key)),
    list: (prefix, { after, limit = Number.POSITIVE_INFINITY, signal } = {}) =>
      root.list('list', checkPrefix('list', prefix), () =>
        infosOf(walk(options.root, prefix, after), pathOf, limit, signal),
      ),
    listFolders: (prefix, { signal } = {}) =>
      root.list('list folders', checkFolderPrefix('list folders', prefix), () =>
        untilAborted(walkFolders(options.root, prefix), signal),
      ),
    delete: (key, { signal } = {}) =>
      root.run('delete', key, signal, async () => {
        await root.check('delete');
        await writer.delete(key, signal);
      }),
    localPath: (key) => pathOf(checkKey('find', key)),
    close: () => undefined,
  };
}

/** A body that has begun is never held up: what is staged for too long is taken for a killed writer's. */
async function paceWhole(
  pace: Pace | undefined,
  totalBytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  await pace?.(totalBytes, signal, { sentBytes: 0, totalBytes });
}

/** The writer, and what makes its root and clears away what killed writers left there. */
function openWriter(
  root: string,
  pathOf: (key: string) => string,
  clock: Clock,
): { writer: Writer; prepare: () => Promise<void> } {
  const [staging, turns] = [pathOf(`${reservedSegment}/staging`), pathOf(`${reservedSegment}/turns`)];
  const folders = createFolders(root);
  const makeOwnFolders = async (): Promise<void> => {
    await folders.makeRoot();
    await mkdir(turns, { recursive: true });
    await mkdir(staging, { recursive: true });
  };
  return {
    writer: createWriter({
      pathOf,
      folders,
      turns: createTurns(turns, clock),
      staging: createStaging(staging, clock, makeOwnFolders),
    }),
    prepare: async () => {
      await folders.makeRoot();
      await removeLeftovers(staging, clock);
    },
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
  for await (const keys of untilAborted(batches, signal)) {
    // As many at a time as are still wanted: some may be gone by now, and then the next ones of the batch count.
    for (let start = 0, taken = left; start < keys.length; start += taken, taken = left) {
      const wanted = keys.slice(start, start + taken);
      for (const info of await Promise.all(wanted.map((key) => infoIfAny(pathOf(key), key)))) {
        if (info === undefined) continue;
        yield info;
        if (--left <= 0) return;
      }
    }
  }
}

/** An object that is deleted while it is listed is left out. */
const infoIfAny = (path: string, key: string): Promise<ObjectInfo | undefined> =>
  infoAt(path, key).catch((error: unknown) => {
    if (isAbsence(error) || hasCode(error, 'not-found')) return undefined;
    throw error;
  });

async function* untilAborted<T>(items: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T> {
  signal?.throwIfAborted();
  for await (const item of items) {
    signal?.throwIfAborted();
    yield item;
  }
}
