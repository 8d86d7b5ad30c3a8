import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Signal, signals } from '../../../lake/model/batch.ts';
import type { Gap } from '../../../lake/model/gap.ts';
import { parseSegmentName } from '../../../lake/model/keys.ts';
import { classOfSignal } from '../../../lake/model/stream-class.ts';
import type { WalReader } from '../reader.ts';
import type { SegmentRecord } from '../wal.ts';
import { damagedFolder } from './damaged-folder.ts';
import { namesIn } from './log-files.ts';
import type { FoundFile } from './plan-reconcile.ts';
import { isMissing } from './read-at.ts';

/** The segment files that are there, and names in their folders that are none. */
export function findSegmentFiles(dataDir: string): { files: FoundFile[]; others: string[] } {
  const files: FoundFile[] = [];
  const others: string[] = [];
  for (const signal of signals)
    for (const name of namesIn(join(dataDir, 'segments', signal))) {
      const path = `segments/${signal}/${name}`;
      const place = parseSegmentName(name);
      if (place === undefined) others.push(path);
      else files.push({ path, signal, place });
    }
  return { files, others };
}

/** The rows of the table, with what their names say. */
export function namedSegments(reader: WalReader) {
  return signals.flatMap((signal) =>
    reader.segments(signal).flatMap((record) => {
      const place = parseSegmentName(basename(record.path));
      return place === undefined ? [] : [{ ...record, place }];
    }),
  );
}

export async function removeFiles(dataDir: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(join(dataDir, path), { force: true, recursive: true });
}

/** Puts a file that can't be read where a person finds it and nothing else does. */
export async function moveToDamaged(dataDir: string, path: string): Promise<void> {
  const to = join(damagedFolder(dataDir), path);
  await mkdir(dirname(to), { recursive: true });
  await rename(join(dataDir, path), to).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
}

/** A file that is gone although nobody else has its rows. */
export function gapOfMissing({ path, signal, class: of, rows, ...times }: SegmentRecord): Gap {
  const range = { fromUs: times.minTimestampUs, toUs: times.maxTimestampUs };
  const detail = `the file ${path} is missing`;
  return { ...range, signal, class: of, kind: 'gap', reason: 'missing-segment', rows, detail };
}

const dayUs = 86_400_000_000;

/** A file that can't be read and that no table tells anything of: all that is known is its day. */
export function gapOfUnreadable({ path, signal, place }: FoundFile): Gap {
  const fromUs = Date.parse(`${place.day}T00:00:00Z`) * 1000;
  const range = Number.isNaN(fromUs) ? { fromUs: 0, toUs: 0 } : { fromUs, toUs: fromUs + dayUs - 1 };
  const detail = `the file ${path} can't be read`;
  const of = place.class ?? classOfSignal(signal);
  return { ...range, signal, class: of, kind: 'gap', reason: 'damaged-segment', rows: null, detail };
}

/** Rows by signal. */
export function rowsBySignal(records: readonly SegmentRecord[]): Map<Signal, number> {
  const rows = new Map<Signal, number>();
  for (const record of records) rows.set(record.signal, (rows.get(record.signal) ?? 0) + record.rows);
  return rows;
}
