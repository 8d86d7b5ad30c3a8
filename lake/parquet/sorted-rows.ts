import { FirnError } from '../base/errors.ts';
import type { Batch, BatchColumn } from '../model/batch.ts';
import { isTextColumn, type TextColumn, textOffsets, textsOf } from '../model/text-column.ts';
import { batchColumnsOf, columnOf } from '../schema/batch-columns.ts';
import { type Column, dayOfUs, type TableSchema, tableSchemas } from '../schema/tables.ts';
import { halvesOf } from './dictionary.ts';
import { extremes64, isLess } from './parquet-pages.ts';
import { sortWithinSeries } from './row-table.ts';
import type { SegmentRows } from './segment-writer.ts';
import type { RankedRows, SeriesCatalogue } from './series-catalogue.ts';
import { compareUtf8 } from './series-order.ts';

// The rows of many batches as one table in memory, and their order. What is done for each row works on halves of 64-bit
// numbers, without a BigInt.

/** All rows of one call in order of arrival. Where they belong to no series: one that stands for none. */
export interface RowsInMemory extends RankedRows {
  readonly schema: TableSchema;
  readonly rows: number;
  /** What batches bring, by column name; one that is absent is null in every row. */
  readonly columns: ReadonlyMap<string, Values>;
  readonly timestampUs: BigInt64Array;
}

/** 64-bit integers, doubles by their bits, texts as bytes, or where there may be nulls plain arrays. */
type Values = BigInt64Array | PlacedTexts | readonly (bigint | null)[] | readonly (string | null)[];

/** Texts with where each begins in the bytes, and at last where they end. */
export interface PlacedTexts extends TextColumn {
  readonly offsets: Uint32Array;
}

export const isPlacedTexts = (values: Values): values is PlacedTexts => isTextColumn(values);

/** Throws FirnError `limit` when there are more rows, `corrupt` when an id has no labels. */
export function readRows(
  { signal, batches, labelsOf }: SegmentRows,
  catalogue: SeriesCatalogue,
  rowsMax: number,
): RowsInMemory {
  const all: Batch[] = [];
  let rows = 0;
  for (const batch of batches) {
    all.push(batch);
    rows += batch.rows;
    if (rows > rowsMax) throw tooManyRows(rowsMax);
  }
  const schema = tableSchemas[signal];
  const columns = new Map<string, Values>();
  for (const column of batchColumnsOf(signal)) {
    const values = concatenated(all, column, rows);
    if (values) columns.set(column.name, values);
  }
  return {
    ...{ schema, rows, columns },
    timestampUs: timestampsOf(schema, columns),
    ...(schema.seriesColumn === undefined
      ? { series: [{ id: 0n, name: '', labels: '' }], rank: new Uint32Array(rows) }
      : catalogue.rank(signal, int64Of(columns, schema.seriesColumn), labelsOf)),
  };
}

/** A column of all batches; undefined when every row of it is null. */
function concatenated(batches: readonly Batch[], { name }: Column, rows: number): Values | undefined {
  const given = batches.map((batch) => columnOf(batch, name));
  if (given.every((part) => part === undefined)) return undefined;
  if (given.every((part) => part === undefined || isTextColumn(part)))
    return concatTexts(batches, given, rows);
  const parts = given.map(plainColumn);
  const dense = parts.filter((part) => part instanceof BigInt64Array || part instanceof Float64Array);
  if (dense.length > 0) return concat64(rows, dense);
  const values: (bigint | string | null)[] = [];
  let present = false;
  for (const [index, part] of parts.entries())
    for (let row = 0; row < (batches[index]?.rows ?? 0); row++) {
      const value = part?.[row] ?? null;
      present ||= value !== null;
      values.push(value as bigint | string | null);
    }
  return present ? (values as (bigint | null)[]) : undefined;
}

const plainColumn = (column: BatchColumn | undefined) =>
  column !== undefined && isTextColumn(column) ? textsOf(column) : column;

function concatTexts(
  batches: readonly Batch[],
  parts: readonly (TextColumn | undefined)[],
  rows: number,
): PlacedTexts {
  const lengths = new Int32Array(rows).fill(-1);
  const bytes = Buffer.concat(parts.flatMap((part) => part?.bytes ?? []));
  let row = 0;
  for (const [index, part] of parts.entries()) {
    if (part) lengths.set(part.lengths, row);
    row += batches[index]?.rows ?? 0;
  }
  const texts: TextColumn = { kind: 'utf8', length: rows, lengths, bytes };
  return { ...texts, offsets: textOffsets(texts) };
}

/** Copied as bytes: a NaN that passes through a number may lose its payload. */
function concat64(rows: number, parts: readonly (BigInt64Array | Float64Array)[]): BigInt64Array {
  const bytes = new Uint8Array(rows * 8);
  let offset = 0;
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), offset);
    offset += part.byteLength;
  }
  return new BigInt64Array(bytes.buffer);
}

function timestampsOf(
  { columns: schemaColumns }: TableSchema,
  columns: RowsInMemory['columns'],
): BigInt64Array {
  const source = schemaColumns.find(({ name }) => name === 'timestamp')?.source;
  return typeof source === 'object'
    ? microsecondsOf(int64Of(columns, source.nanoseconds))
    : int64Of(columns, 'timestamp');
}

const int64Of = (columns: RowsInMemory['columns'], name: string): BigInt64Array => {
  const values = columns.get(name);
  return values instanceof BigInt64Array ? values : new BigInt64Array();
};

/** Rounds down, also before 1970: long division by 1000 of the high half and then the low one. */
function microsecondsOf(nanoseconds: BigInt64Array): BigInt64Array {
  const from = halvesOf(nanoseconds);
  const result = new BigInt64Array(nanoseconds.length);
  const to = halvesOf(result);
  for (let low = 0; low < from.length; low += 2) {
    const high = (from[low + 1] ?? 0) | 0;
    const quotient = Math.floor(high / 1000);
    to[low] = ((high - quotient * 1000) * 0x1_0000_0000 + (from[low] ?? 0)) / 1000;
    to[low + 1] = quotient;
  }
  return result;
}

/** Row numbers of each day in the table's sort order, days ascending. */
export function daysOf(table: RowsInMemory): [day: number, order: Uint32Array][] {
  if (table.rows === 0) return [];
  const order = sortedRows(table);
  const [first, last] = extremes64(table.timestampUs).map((us) => dayOfUs(Number(us)));
  if (first !== undefined && first === last) return [[first, order]];
  const halves = halvesOf(table.timestampUs);
  const dayOfRow = new Int32Array(table.rows);
  for (let row = 0; row < table.rows; row++)
    dayOfRow[row] = dayOfUs(((halves[2 * row + 1] ?? 0) | 0) * 0x1_0000_0000 + (halves[2 * row] ?? 0));
  const sizes = new Map<number, number>();
  for (const day of dayOfRow) sizes.set(day, (sizes.get(day) ?? 0) + 1);
  const days = new Map([...sizes].map(([day, size]) => [day, { rows: new Uint32Array(size), count: 0 }]));
  for (const row of order) {
    const day = days.get(dayOfRow[row] ?? 0);
    if (day) day.rows[day.count++] = row;
  }
  return [...days].map(([day, { rows }]): [number, Uint32Array] => [day, rows]).sort(([a], [b]) => a - b);
}

/** By rank, then the sort columns, then arrival. Rows of one series mostly arrive in order: few need sorting. */
function sortedRows({ schema, rows, rank, series, columns }: RowsInMemory): Uint32Array {
  const ends = new Uint32Array(series.length + 1);
  for (let row = 0; row < rows; row++) ends[(rank[row] ?? 0) + 1] = (ends[(rank[row] ?? 0) + 1] ?? 0) + 1;
  for (let at = 1; at < ends.length; at++) ends[at] = (ends[at] ?? 0) + (ends[at - 1] ?? 0);
  const order = new Uint32Array(rows);
  const next = ends.slice();
  for (let row = 0; row < rows; row++) {
    const of = rank[row] ?? 0;
    const at = next[of] ?? 0;
    order[at] = row;
    next[of] = at + 1;
  }
  const keys = sortWithinSeries(schema).map((name) => columns.get(name) ?? []);
  const compare = comparison(keys);
  const ascends =
    keys.length === 1 && keys[0] instanceof BigInt64Array ? ascending(keys[0]) : notAfter(compare);
  for (let of = 0; of < series.length; of++) {
    const end = ends[of + 1] ?? 0;
    for (let at = (ends[of] ?? 0) + 1; at < end; at++) {
      if (ascends(order[at - 1] ?? 0, order[at] ?? 0)) continue;
      order.subarray(ends[of], end).sort(compare);
      break;
    }
  }
  return order;
}

/** Whether a row, which came earlier, stays before another. */
type Ascends = (before: number, after: number) => boolean;

function ascending(key: BigInt64Array): Ascends {
  const halves = halvesOf(key);
  return (before, after) => !isLess(halves, after, before);
}

const notAfter =
  (compare: (a: number, b: number) => number): Ascends =>
  (before, after) =>
    compare(before, after) <= 0;

const textsOfValues = (values: Exclude<Values, BigInt64Array>) =>
  isPlacedTexts(values) ? textsOf(values) : values;

/** Of two rows by columns that have no nulls, then by arrival. */
function comparison(keys: readonly Values[]): (a: number, b: number) => number {
  const compares = keys.map((key): ((a: number, b: number) => number) => {
    if (!(key instanceof BigInt64Array)) {
      const texts = textsOfValues(key);
      return (a, b) => compareUtf8(String(texts[a]), String(texts[b]));
    }
    const halves = halvesOf(key);
    return (a, b) => (isLess(halves, a, b) ? -1 : isLess(halves, b, a) ? 1 : 0);
  });
  return (a, b) => {
    for (const compare of compares) {
      const order = compare(a, b);
      if (order !== 0) return order;
    }
    return a - b;
  };
}

function tooManyRows(rowsMax: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'write segment',
    subject: 'writerRowsMax',
    message: `a segment of more than ${rowsMax} rows does not fit in memory`,
    hint: 'lower sealRowsMax',
  });
}
