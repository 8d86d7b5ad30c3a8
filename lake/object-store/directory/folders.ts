import { mkdir, open, rmdir } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { isFileError } from './file-errors.ts';

/** How often a folder is made again that others remove, empty, at the same moment. */
const makeAttemptsMax = 10;
/** Folders remembered as durable; when there are more, all are forgotten, which costs an fsync each. */
const durableFoldersMax = 4096;

/** Makes and removes the folders of a store so that what is in them survives a power cut. */
export interface Folders {
  /** Makes the root, and the folders above it. */
  makeRoot(): Promise<void>;
  /** Runs `place`, which puts a file into the folder; makes the folder first, and again if it vanishes meanwhile. */
  fill(folder: string, place: () => Promise<void>): Promise<void>;
  /** Removes the folder and those above it that are empty, up to the root, which stays. */
  prune(folder: string): Promise<void>;
}

export function createFolders(root: string): Folders {
  // Only spares the fsyncs: `place` fails where a folder is gone, and then it is made again.
  const durable = new Set<string>();

  async function makeRoot(): Promise<void> {
    const first = await mkdir(root, { recursive: true });
    if (first !== undefined)
      for (const path of pathsDown(dirname(first), dirname(root))) await syncFolder(path);
  }

  /** A new folder is an entry in the one above it, which must reach the disk too. */
  async function make(folder: string): Promise<void> {
    if (durable.has(folder)) return;
    if (folder === root) await makeRoot();
    else {
      await make(dirname(folder));
      await mkdir(folder).catch((error: unknown) => {
        if (!isFileError(error, 'EEXIST')) throw error;
      });
      await syncFolder(dirname(folder));
    }
    if (durable.size >= durableFoldersMax) durable.clear();
    durable.add(folder);
  }

  return {
    makeRoot,
    fill: async (folder, place) => {
      for (let attempt = 1; ; attempt++) {
        try {
          await make(folder);
          await place();
          await syncFolder(folder);
          return;
        } catch (error) {
          if (!isFileError(error, 'ENOENT') || attempt >= makeAttemptsMax) throw error;
          for (const path of pathsDown(root, folder)) durable.delete(path);
        }
      }
    },
    prune: async (folder) => {
      for (const path of pathsDown(root, folder).slice(1).reverse()) {
        durable.delete(path);
        try {
          await rmdir(path);
        } catch (error) {
          // Not empty, or removed by someone else: either way the rest is theirs.
          if (isFileError(error)) return;
          throw error;
        }
      }
    },
  };
}

/** Makes the entries of a folder durable. A folder that is gone has none; Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  try {
    await using handle = await open(folder, 'r');
    await handle.sync();
  } catch (error) {
    if (!isFileError(error, 'ENOENT')) throw error;
  }
}

/** The upper folder, and each folder from there down to `lower`. */
function pathsDown(upper: string, lower: string): string[] {
  const paths = [upper];
  for (const name of relative(upper, lower).split(sep).filter(Boolean))
    paths.push(join(paths.at(-1) ?? upper, name));
  return paths;
}
