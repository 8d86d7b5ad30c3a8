import { dirname } from 'node:path';
import { FirnError } from '../base/errors.ts';
import type { RowColumn } from '../model/batch.ts';
import type { TableName } from '../model/table-name.ts';
import { dayOfUs, dayText, type TableSchema, tableSchemas } from '../schema/tables.ts';
import { halvesOf } from './dictionary.ts';
import { publishFile, syncFolder } from './durable-file.ts';
import { otherRows } from './merge-request.ts';
import { createParquetFile } from './parquet-file.ts';
import { type RowGroupBuilder, type Rows, rowGroupBuilder } from './row-group-builder.ts';
import { openSegment, type SegmentReader } from './segment-reader.ts';
import type { SegmentFile } from './segment-writer.ts';
import { compareUtf8 } from './series-order.ts';

// Sorted files become one sorted file: of each input one row group is in memory, whatever the files hold. Rows go over
// in runs, as long as one input is ahead of all others: files of a gateway follow each other in time, so a run is mostly
// all that a file has of a series.

export interface StreamingMerge {
  readonly signal: TableName;
  /** Sorted segments of one day, the oldest first: rows that are equal in the sort order stay in this order. */
  readonly paths: readonly string[];
  /** How many rows they hold together. */
  readonly rows: number;
  readonly path: string;
  /** What the row groups that are held at once may need. */
  readonly memoryBytesMax: number;
  /** Rows to leave out. */
  readonly leaveOut?: RowTest;
  /** Of zstd; absent: a quick one. */
  readonly compressionLevel?: number;
}

/** Made once for each row group that is read; true for a row that goes. */
export type RowTest = (rows: Rows) => (row: number) => boolean;

export interface MergedSegment {
  /** Undefined when no row is left. */
  readonly file: SegmentFile | undefined;
  /** Rows that were there already. */
  readonly repeated: number;
  readonly leftOut: number;
}

/** Of the file that is made. Larger groups compress little better and take more memory when they are merged. */
const rowGroupLimits = { rowsMax: 131_072, charsMax: 8 * 1024 * 1024 };
/** A row in memory takes about so many times what its page takes: text is held by reference, and numbers unpacked. */
const memoryFactor = 3;

/**
 * Writes the file, durable when it resolves; the inputs stay as they are. Throws FirnError `corrupt` when they do not
 * hold the rows that they should or are not sorted, `limit` when their row groups are too large together, `unsupported`
 * for files of other writers.
 */
export async function mergeStreaming(request: StreamingMerge): Promise<MergedSegment> {
  const { signal, paths, rows, path, memoryBytesMax } = request;
  const schema = tableSchemas[signal];
  await using stack = new AsyncDisposableStack();
  const inputs: Input[] = [];
  let [found, bytes] = [0, 0];
  for (const [index, each] of paths.entries()) {
    const segment = stack.use(await openSegment(each, signal, rows - found));
    found += segment.rows;
    bytes += memoryFactor * Math.max(0, ...segment.groups.map((group) => group.uncompressedBytes));
    inputs.push(newInput(each, index, segment, schema));
  }
  if (found !== rows) throw otherRows(path, rows, [`${found}`]);
  if (bytes > memoryBytesMax) throw tooLarge(path, bytes, memoryBytesMax);
  const temporaryPath = `${path}.tmp`;
  const file = stack.use(await createParquetFile(temporaryPath, schema, request.compressionLevel));
  const builder = rowGroupBuilder(schema, file, rowGroupLimits);
  const leftOut = await mergeInputs(inputs, builder, request.leaveOut);
  const { rows: kept, repeated, bounds } = await builder.finish();
  if (kept + repeated + leftOut !== rows) throw otherRows(path, rows, [`${kept + repeated + leftOut}`]);
  if (kept === 0) return { file: undefined, repeated, leftOut };
  await file.finish();
  await stack.disposeAsync();
  const [minUs, maxUs] = [Number(bounds.timestamp?.min), Number(bounds.timestamp?.max)];
  const days = [dayText(dayOfUs(minUs)), dayText(dayOfUs(maxUs))];
  if (days[0] !== days[1]) throw otherRows(path, rows, [days.join(' to ')]);
  const published = await publishFile(temporaryPath, path);
  await syncFolder(dirname(path));
  const times = { minTimestampUs: minUs, maxTimestampUs: maxUs };
  return {
    file: { day: days[0] ?? '', path, ...published, rows: kept, bounds, ...times },
    repeated,
    leftOut,
  };
}

/** A sort column of a row group, for comparing. */
type Key = { readonly texts: readonly unknown[] } | { readonly halves: Uint32Array };

/** One file, and where in it we are. */
interface Input {
  readonly path: string;
  /** Breaks ties. */
  readonly index: number;
  /** Reads the next row group; false at the end. */
  next(): Promise<boolean>;
  rows: Rows;
  keys: readonly Key[];
  row: number;
}

function newInput(path: string, index: number, { groups }: SegmentReader, schema: TableSchema): Input {
  let at = 0;
  const input: Input = {
    ...{ path, index, rows: { rows: 0, columns: new Map() }, keys: [], row: 0 },
    next: async () => {
      const before = { rows: input.rows.rows, keys: input.keys };
      for (let group = groups[at]; group; group = groups[at]) {
        at++;
        if (group.rows === 0) continue;
        const columns = await group.read(schema.columns);
        input.rows = { rows: group.rows, columns };
        input.keys = schema.sortBy.map((name) => keyOf(columns.get(name)));
        input.row = 0;
        checkOrder(input, before);
        return true;
      }
      return false;
    },
  };
  return input;
}

const keyOf = (column: RowColumn | undefined): Key =>
  column instanceof BigInt64Array
    ? { halves: halvesOf(column) }
    : { texts: (column as readonly unknown[] | undefined) ?? [] };

function compareRows(a: readonly Key[], rowA: number, b: readonly Key[], rowB: number): number {
  for (let at = 0; at < a.length; at++) {
    const [one, other] = [a[at], b[at]];
    if (one === undefined || other === undefined) continue;
    if ('halves' in one && 'halves' in other) {
      const high = ((one.halves[2 * rowA + 1] ?? 0) | 0) - ((other.halves[2 * rowB + 1] ?? 0) | 0);
      if (high !== 0) return high;
      const low = (one.halves[2 * rowA] ?? 0) - (other.halves[2 * rowB] ?? 0);
      if (low !== 0) return low;
    } else if ('texts' in one && 'texts' in other) {
      const [textA, textB] = [one.texts[rowA], other.texts[rowB]];
      if (textA === textB) continue;
      const order = compareUtf8(String(textA), String(textB));
      if (order !== 0) return order;
    }
  }
  return 0;
}

/** A file out of order would make one out of order, whose bounds and runs nobody could trust. */
function checkOrder({ path, rows, keys }: Input, before: { rows: number; keys: readonly Key[] }): void {
  let sorted = before.rows === 0 || compareRows(before.keys, before.rows - 1, keys, 0) <= 0;
  for (let row = 1; sorted && row < rows.rows; row++) sorted = compareRows(keys, row - 1, keys, row) <= 0;
  if (sorted) return;
  throw new FirnError({
    code: 'unsupported',
    operation: 'merge segments',
    subject: path,
    message: `${path} is not in the sort order of its table`,
  });
}

/** Returns how many rows were left out. */
async function mergeInputs(
  inputs: readonly Input[],
  builder: RowGroupBuilder,
  leaveOut: RowTest | undefined,
): Promise<number> {
  const active: Input[] = [];
  const tests = new Map<Input, (row: number) => boolean>();
  const enter = async (input: Input): Promise<void> => {
    if (input.row >= input.rows.rows) {
      if (!(await input.next())) return;
      if (leaveOut) tests.set(input, leaveOut(input.rows));
    }
    insert(active, input);
  };
  for (const input of inputs) await enter(input);
  let leftOut = 0;
  for (let input = active.shift(); input; input = active.shift()) {
    const end = runEnd(input, active[0]);
    leftOut += await appendRun(builder, input, end, tests.get(input));
    input.row = end;
    await enter(input);
  }
  return leftOut;
}

async function appendRun(
  builder: RowGroupBuilder,
  { rows, row }: Input,
  end: number,
  goes: ((row: number) => boolean) | undefined,
): Promise<number> {
  if (goes === undefined) {
    await builder.append(rows, row, end);
    return 0;
  }
  let leftOut = 0;
  for (let start = row; start < end; ) {
    if (goes(start)) {
      leftOut++;
      start++;
      continue;
    }
    let keptEnd = start + 1;
    while (keptEnd < end && !goes(keptEnd)) keptEnd++;
    await builder.append(rows, start, keptEnd);
    start = keptEnd;
  }
  return leftOut;
}

const isBefore = (a: Input, rowA: number, b: Input): boolean => {
  const order = compareRows(a.keys, rowA, b.keys, b.row);
  return order < 0 || (order === 0 && a.index < b.index);
};

/** Into the inputs in the order of their rows, by halving. */
function insert(active: Input[], input: Input): void {
  let [low, high] = [0, active.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = active[middle];
    if (other && isBefore(other, other.row, input)) low = middle + 1;
    else high = middle;
  }
  active.splice(low, 0, input);
}

/** The first row of `input` that is not before the next input's; all of the row group's rows may be. */
function runEnd(input: Input, next: Input | undefined): number {
  const { rows } = input.rows;
  if (next === undefined) return rows;
  let step = 1;
  let low = input.row + 1;
  while (low + step < rows && isBefore(input, low + step, next)) {
    low += step;
    step *= 2;
  }
  let high = Math.min(low + step, rows);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(input, middle, next)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function tooLarge(path: string, bytes: number, bytesMax: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'merge segments',
    subject: 'maintain.memoryBytesMax',
    message: `the row groups of the files of ${path} need ${bytes} bytes of memory; ${bytesMax} are allowed`,
  });
}
