import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { createSeqSet, type SeqSet } from './seq-set.ts';
import { syncFolderOf } from './wal-mark.ts';

// `damaged/<job>/places`: which places of the running log the batches of a log that was moved aside came to. The running
// log may lose its end, and the job's cursor with it, after batches of the job were sealed: without this the job would
// bring them back a second time. One line of JSON for each part that was restored.

interface Places {
  /** Of the log that the batches came to; 0: that log has ended, and they are stored. */
  readonly epoch: number;
  /** The place of the first one; the others follow it without holes. */
  readonly first: number;
  /** Their places in the log that was moved aside. */
  readonly seqs: readonly number[];
}

const pathIn = (folder: string): string => join(folder, 'places');

/** Durable when it returns. To be called before a seal that holds the batches can be committed. */
export function appendPlaces(folder: string, places: Places): void {
  if (!existsSync(folder)) return;
  const file = openSync(pathIn(folder), 'a');
  try {
    // A line of its own, even after one that was torn.
    writeSync(file, `\n${JSON.stringify(places)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Logs that have ended: those of epochs [from, to). */
interface EndedLogs {
  readonly from: number;
  readonly to: number;
}

/** Keeps of the places in logs that have ended only those whose batches are stored elsewhere. */
export function settlePlaces(
  folder: string,
  { from, to }: EndedLogs,
  isStored: (place: number) => boolean,
): void {
  const lines = readPlaces(folder);
  const hasEnded = ({ epoch }: Places): boolean => epoch >= from && epoch < to;
  if (!lines.some(hasEnded)) return;
  const settled = lines.map((line) =>
    hasEnded(line)
      ? { epoch: 0, first: 0, seqs: line.seqs.filter((_, index) => isStored(line.first + index)) }
      : line,
  );
  const path = pathIn(folder);
  const file = openSync(`${path}.tmp`, 'w');
  try {
    writeFileSync(file, settled.map((line) => `${JSON.stringify(line)}\n`).join(''));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.tmp`, path);
  syncFolderOf(path);
}

/** Batches of the log that was moved aside that are not to be brought back again, whatever the job's cursor says. */
export function storedPlaces(folder: string): SeqSet {
  const stored = createSeqSet();
  for (const { epoch, seqs } of readPlaces(folder)) if (epoch === 0) for (const seq of seqs) stored.add(seq);
  return stored;
}

function readPlaces(folder: string): Places[] {
  if (!existsSync(pathIn(folder))) return [];
  return readFileSync(pathIn(folder), 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as Places];
      } catch {
        return []; // torn: its part was not sealed when the power went
      }
    });
}
