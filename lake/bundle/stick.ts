import { createHash } from 'node:crypto';
import { lstat, mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FirnError } from '../base/errors.ts';
import { syncFolder } from '../parquet/durable-file.ts';

/** What is written to a stick goes through this, so that a test can pull it out at any step. Names are relative, with /. */
export interface Stick {
  /** For messages. */
  readonly path: string;
  makeFolder(name: string): Promise<void>;
  /** Creates or replaces a file; when it resolves the bytes are on the stick, though not the folder's entry. */
  write(name: string, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<FileSummary>;
  rename(from: string, to: string): Promise<void>;
  /** Makes the names in a folder durable. */
  syncFolder(name: string): Promise<void>;
  /** Removes a file or a folder with all that is in it; no error when it is not there. */
  remove(name: string): Promise<void>;
  /** What can still be written, and the size that every file's is rounded up to. */
  space(): Promise<{ readonly freeBytes: number; readonly blockBytes: number }>;
}

interface FileSummary {
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/** A stick that is mounted at a folder. Throws FirnError `invalid` when that is not there. */
export async function openStick(path: string): Promise<Stick> {
  await checkStick(path);
  const at = (name: string): string => join(path, name);
  return {
    path,
    makeFolder: async (name) => void (await mkdir(at(name), { recursive: true })),
    write: (name, chunks) => writeDurably(at(name), chunks),
    rename: (from, to) => rename(at(from), at(to)),
    syncFolder: (name) => syncFolder(at(name)),
    remove: (name) => rm(at(name), { recursive: true, force: true }),
    space: async () => {
      const { blocks, bavail, bsize } = await statfs(path);
      // A driver that does not know says that there is nothing at all; then a full stick shows itself in writing.
      return { freeBytes: blocks === 0 ? Number.MAX_SAFE_INTEGER : bavail * bsize, blockBytes: bsize };
    },
  };
}

/** Throws FirnError `invalid` when the folder is not there: one that was made would hide a stick that isn't mounted. */
async function checkStick(path: string): Promise<void> {
  const info = await lstat(join(path, '.')).catch(() => undefined);
  if (info?.isDirectory()) return;
  throw new FirnError({
    code: 'invalid',
    operation: 'open stick',
    subject: path,
    message: `${path} is not a folder`,
    hint: 'mount the stick first, and give the folder where it is mounted',
  });
}

/** A small file on a disk of our own: whole and durable, or as it was. */
export async function writeFileDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  await writeDurably(temporary, [Buffer.from(text)]);
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

async function writeDurably(
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<FileSummary> {
  const file = await open(path, 'w');
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of chunks) {
      hash.update(chunk);
      bytes += chunk.byteLength;
      await file.writeFile(chunk);
    }
    await file.sync();
    return { bytes, sha256: hash.digest('hex') };
  } finally {
    await file.close();
  }
}
