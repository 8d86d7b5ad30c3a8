import { type FileHandle, link, lstat, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FirnError, hasCode } from '../../base/errors.ts';
import { fileChunkBytes, localFileError, openLocalFile } from '../local-file.ts';
import type { ObjectInfo } from '../object-store.ts';
import { conflict, isAbsence, isFileError } from './file-errors.ts';
import { type Folders, syncFolder } from './folders.ts';
import { infoAt } from './read.ts';
import type { Staged, StagedFile, Staging } from './staging.ts';
import type { Turns } from './turns.ts';

// Every write: stage the bytes, fsync, one link or rename that publishes them, fsync the folder. A put-if-absent needs no
// turn: link(2) is exclusive by itself.

export interface Writer {
  put(key: string, body: Uint8Array, signal?: AbortSignal): Promise<ObjectInfo>;
  putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<ObjectInfo>;
  putIfMatch(key: string, body: Uint8Array, etag: string, signal?: AbortSignal): Promise<ObjectInfo>;
  /** Calls `ready` with the file's size before it begins. */
  putFile(
    key: string,
    path: string,
    ready: (sizeBytes: number) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<ObjectInfo>;
  delete(key: string, signal?: AbortSignal): Promise<void>;
}

export function createWriter(parts: {
  readonly pathOf: (key: string) => string;
  readonly folders: Folders;
  readonly staging: Staging;
  readonly turns: Turns;
}): Writer {
  const { pathOf, folders, staging, turns } = parts;

  /** Stages, publishes, and removes what is left, whatever happens. */
  async function store(
    key: string,
    fill: (handle: FileHandle) => Promise<void>,
    publish: (staged: StagedFile) => Promise<void>,
  ): Promise<ObjectInfo> {
    const staged = await staging.write(fill);
    try {
      await publish(staged);
    } finally {
      await staging.remove(staged);
    }
    return { key, etag: staged.etag, sizeBytes: staged.sizeBytes };
  }

  const replace = (operation: string, key: string, staged: StagedFile, signal?: AbortSignal) =>
    inTurn(turns, { operation, key, signal }, staged, (held) =>
      folders.fill(dirname(pathOf(key)), () => moveHeld(operation, key, held, pathOf(key))),
    );

  return {
    put: (key, body, signal) =>
      store(key, writing(body, signal), (staged) => replace('put', key, staged, signal)),
    putFile: async (key, path, ready, signal) => {
      await using source = await openLocalFile('put file', path, 'r');
      await ready((await source.stat()).size);
      return await store(key, copying(source, path, signal), (staged) =>
        replace('put file', key, staged, signal),
      );
    },
    putIfAbsent: async (key, body, signal) => {
      await checkAbsent(key, pathOf(key));
      return store(key, writing(body, signal), (staged) =>
        folders.fill(dirname(pathOf(key)), () => linkNew(key, staged.path, pathOf(key))),
      );
    },
    putIfMatch: async (key, body, etag, signal) => {
      await checkEtag(key, pathOf(key), etag);
      return store(key, writing(body, signal), (staged) =>
        inTurn(turns, { operation: 'put if match', key, signal }, staged, async (held) => {
          await checkEtag(key, pathOf(key), etag);
          await moveHeld('put if match', key, held, pathOf(key));
          await syncFolder(dirname(pathOf(key)));
        }),
      );
    },
    delete: async (key, signal) => {
      if (!(await isObject(pathOf(key)))) return;
      const staged = await staging.folder();
      try {
        // Moved into what the turn holds: should the turn have been taken away, this fails instead of deleting late.
        await inTurn(turns, { operation: 'delete', key, signal }, staged, async (held) => {
          // Another may have deleted it meanwhile, and have made a folder in its place.
          if (await isObject(pathOf(key))) await moveAway(key, pathOf(key), held);
        });
      } finally {
        await staging.remove(staged);
      }
      await syncFolder(dirname(pathOf(key)));
      await folders.prune(dirname(pathOf(key)));
    },
  };
}

/** Runs `work` during the key's turn; `held` is where the staged file stands by then. */
async function inTurn(
  turns: Turns,
  change: { readonly operation: string; readonly key: string; readonly signal: AbortSignal | undefined },
  staged: Staged,
  work: (held: string) => Promise<void>,
): Promise<void> {
  const held = await turns.take(change.operation, change.key, staged, change.signal);
  try {
    await work(held);
  } finally {
    await rm(held, { recursive: true, force: true });
  }
}

const writing = (body: Uint8Array, signal?: AbortSignal) => (handle: FileHandle) =>
  handle.writeFile(body, signal === undefined ? {} : { signal });

const copying = (source: FileHandle, path: string, signal?: AbortSignal) => async (handle: FileHandle) => {
  const chunk = Buffer.allocUnsafe(fileChunkBytes);
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await source.read(chunk, 0, fileChunkBytes).catch((error: unknown) => {
      throw localFileError('put file', path, error);
    });
    if (bytesRead === 0) return;
    await handle.writeFile(chunk.subarray(0, bytesRead));
  }
};

/** Renames what a turn holds to its place. Throws `unavailable` when the turn was taken away, ENOENT without a folder. */
async function moveHeld(operation: string, key: string, held: string, target: string): Promise<void> {
  try {
    await rename(held, target);
  } catch (error) {
    throw isFileError(error, 'ENOENT') && !(await exists(held)) ? turnLost(operation, key) : error;
  }
}

async function moveAway(key: string, path: string, held: string): Promise<void> {
  try {
    await rename(path, join(held, 'deleted'));
  } catch (error) {
    if (!isFileError(error, 'ENOENT')) throw error;
    if (!(await exists(held))) throw turnLost('delete', key);
  }
}

async function linkNew(key: string, staged: string, target: string): Promise<void> {
  try {
    await link(staged, target);
  } catch (error) {
    if (!isFileError(error, 'EEXIST')) throw error;
    if (await isFolder(target)) throw folderInTheWay(key);
    throw conflict('put if absent', key, 'it exists');
  }
}

async function checkAbsent(key: string, path: string): Promise<void> {
  if (await isObject(path)) throw conflict('put if absent', key, 'it exists');
}

async function checkEtag(key: string, path: string, etag: string): Promise<void> {
  const found = await infoAt(path, key).catch((error: unknown) => {
    if (isAbsence(error) || hasCode(error, 'not-found')) return undefined;
    throw error;
  });
  if (found?.etag !== etag)
    throw conflict('put if match', key, found === undefined ? 'it does not exist' : 'it was replaced');
}

async function isObject(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isFile();
  } catch (error) {
    if (isAbsence(error)) return false;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(() => undefined);
  return stats?.isDirectory() ?? false;
}

const folderInTheWay = (key: string): FirnError =>
  new FirnError({
    code: 'invalid',
    operation: 'put if absent',
    subject: key,
    message: `can't put ${key}: there is a folder of this name`,
  });

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

const turnLost = (operation: string, key: string): FirnError =>
  new FirnError({
    code: 'unavailable',
    operation,
    subject: key,
    message: `can't ${operation} ${key}: it took so long that another writer took its turn away`,
    answered: true,
  });
