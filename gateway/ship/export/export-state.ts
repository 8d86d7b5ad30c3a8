import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileDurably } from '../../../lake/bundle/stick.ts';

// What was exported, in a file of its own. It decides no more than what `--new` leaves out, and whether a shipment whose
// file is damaged now may be changed: where it is lost, more is exported than needed.

const stateSchema = z.object({
  /** Of the ranges. */
  epoch: z.number().int(),
  /** Numbers that have reached a stick: first and last, in order, apart from each other. */
  ranges: z.array(z.tuple([z.number().int(), z.number().int()])),
});
type ExportState = z.infer<typeof stateSchema>;

export interface ExportedNumbers {
  has(epoch: number, number: number): boolean;
}

export interface NumberRange {
  readonly epoch: number;
  readonly first: number;
  readonly last: number;
}

const fileOf = (dataDir: string): string => join(dataDir, 'exported.json');

export async function readExported(dataDir: string): Promise<ExportedNumbers> {
  const state = await read(dataDir);
  return {
    has: (epoch, number) =>
      state?.epoch === epoch && state.ranges.some(([first, last]) => first <= number && number <= last),
  };
}

/** Ranges of an older epoch are forgotten. */
export async function addExported(dataDir: string, { epoch, first, last }: NumberRange): Promise<void> {
  const before = await read(dataDir);
  const ranges = before?.epoch === epoch ? before.ranges : [];
  const next: ExportState = { epoch, ranges: union([...ranges, [first, last]]) };
  await writeFileDurably(fileOf(dataDir), `${JSON.stringify(next)}\n`);
}

async function read(dataDir: string): Promise<ExportState | undefined> {
  try {
    return stateSchema.parse(JSON.parse(await readFile(fileOf(dataDir), 'utf8')));
  } catch {
    return undefined;
  }
}

function union(ranges: readonly [number, number][]): [number, number][] {
  const merged: [number, number][] = [];
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const before = merged.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else merged.push([first, last]);
  }
  return merged;
}
