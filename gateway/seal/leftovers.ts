import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { signals } from '../../lake/model/batch.ts';
import { openWalReader } from '../wal/reader.ts';

/**
 * Removes files that a crash left behind: temporary ones, segments whose seal or merge was not committed, and merged
 * or expired ones that were not deleted yet. Runs before anything reads or writes them. Returns how many there were.
 */
export async function removeLeftovers(walPath: string, dataDir: string): Promise<number> {
  using reader = openWalReader(walPath);
  let removed = 0;
  for (const signal of signals) {
    const known = new Set(reader.segments(signal).map(({ path }) => path));
    for (const name of await namesIn(join(dataDir, 'segments', signal))) {
      if (known.has(`segments/${signal}/${name}`)) continue;
      await rm(join(dataDir, 'segments', signal, name), { force: true, recursive: true });
      removed++;
    }
  }
  return removed;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
