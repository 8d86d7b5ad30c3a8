import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { compareKeys, reservedSegment } from '../key.ts';
import { isFileError } from './file-errors.ts';

/** Keys that are found at once, at most. */
const keysPerBatch = 64;
const slash = Buffer.from('/');

/**
 * The keys that start with `prefix` and are greater than `after`, in batches, in the order of their UTF-8 bytes. Only
 * folders that can hold such keys are read, one at a time and when the listing gets there; a folder's own names are held
 * in memory at once.
 */
export async function* walk(root: string, prefix: string, after = ''): AsyncGenerator<readonly string[]> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  if (after.startsWith(folder)) yield* walkFolder(root, folder, prefix.slice(folder.length), after);
  else if (compareKeys(folder, after) > 0)
    yield* walkFolder(root, folder, prefix.slice(folder.length), folder);
}

/** The folders below `prefix` (empty or ending in `/`) that hold a key, in the order of `walk`, without their `/`. */
export async function* walkFolders(root: string, prefix: string): AsyncGenerator<string> {
  for (const entry of await entriesOf(root, prefix)) {
    if (!entry.isFolder) continue;
    const name = entry.order.subarray(0, -1).toString();
    const first = await walk(root, `${prefix}${name}/`).next();
    if (first.done !== true) yield name;
  }
}

/** `folder` is empty or ends in `/`; `after` starts with it. */
async function* walkFolder(
  root: string,
  folder: string,
  namePrefix: string,
  after: string,
): AsyncGenerator<readonly string[]> {
  const afterName = Buffer.from(after.slice(folder.length));
  const wanted = Buffer.from(namePrefix);
  let batch: string[] = [];
  for (const { order, isFolder } of await entriesOf(root, folder)) {
    if (!order.subarray(0, wanted.length).equals(wanted)) continue;
    const afterIsInside = isFolder && afterName.subarray(0, order.length).equals(order);
    if (!afterIsInside && Buffer.compare(order, afterName) <= 0) continue;
    const key = folder + order.toString();
    if (!isFolder) batch.push(key);
    if (batch.length > 0 && (isFolder || batch.length >= keysPerBatch)) {
      yield batch;
      batch = [];
    }
    if (isFolder) yield* walkFolder(root, key, '', afterIsInside ? after : key);
  }
  if (batch.length > 0) yield batch;
}

interface Entry {
  /** The name, with a `/` if it is a folder: sorted by this, a walk down the tree meets the full keys in order. */
  readonly order: Buffer;
  readonly isFolder: boolean;
}

async function entriesOf(root: string, folder: string): Promise<readonly Entry[]> {
  const entries = await readNames(join(root, folder));
  return entries
    .filter((entry) => (entry.isFile() || entry.isDirectory()) && isOurs(folder, entry.name))
    .map((entry) => ({
      order: entry.isDirectory() ? Buffer.concat([entry.name, slash]) : entry.name,
      isFolder: entry.isDirectory(),
    }))
    .sort((a, b) => Buffer.compare(a.order, b.order));
}

/** A folder that is gone, or is a file, has no names. */
async function readNames(path: string): Promise<readonly Dirent<Buffer>[]> {
  try {
    return await readdir(path, { withFileTypes: true, encoding: 'buffer' });
  } catch (error) {
    if (isFileError(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

/** Names that no key can have, because they aren't UTF-8, and the store's own folder are left out. */
function isOurs(folder: string, name: Buffer): boolean {
  const text = name.toString();
  return Buffer.from(text).equals(name) && !(folder === '' && text === reservedSegment);
}
