import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileDurably } from '../../../lake/bundle/stick.ts';

// How far shipments were exported: only a convenience, for `--new`. Where it is lost, more is exported than needed.

const markSchema = z.object({ epoch: z.number().int(), number: z.number().int() });
export type ExportedMark = z.infer<typeof markSchema>;

const fileOf = (dataDir: string): string => join(dataDir, 'exported.json');

export async function readExportedMark(dataDir: string): Promise<ExportedMark | undefined> {
  try {
    return markSchema.parse(JSON.parse(await readFile(fileOf(dataDir), 'utf8')));
  } catch {
    return undefined;
  }
}

export async function writeExportedMark(dataDir: string, mark: ExportedMark): Promise<void> {
  const before = await readExportedMark(dataDir);
  if (before && before.epoch === mark.epoch && before.number >= mark.number) return;
  await writeFileDurably(fileOf(dataDir), `${JSON.stringify({ epoch: mark.epoch, number: mark.number })}\n`);
}
