import type { Gap } from '../../lake/model/gap.ts';
import { mergeGaps } from '../gaps/merge-gaps.ts';
import type { LadderFile } from './ladder.ts';

// What the table `gaps` says about a step of the ladder. Files next to each other in time share a row.

const diskReason = 'disk-budget';
const limits = { mergeWindowUs: 3_600_000_000, gapsMax: 50 } as const;

/** All rows of these files are gone. */
export const gapsOfDropped = (files: readonly LadderFile[]): Gap[] =>
  mergeGaps(
    files.map((file) => gapOf(file, 'gap', file.rows, detailOf(file))),
    limits,
  );

const detailOf = ({ state }: LadderFile): string | null =>
  state === 'uploaded' ? 'uploaded, but in no shipment' : null;

/** Of these files `removedRows` samples are gone, and their minutes are rows of metrics_1m. */
export function gapsOfRolledUp(files: readonly LadderFile[], removedRows: number): Gap[] {
  const [first] = files;
  if (first === undefined) return [];
  const range = {
    fromUs: Math.min(...files.map(({ minTimestampUs }) => minTimestampUs)),
    toUs: Math.max(...files.map(({ maxTimestampUs }) => maxTimestampUs)),
  };
  const detail = 'the last sample of each minute is in metrics; min, max, sum and count are in metrics_1m';
  return [{ ...gapOf(first, 'rollup', removedRows, detail), ...range }];
}

function gapOf(file: LadderFile, kind: Gap['kind'], rows: number, detail: string | null): Gap {
  const { signal, class: of, minTimestampUs: fromUs, maxTimestampUs: toUs } = file;
  return { signal, class: of, kind, reason: diskReason, fromUs, toUs, rows, detail };
}
