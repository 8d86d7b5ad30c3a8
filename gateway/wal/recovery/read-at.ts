import { openSync, readSync } from 'node:fs';

// Synchronous, because all of this runs in the WAL's own thread before the database is open.

/** Opens a file for reading; undefined when there is none. Throws what else the system says. */
export function openIfThere(path: string, flags: 'r' | 'r+' = 'r'): number | undefined {
  try {
    return openSync(path, flags);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

export const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';

/** Fills `into` from a position of the file; returns how many bytes there were (fewer only at the end of the file). */
export function readAt(file: number, into: Uint8Array, position: number): number {
  let filled = 0;
  while (filled < into.byteLength) {
    const count = readSync(file, into, filled, into.byteLength - filled, position + filled);
    if (count === 0) break;
    filled += count;
  }
  return filled;
}
