import type { RowColumn } from '../model/batch.ts';
import { isDense } from '../schema/batch-columns.ts';
import type { Column, TableSchema } from '../schema/tables.ts';
import { halvesOf } from './dictionary.ts';
import type { ParquetFile } from './parquet-file.ts';
import { type ColumnValues, extremes, extremes64 } from './parquet-pages.ts';
import type { SegmentFile } from './segment-writer.ts';
import { compareUtf8 } from './series-order.ts';

// Rows that arrive in the table's sort order, cut into row groups. A row that the table has already is left out
// (`sameRowBy`): equal rows are neighbours, so only those that share the sort key are looked at.

/** Rows of some file: columns by name; one that is absent is null in every row. */
export interface Rows {
  readonly rows: number;
  readonly columns: ReadonlyMap<string, RowColumn>;
}

export interface RowGroupBuilder {
  /** Takes rows [from, to), which are in order and come after those before. Resolves when there is room for more. */
  append(rows: Rows, from: number, to: number): Promise<void>;
  finish(): Promise<Pick<SegmentFile, 'rows' | 'bounds'> & { readonly repeated: number }>;
}

/** Rows with the sort key of a new row that it is compared with; of more, the latest. */
const comparedRowsMax = 256;

type Dense = BigInt64Array<ArrayBuffer>;
type Cells = (string | bigint | null)[];

interface Held {
  readonly column: Column;
  /** Where the column has no nulls: 64-bit integers, or doubles by their bits. */
  readonly dense: Dense | undefined;
  cells: Cells;
  /** Whether a cell of this row group is not null. */
  present: boolean;
}

interface Limits {
  readonly rowsMax: number;
  /** About how many characters of text. */
  readonly charsMax: number;
}

export function rowGroupBuilder(schema: TableSchema, file: ParquetFile, limits: Limits): RowGroupBuilder {
  const rowGroup = openRowGroup(schema, limits);
  const same = repetition(schema, rowGroup.held);
  const bounds = new Map<string, (bigint | string)[]>();
  let [written, repeated] = [0, 0];

  async function flush(): Promise<void> {
    const { held, rows } = rowGroup;
    if (rows === 0) return;
    for (const { column, dense, cells } of held) {
      if (!schema.boundColumns.includes(column.name)) continue;
      const found = dense
        ? extremes64(dense.subarray(0, rows))
        : extremes(cells.filter((text, row) => text !== cells[row - 1]).map(String), compareUtf8);
      bounds.set(column.name, [...(bounds.get(column.name) ?? []), ...found]);
    }
    await file.writeRowGroup(
      rows,
      held.map((each) => valuesOf(each, rows)),
    );
    written += rows;
    rowGroup.truncate(0);
  }

  return {
    append: async (rows, from, to) => {
      const isSame = same.of(rows);
      for (let start = from; start < to; ) {
        const verdict = isSame(start, rowGroup.rows);
        if (verdict !== 'new') {
          repeated++;
          if (verdict === 'better') {
            rowGroup.truncate(rowGroup.rows - 1);
            rowGroup.copy(rows, start, start + 1);
          }
          start++;
          continue;
        }
        if (rowGroup.isFull()) await flush();
        let end = start + 1;
        // With much text, a few rows at a time: the limit is looked at in between.
        const most = Math.min(to, start + limits.rowsMax - rowGroup.rows, start + textRowsMax);
        while (end < most && !same.within(rows, end)) end++;
        rowGroup.copy(rows, start, end);
        start = end;
      }
    },
    finish: async () => {
      await flush();
      const ofAll = [...bounds].map(([name, all]): [string, SegmentFile['bounds'][string]] => {
        const [min, max] =
          typeof all[0] === 'bigint'
            ? extremes64(BigInt64Array.from(all as bigint[]))
            : extremes(all as string[], compareUtf8);
        return [name, { nulls: 0, min: String(min), max: String(max) }];
      });
      return { rows: written, repeated, bounds: Object.fromEntries(ofAll) };
    },
  };
}

/** Rows that are not written yet. The last of them may still be replaced, so it is written only when another comes. */
interface OpenRowGroup {
  readonly held: readonly Held[];
  readonly rows: number;
  isFull(): boolean;
  copy(rows: Rows, from: number, to: number): void;
  /** Keeps the first rows only. */
  truncate(rows: number): void;
}

function openRowGroup({ columns }: TableSchema, limits: Limits): OpenRowGroup {
  const held = columns.map(
    (column): Held => ({
      column,
      dense: isDense(column) ? new BigInt64Array(limits.rowsMax) : undefined,
      cells: [],
      present: false,
    }),
  );
  const texts = held.filter(({ column }) => column.type === 'string');
  let [count, chars] = [0, 0];
  return {
    held,
    get rows() {
      return count;
    },
    isFull: () => count >= limits.rowsMax || chars > limits.charsMax,
    copy: (rows, from, to) => {
      for (const each of held) {
        const source = rows.columns.get(each.column.name);
        if (each.dense) copyDense(source, from, to, each.dense, count);
        else copyCells(each, source, from, to, count);
      }
      for (const { cells } of texts) chars += newCharacters(cells, count);
      count += to - from;
    },
    truncate: (rows) => {
      count = rows;
      for (const each of held) {
        if (each.cells.length > rows) each.cells.length = rows;
        if (rows === 0) each.present = false;
      }
      if (rows === 0) chars = 0;
    },
  };
}

/** The texts of a series are one text, which the dictionary holds once. */
function newCharacters(cells: Cells, from: number): number {
  let chars = 0;
  for (let row = from; row < cells.length; row++) {
    const text = cells[row];
    if (typeof text === 'string' && text !== cells[row - 1]) chars += text.length;
  }
  return chars;
}

const textRowsMax = 8192;

function copyDense(source: RowColumn | undefined, from: number, to: number, into: Dense, at: number): void {
  if (source instanceof BigInt64Array) into.set(source.subarray(from, to), at);
  // By their bits: a NaN that passes through a number may lose its payload.
  else if (source instanceof Float64Array)
    into.set(new BigInt64Array(source.buffer as ArrayBuffer, source.byteOffset + from * 8, to - from), at);
  else into.fill(0n, at, at + to - from);
}

function copyCells(held: Held, source: RowColumn | undefined, from: number, to: number, count: number): void {
  const { cells } = held;
  if (source === undefined) {
    if (held.present) for (let row = from; row < to; row++) cells.push(null);
    return;
  }
  while (cells.length < count) cells.push(null);
  for (let row = from; row < to; row++) cells.push((source as Cells)[row] ?? null);
  held.present = true;
}

function valuesOf({ dense, cells, present }: Held, rows: number): ColumnValues {
  if (dense) return { kind: 'bits', values: dense.slice(0, rows) };
  if (!present) return { kind: 'nulls' };
  while (cells.length < rows) cells.push(null);
  return { kind: 'nullable', values: cells };
}

/** Whether a row is there already: `same` as one that is held, or `better` than the last. */
type Verdict = 'new' | 'same' | 'better';

interface Repetition {
  /** Compares row `row` with the rows held, of which there are `count`. */
  of(rows: Rows): (row: number, count: number) => Verdict;
  /** Whether a row may repeat the one before it among `rows`. */
  within(rows: Rows, row: number): boolean;
}

function repetition(schema: TableSchema, held: readonly Held[]): Repetition {
  const { sameRowBy } = schema;
  if (sameRowBy === undefined) return { of: () => () => 'new', within: () => false };
  const byName = new Map(held.map((each) => [each.column.name, each]));
  // What tells rows apart soonest comes first.
  const key = [...schema.sortBy].reverse();
  const rest = sameRowBy.filter((name) => !key.includes(name));
  const equalsHeld = (rows: Rows, names: readonly string[], row: number, at: number): boolean =>
    names.every((name) => {
      const { dense, cells = [] } = byName.get(name) ?? {};
      const source = rows.columns.get(name);
      return (dense ? dense[at] : (cells[at] ?? null)) === (source?.[row] ?? null);
    });
  const value = byName.get('value')?.dense;
  const prefersLarger = schema.table === 'metrics';

  return {
    of: (rows) => (row, count) => {
      const oldest = Math.max(0, count - comparedRowsMax);
      for (let at = count - 1; at >= oldest && equalsHeld(rows, key, row, at); at--) {
        if (!equalsHeld(rows, rest, row, at)) continue;
        // Queries show the largest of several values (lake/scan/samples.ts), and go on doing so.
        const isLast = at === count - 1;
        return prefersLarger && isLast && value && isLarger(rows, row, value, at) ? 'better' : 'same';
      }
      return 'new';
    },
    within: (rows, row) =>
      key.every((name) => {
        const column = rows.columns.get(name);
        if (column instanceof BigInt64Array) {
          const halves = halvesOf(column);
          return halves[2 * row] === halves[2 * row - 2] && halves[2 * row + 1] === halves[2 * row - 1];
        }
        return column?.[row] === column?.[row - 1];
      }),
  };
}

/** Any number is larger than NaN. */
function isLarger(rows: Rows, row: number, held: Dense, at: number): boolean {
  const one = (rows.columns.get('value') as Float64Array | undefined)?.[row] ?? Number.NaN;
  const other = new Float64Array(held.buffer)[at] ?? Number.NaN;
  return one > other || (Number.isNaN(other) && !Number.isNaN(one));
}
