import { createHash } from 'node:crypto';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { FirnError } from '../../base/errors.ts';
import { isFileError } from './file-errors.ts';
import type { Staged } from './staging.ts';

// Writers of one key take turns, across processes, so that what one of them has compared still holds when it replaces.
//
// A turn is a folder. It is free while it is absent or empty; a writer takes it by renaming its staged folder, which
// holds the new object, over it: rename(2) refuses unless the target is empty, so one writer wins. The winner compares,
// then renames the object out of the turn to its place: this one step publishes it and leaves the turn empty, thus free.
//
// A writer that was killed in between leaves the turn taken. Whoever has seen it in the same hands for turnMsMax breaks
// it by removing the object in it. Should the holder only have been slow, its rename then finds nothing to publish, and
// no harm is done. So no decision rests on a clock, a process id, or a guess whether a process is alive.

/** A turn is held for a comparison and a rename. Longer, and others take it away. */
export const turnMsMax = 5_000;
/** The longest wait for a turn; then `unavailable`. */
export const turnWaitMsMax = 30_000;
const pollMsMax = 20;
/** Keys share turns, so that the folders stay few. */
const turnCount = 256;

export interface Turns {
  /** Waits for the key's turn. Returns the path at which the staged file or folder now stands. */
  take(operation: string, key: string, staged: Staged, signal?: AbortSignal): Promise<string>;
}

/** `path` must exist, on the file system that the objects and the staged folders are on. */
export function createTurns(path: string, clock: Clock): Turns {
  return {
    take: async (operation, key, staged, signal) => {
      const turn = join(path, turnOf(key));
      const startMs = clock.monotonicMs();
      let holder: { readonly name: string; readonly sinceMs: number } | undefined;
      for (let pollMs = 1; ; pollMs = Math.min(2 * pollMs, pollMsMax)) {
        if (await takeNow(staged, turn)) return join(turn, staged.name);
        const nowMs = clock.monotonicMs();
        if (nowMs - startMs > turnWaitMsMax) throw waitedTooLong(operation, key);
        const name = await holderOf(turn);
        if (name === undefined) continue;
        if (name !== holder?.name) holder = { name, sinceMs: nowMs };
        if (nowMs - holder.sinceMs > turnMsMax) await rm(join(turn, name), { recursive: true, force: true });
        else await clock.sleep(pollMs, signal);
      }
    },
  };
}

const turnOf = (key: string): string =>
  String((createHash('sha256').update(key).digest()[0] ?? 0) % turnCount);

async function takeNow(staged: Staged, turn: string): Promise<boolean> {
  try {
    await rename(staged.folder, turn);
    return true;
  } catch (error) {
    if (isFileError(error, 'ENOTEMPTY', 'EEXIST')) return false;
    throw error;
  }
}

async function holderOf(turn: string): Promise<string | undefined> {
  try {
    return (await readdir(turn))[0];
  } catch (error) {
    if (isFileError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

const waitedTooLong = (operation: string, key: string): FirnError =>
  new FirnError({
    code: 'unavailable',
    operation,
    subject: key,
    message: `can't ${operation} ${key}: no turn to write it within ${turnWaitMsMax} ms`,
    hint: 'too many writers of one key, or a very slow disk',
    answered: true,
  });
