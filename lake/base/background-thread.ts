import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { basename } from 'node:path';

/** Of 19, the least urgent: a tenth of the weight of a thread that receives, when both want the same core. */
const niceness = 10;

/**
 * Called by a worker thread whose work may wait (queries): where both want the processor, threads that receive come first.
 * Linux only, where threads have priorities of their own; elsewhere nothing changes.
 */
export function runInBackground(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(Number(basename(readlinkSync('/proc/thread-self'))), niceness);
  } catch {
    // Without /proc, or forbidden to: it runs as urgently as others.
  }
}
