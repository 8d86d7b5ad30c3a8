import { createHash } from 'node:crypto';
import { open, rename } from 'node:fs/promises';

const readBytesMax = 1024 * 1024;

/** Makes a written file durable under its final name, except for the folder's own entry: see `syncFolder`. */
export async function publishFile(
  temporaryPath: string,
  path: string,
): Promise<{ bytes: number; sha256: string }> {
  const summary = await hashFile(temporaryPath, true);
  await rename(temporaryPath, path);
  return summary;
}

/** Size and hex SHA-256 of a file; `sync` also flushes it to disk. Rejects as `open` does. */
export async function hashFile(path: string, sync = false): Promise<{ bytes: number; sha256: string }> {
  const file = await open(path, sync ? 'r+' : 'r');
  try {
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(readBytesMax);
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, readBytesMax, bytes);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
      bytes += bytesRead;
    }
    if (sync) await file.sync();
    return { bytes, sha256: hash.digest('hex') };
  } finally {
    await file.close();
  }
}

/** Makes the names in a folder durable. Windows has no such call and needs none. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
