import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Slice, WrittenSlice } from './logql-slice.ts';

// Lines as text for grep, and as the files that the lake has of them after compaction.

export const startMs = Date.UTC(2026, 0, 15);
/** What goes into one file, which are then about 250 MB: lines of half a day. */
const sliceBytes = 1.25e9;
const sliceMs = 12 * 3_600_000;
const threads = 2;

export interface Corpus {
  /** Texts for grep, one of each file. */
  readonly raw: readonly string[];
  readonly paths: readonly string[];
  readonly rawBytes: number;
  readonly storedBytes: number;
  readonly lines: number;
  readonly endMs: number;
}

/** What an earlier run with --keep has left, or a new one. */
export async function corpusOf(
  folder: string,
  bytesMax: number,
  seed: number,
  level: number,
): Promise<Corpus> {
  const file = join(folder, `corpus-${bytesMax}-${seed}-${level}.json`);
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Corpus;
  const slices = Array.from(
    { length: Math.ceil(bytesMax / sliceBytes) },
    (_, number): Slice => ({
      ...{ folder, number, level, seed: seed + number, startMs: startMs + number * sliceMs },
      bytesMax: Math.min(sliceBytes, bytesMax - number * sliceBytes),
    }),
  );
  const corpus = together(await written(slices));
  writeFileSync(file, JSON.stringify(corpus));
  return corpus;
}

/** Each slice on a thread of its own, a few at a time. */
async function written(slices: readonly Slice[]): Promise<readonly WrittenSlice[]> {
  const found: WrittenSlice[] = [];
  const waiting = [...slices];
  const work = async (): Promise<void> => {
    for (let slice = waiting.shift(); slice; slice = waiting.shift()) {
      const worker = new Worker(new URL('./logql-slice.ts', import.meta.url), { workerData: slice });
      const done = Promise.withResolvers<WrittenSlice>();
      worker.on('message', done.resolve).on('error', done.reject);
      found[slice.number] = await done.promise;
    }
  };
  await Promise.all(Array.from({ length: threads }, work));
  return found;
}

function together(slices: readonly WrittenSlice[]): Corpus {
  const sum = (of: 'rawBytes' | 'storedBytes' | 'lines'): number =>
    slices.reduce((total, slice) => total + slice[of], 0);
  return {
    raw: slices.map(({ raw }) => raw),
    paths: slices.flatMap(({ paths }) => paths),
    ...{ rawBytes: sum('rawBytes'), storedBytes: sum('storedBytes'), lines: sum('lines') },
    endMs: slices.at(-1)?.endMs ?? startMs,
  };
}
