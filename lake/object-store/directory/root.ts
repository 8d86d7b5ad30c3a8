import { stat } from 'node:fs/promises';
import { FirnError } from '../../base/errors.ts';
import { checkKey } from '../key.ts';
import { fileError, isAbsence, isFileError, notFound } from './file-errors.ts';

/** The folder that a store is in, which may be lost while it runs: unmounted, removed, replaced by a file. */
export interface Root {
  /** Throws `unavailable` when it is lost. */
  check(operation: string): Promise<void>;
  /** Runs `work` on an object, and says of its errors what they mean to a caller of the store. */
  run<T>(operation: string, key: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T>;
  /** The same for work that only reads: where it finds no file, there is no object. */
  read<T>(
    operation: string,
    key: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T>;
  /** The same for a listing. */
  list<T>(operation: string, prefix: string, items: () => AsyncIterable<T>): AsyncGenerator<T>;
}

/** `prepare` runs before the first of all, until it succeeds once. */
export function createRoot(path: string, prepare: () => Promise<void>): Root {
  let opened: Promise<void> | undefined;
  const open = async (): Promise<void> => {
    opened ??= prepare();
    try {
      await opened;
    } catch (error) {
      opened = undefined;
      throw error;
    }
  };

  const check = async (operation: string): Promise<void> => {
    const lost = await lossOf(path);
    if (lost !== undefined) throw rootLost(operation, path, lost);
  };

  /** Without its root nothing can be told about an object, in particular not that it does not exist. */
  async function translate(operation: string, key: string, error: unknown): Promise<unknown> {
    const lost = isAbsence(error) ? await lossOf(path) : undefined;
    return lost === undefined ? fileError(operation, key, error) : rootLost(operation, path, lost);
  }

  const run: Root['run'] = async (operation, key, signal, work) => {
    checkKey(operation, key);
    signal?.throwIfAborted();
    try {
      await open();
      return await work();
    } catch (error) {
      throw await translate(operation, key, error);
    }
  };

  return {
    check,
    run,
    read: (operation, key, signal, work) =>
      run(operation, key, signal, () =>
        work().catch(async (error: unknown) => {
          if (!isAbsence(error)) throw error;
          await check(operation);
          throw notFound(operation, key, error);
        }),
      ),
    list: async function* (operation, prefix, items) {
      try {
        await open();
        yield* items();
      } catch (error) {
        throw await translate(operation, prefix, error);
      }
      // Folders that vanish meanwhile are empty; but if the root did, the listing was cut short.
      await check(operation);
    },
  };
}

/** Why the root can't be used as a folder, if it can't. */
async function lossOf(path: string): Promise<string | undefined> {
  try {
    return (await stat(path)).isDirectory() ? undefined : 'it is not a folder';
  } catch (error) {
    if (isFileError(error)) return error.message;
    throw error;
  }
}

const rootLost = (operation: string, path: string, why: string): FirnError =>
  new FirnError({
    code: 'unavailable',
    operation,
    subject: path,
    message: `can't ${operation}: the store's folder ${path} is lost: ${why}`,
    hint: 'mount the disk, or put the folder back',
    answered: false,
  });
