import type { Signal } from '../../lake/model/batch.ts';
import { type StreamClass, streamClasses } from '../../lake/model/stream-class.ts';
import type { DiskPressure } from './pressure.ts';

// The ladder: what to give up next when room gets short, the least valuable first. Pure; executor.ts does it.

/**
 * What removing a local file would cost.
 * `committed`: the lake has its rows. `shipped`: its bytes and the manifest that names them are at the store, the
 * receipt is missing. `refused`: the cloud does not take it, which is on record as a gap already. `uploaded`: its bytes
 * are at the store, no manifest names them. `composed`: a manifest that is on its way names it, so it stays.
 * `waiting`: its rows are here and nowhere else.
 */
export type FileState = CopyState | 'uploaded' | 'composed' | 'waiting';
type CopyState = 'committed' | 'shipped' | 'refused';

export interface LadderFile {
  /** Relative to the data folder. */
  readonly path: string;
  readonly signal: Signal;
  readonly class: StreamClass;
  readonly day: string;
  readonly state: FileState;
  readonly rows: number;
  readonly bytes: number;
  readonly minTimestampUs: number;
  readonly maxTimestampUs: number;
}

export interface LadderSettings {
  /** Shares of the budget at which each step begins. */
  readonly dropCachedAt: number;
  readonly rollUpAt: number;
  readonly dropAt: number;
  /** What one step takes at most. */
  readonly filesPerStepMax: number;
  readonly rollUpRowsMax: number;
  readonly rollUpBytesMax: number;
}

export const ladderDefaults: LadderSettings = {
  dropCachedAt: 0.7,
  rollUpAt: 0.8,
  dropAt: 0.9,
  filesPerStepMax: 500,
  rollUpRowsMax: 2_000_000,
  rollUpBytesMax: 64 * 1024 * 1024,
};

/** A step frees this share of the budget more than it must, so that not every new file makes another step. */
const slack = 0.02;

export type LadderStep =
  /** Costs nothing but local answers: the rows are elsewhere. */
  | { readonly kind: 'remove-copies'; readonly state: CopyState; readonly files: Files }
  /** Raw metrics of one day become their last sample of each minute and rollups. */
  | { readonly kind: 'roll-up'; readonly files: Files }
  /** The rows are gone. */
  | { readonly kind: 'drop'; readonly class: StreamClass; readonly files: Files };

type Files = readonly LadderFile[];

/**
 * The files there are, the oldest first: by the order in which they were received, whatever their clocks said. Of the
 * table `gaps` only copies: those rows say what is missing, are few, and stay until the lake has them.
 */
export interface LadderFiles {
  oldest(filter: LadderFilter, filesMax: number): readonly LadderFile[];
  /** Raw metrics that one roll-up may take: neighbours of one day and class, whose rows are nowhere else. */
  oldestRun(filesMax: number): readonly LadderFile[];
}

interface LadderFilter {
  readonly state: FileState;
  readonly class?: StreamClass;
}

/** The next step, or undefined when all is well or nothing is left that may be given up. */
export function nextStep(
  pressure: DiskPressure,
  files: LadderFiles,
  settings: LadderSettings,
): LadderStep | undefined {
  const { ratio } = pressure;
  if (ratio < settings.dropCachedAt) return undefined;
  const copies = removeCopies(pressure, files, settings, 'committed', settings.dropCachedAt);
  if (copies !== undefined || ratio < settings.rollUpAt) return copies;
  const rolled = rollUp(pressure, files, settings);
  if (rolled !== undefined || ratio < settings.dropAt) return rolled;
  return (
    removeCopies(pressure, files, settings, 'shipped', settings.dropAt) ??
    removeCopies(pressure, files, settings, 'refused', settings.dropAt) ??
    drop(pressure, files, settings)
  );
}

function removeCopies(
  pressure: DiskPressure,
  files: LadderFiles,
  settings: LadderSettings,
  state: CopyState,
  threshold: number,
): LadderStep | undefined {
  const found = files.oldest({ state }, settings.filesPerStepMax);
  if (found.length === 0) return undefined;
  return { kind: 'remove-copies', state, files: enough(found, excessBytes(pressure, threshold)) };
}

function rollUp(
  pressure: DiskPressure,
  files: LadderFiles,
  settings: LadderSettings,
): LadderStep | undefined {
  const { filesPerStepMax, rollUpRowsMax, rollUpBytesMax } = settings;
  // What is written needs room before what it replaces is gone.
  const bytesMax = Math.min(rollUpBytesMax, pressure.freeBytes / 2);
  const group: LadderFile[] = [];
  let [rows, bytes] = [0, 0];
  for (const file of files.oldestRun(filesPerStepMax)) {
    rows += file.rows;
    bytes += file.bytes;
    if (rows > rollUpRowsMax || bytes > bytesMax) break;
    group.push(file);
  }
  return group.length > 0 ? { kind: 'roll-up', files: group } : undefined;
}

function drop(pressure: DiskPressure, files: LadderFiles, settings: LadderSettings): LadderStep | undefined {
  const excess = excessBytes(pressure, settings.dropAt);
  for (const state of ['waiting', 'uploaded'] as const) {
    for (const of of [...streamClasses].reverse()) {
      // Not for rows of a lesser class that are not sealed yet: they are dropped when they are.
      if (of === 'alarms' && pressure.filesRatio < settings.dropAt) continue;
      const found = files.oldest({ state, class: of }, settings.filesPerStepMax);
      if (found.length > 0) return { kind: 'drop', class: of, files: enough(found, excess) };
    }
  }
  return undefined;
}

function excessBytes({ ownBytes, budgetBytes }: DiskPressure, threshold: number): number {
  return ownBytes - Math.max(0, budgetBytes) * (threshold - slack);
}

/** The first files that hold so many bytes together; at least one. */
function enough(files: Files, bytes: number): Files {
  let sum = 0;
  const end = files.findIndex((file) => {
    sum += file.bytes;
    return sum >= bytes;
  });
  return end < 0 ? files : files.slice(0, end + 1);
}
