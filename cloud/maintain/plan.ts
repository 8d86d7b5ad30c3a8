import type { DataFile, ManifestEntry } from '../catalog/manifest-file.ts';
import type { FileGroup } from './rewrite.ts';

// Which files are to become one. Tiers are powers of `filesMin` in rows, and a merge takes at least `filesMin` files of
// one tier, so its output is of a higher one: a row is rewritten at most log(rowsMax) / log(filesMin) times. Rows and not
// bytes, because rows are conserved; thirty files of 2 KB may well be one of 3 KB.

export interface MergeLimits {
  /** Files of one day and tier that are merged. */
  readonly filesMin: number;
  /** The same for days before today, which get few new files: fewer are left over, each row is rewritten once or twice more. */
  readonly pastFilesMin: number;
  /** What one merge takes. A file of more than half of rowsMax or bytesMax is left as it is for good. */
  readonly filesMax: number;
  readonly rowsMax: number;
  readonly bytesMax: number;
}

/** The group with the most files that is not held, as far as it fits; undefined when none has enough. */
export function planMerge(
  entries: readonly ManifestEntry[],
  today: number,
  limits: MergeLimits,
  isHeld: (group: string) => boolean,
): FileGroup | undefined {
  const groups = new Map<string, { day: number; filesMin: number; entries: ManifestEntry[] }>();
  for (const entry of entries) {
    const { day, rows, bytes } = entry.file;
    if (day === undefined || 2 * rows > limits.rowsMax || 2 * bytes > limits.bytesMax) continue;
    const filesMin = day < today ? limits.pastFilesMin : limits.filesMin;
    const name = `day ${day} tier ${tierOf(rows, filesMin)}`;
    const group = groups.get(name) ?? { day, filesMin, entries: [] };
    groups.set(name, group);
    group.entries.push(entry);
  }
  const [largest] = [...groups]
    .filter(([name, group]) => group.entries.length >= group.filesMin && !isHeld(name))
    .sort(([, a], [, b]) => b.entries.length - a.entries.length);
  if (!largest) return undefined;
  const [group, { day, entries: inGroup }] = largest;
  const files = thoseThatFit(
    inGroup.toSorted((a, b) => a.sequenceNumber - b.sequenceNumber).map(({ file }) => file),
    limits,
  );
  return { group, day, files, rows: files.reduce((sum, { rows }) => sum + rows, 0) };
}

/** In whole numbers: a logarithm may round an exact power down. */
function tierOf(rows: number, factor: number): number {
  let tier = 0;
  for (let least = factor; least <= rows; least *= factor) tier++;
  return tier;
}

/** At least two: none is over half. */
function thoseThatFit(files: readonly DataFile[], { filesMax, rowsMax, bytesMax }: MergeLimits): DataFile[] {
  const fit: DataFile[] = [];
  let [rows, bytes] = [0, 0];
  for (const file of files.slice(0, filesMax)) {
    rows += file.rows;
    bytes += file.bytes;
    if (rows > rowsMax || bytes > bytesMax) break;
    fit.push(file);
  }
  return fit;
}
