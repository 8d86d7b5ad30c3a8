import { readPresence, readTextCells, readWideCells, type WideCells } from '../../parquet/column-cells.ts';
import {
  type ColumnChunk,
  type ColumnsFile,
  corrupt,
  readColumnsFile,
  unsupported,
  withFile,
} from '../../parquet/columns-file.ts';
import type { SeriesTable } from './series-table.ts';

/** Which series an immutable file has, and where their rows are. */
export interface FileIndex {
  readonly path: string;
  readonly groups: readonly GroupIndex[];
  readonly bytes: number;
}

/** A row group: runs of rows of one series. */
export interface GroupIndex {
  readonly rows: number;
  /** Number of each run's series. */
  readonly series: Uint32Array;
  /** First row of each run, and where the last one ends. */
  readonly starts: Uint32Array;
  /** The runs in the order of the numbers of their series. */
  readonly bySeries: Uint32Array;
  /** 1 for runs that have more than a number at a time: SQL reads those. */
  readonly special: Uint8Array | undefined;
  /** Milliseconds, inclusive. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly chunks: ColumnsFile['groups'][number]['chunks'];
}

/** Beside the arrays. */
const bytesPerGroup = 2_000;

/**
 * Reads which series a file of metrics has. Throws FirnError `unsupported` when it is written as no writer of ours does,
 * `corrupt` when it is damaged.
 */
export function readFileIndex(path: string, table: SeriesTable): FileIndex {
  const file = readColumnsFile(path);
  return withFile(path, (fd) => {
    const groups: GroupIndex[] = [];
    try {
      for (const group of file.groups) if (group.rows > 0) groups.push(readGroup(fd, path, group, table));
    } catch (error) {
      for (const { series } of groups) table.release(series);
      throw error;
    }
    const bytes = groups.reduce(
      (sum, { series, special }) => sum + bytesPerGroup + series.length * (special ? 13 : 12),
      0,
    );
    return { path, groups, bytes };
  });
}

function readGroup(
  fd: number,
  path: string,
  { rows, chunks }: ColumnsFile['groups'][number],
  table: SeriesTable,
): GroupIndex {
  const chunk = (name: string): ColumnChunk => {
    const found = chunks.get(name);
    if (found === undefined) throw unsupported(path, `it has no column ${name}`);
    return found;
  };
  const ids = readWideCells(fd, path, chunk('series_id'));
  if (ids.present) throw unsupported(path, 'series_id has nulls');
  const starts = runStarts(ids, rows);
  const labels = lazy(() => readTextCells(fd, path, chunk('labels')));
  const series = new Uint32Array(starts.length - 1);
  for (let run = 0; run < series.length; run++) {
    const row = starts[run] ?? 0;
    series[run] = table.add(ids.entries[ids.codes ? (ids.codes[row] ?? 0) : row] ?? 0n, () =>
      labels().text(row),
    );
  }
  const bySeries = sortedRuns(series);
  const { min, max } = chunk('timestamp');
  if (min?.length !== 8 || max?.length !== 8) throw unsupported(path, 'it has no bounds of time');
  return {
    ...{ rows, series, starts, bySeries, chunks },
    special: specialRuns(fd, path, rows, chunks, starts),
    firstMs: Math.floor(Number(min.readBigInt64LE()) / 1000),
    lastMs: Math.floor(Number(max.readBigInt64LE()) / 1000),
  };
}

/** By series and then by run, as numbers of both: an order that calls nothing is made many times quicker. */
function sortedRuns(series: Uint32Array): Uint32Array {
  const runs = series.length;
  const keys = Float64Array.from(series, (number, run) => number * runs + run).sort();
  return Uint32Array.from(keys, (key) => key % runs);
}

function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** Where the series changes; the number of rows at last. */
function runStarts({ entries, codes }: WideCells, rows: number): Uint32Array {
  const starts = new Uint32Array(rows + 1);
  let runs = 1;
  if (codes) {
    for (let row = 1; row < rows; row++) if (codes[row] !== codes[row - 1]) starts[runs++] = row;
  } else {
    const halves = new Uint32Array(entries.buffer);
    for (let row = 1; row < rows; row++)
      if (halves[2 * row] !== halves[2 * row - 2] || halves[2 * row + 1] !== halves[2 * row - 1])
        starts[runs++] = row;
  }
  starts[runs++] = rows;
  return starts.slice(0, runs);
}

/** Runs with a native histogram, a time since when it counts, or a row without value. */
function specialRuns(
  fd: number,
  path: string,
  rows: number,
  chunks: GroupIndex['chunks'],
  starts: Uint32Array,
): Uint8Array | undefined {
  const isSpecial: ((row: number) => boolean)[] = [];
  for (const name of ['histogram', 'start_timestamp', 'value']) {
    const chunk = chunks.get(name);
    if (chunk === undefined) {
      if (name === 'value') throw corrupt(path, 'it has no column value');
      continue;
    }
    const wanted = name === 'value' ? 0 : rows;
    if (!chunk.optional && name === 'value') continue;
    if (chunk.nulls === wanted) continue;
    const present = readPresence(fd, path, chunk);
    if (name !== 'value') isSpecial.push((row) => present === undefined || present[row] === 1);
    else if (present) isSpecial.push((row) => present[row] === 0);
  }
  if (isSpecial.length === 0) return undefined;
  const special = new Uint8Array(starts.length - 1);
  for (let run = 0; run < special.length; run++) {
    const end = starts[run + 1] ?? 0;
    for (let row = starts[run] ?? 0; row < end && special[run] === 0; row++)
      if (isSpecial.some((test) => test(row))) special[run] = 1;
  }
  return special.includes(1) ? special : undefined;
}
