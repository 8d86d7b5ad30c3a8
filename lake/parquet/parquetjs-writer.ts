import { dirname } from 'node:path';
import { FirnError } from '../base/errors.ts';
import type { Batch } from '../model/batch.ts';
import { batchColumnsOf, columnOf } from '../schema/batch-columns.ts';
import { type Column, dayOfUs, dayText, type TableSchema, tableSchemas } from '../schema/tables.ts';
import { publishFile, syncFolder } from './durable-file.ts';
import { createParquetFile } from './parquet-file.ts';
import type { ColumnValues, Run } from './parquet-pages.ts';
import { sortWithinSeries } from './row-table.ts';
import { type SegmentFile, type SegmentRows, type SegmentWriter, writerDefaults } from './segment-writer.ts';
import { compareUtf8, type RankedSeries, rankSeries } from './series-order.ts';

export interface ParquetjsWriterOptions {
  /** Rows of one call, all in memory; beyond it a write fails with `limit`. */
  readonly writerRowsMax?: number;
  /** Rows of one row group, and about how many characters of text. */
  readonly rowGroupRowsMax?: number;
  readonly rowGroupCharsMax?: number;
}

const parquetjsWriterDefaults = {
  writerRowsMax: writerDefaults.writerRowsMax,
  rowGroupRowsMax: 65_536,
  rowGroupCharsMax: 4 * 1024 * 1024,
} as const;

/** All rows of one call in order of arrival, and the series they belong to. */
interface Table {
  readonly schema: TableSchema;
  readonly rows: number;
  /** What batches bring, by column name; one that is absent is null in every row. */
  readonly columns: ReadonlyMap<string, Values>;
  readonly timestampUs: BigInt64Array;
  /** Where rows belong to no series: one that stands for none. */
  readonly series: readonly RankedSeries[];
  /** Index into `series` of each row. */
  readonly rank: Uint32Array;
}

type Values = BigInt64Array | Float64Array | readonly (bigint | null)[] | readonly (string | null)[];

/** The writer that needs no binary: plain JavaScript, for 32-bit ARM. */
export function openParquetjsWriter(options: ParquetjsWriterOptions = {}): SegmentWriter {
  const limits = { ...parquetjsWriterDefaults, ...options };
  return {
    columns: 'field-ids',
    write: async (rows) => {
      const table = readTable(rows, limits.writerRowsMax);
      const files: SegmentFile[] = [];
      for (const [day, order] of daysOf(table)) {
        const path = rows.pathOf(dayText(day));
        await writeFile(`${path}.tmp`, table, order, rows.site, limits);
        const file = await publishFile(`${path}.tmp`, path);
        files.push({ day: dayText(day), path, ...file, ...summaryOf(table, order) });
      }
      for (const folder of new Set(files.map(({ path }) => dirname(path)))) await syncFolder(folder);
      return files;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function readTable({ signal, batches, labelsOf }: SegmentRows, writerRowsMax: number): Table {
  const all: Batch[] = [];
  let rows = 0;
  for (const batch of batches) {
    all.push(batch);
    rows += batch.rows;
    if (rows > writerRowsMax) throw tooManyRows(writerRowsMax);
  }
  const schema = tableSchemas[signal];
  const columns = new Map<string, Values>();
  for (const column of batchColumnsOf(signal)) {
    const values = concatenated(all, column, rows);
    if (values) columns.set(column.name, values);
  }
  return {
    schema,
    rows,
    columns,
    timestampUs: timestampsOf(schema, columns),
    ...ranked(schema, columns, rows, labelsOf),
  };
}

/** A column of all batches; undefined when none of them has it. */
function concatenated(batches: readonly Batch[], { name, type }: Column, rows: number): Values | undefined {
  const parts = batches.map((batch) => columnOf(batch, name));
  if (parts.every((part) => part === undefined)) return undefined;
  const dense = parts.filter((part) => part instanceof BigInt64Array || part instanceof Float64Array);
  if (dense.length === 0)
    return parts.flatMap((part, index): readonly null[] => {
      return (part ?? new Array(batches[index]?.rows ?? 0).fill(null)) as null[];
    });
  const whole = concat64(rows, dense);
  return type === 'double' ? new Float64Array(whole.buffer) : whole;
}

function ranked(
  { table, seriesColumn }: TableSchema,
  columns: Table['columns'],
  rows: number,
  labelsOf: SegmentRows['labelsOf'],
): Pick<Table, 'series' | 'rank'> {
  if (seriesColumn === undefined)
    return { series: [{ id: 0n, name: '', labels: '' }], rank: new Uint32Array(rows) };
  const id = int64Of(columns, seriesColumn);
  const ids = [...new Set(id)];
  const series = rankSeries(table, ids, labelsOf(ids));
  const rankOf = new Map(series.map((entry, rank) => [entry.id, rank]));
  return { series, rank: Uint32Array.from(id, (one) => rankOf.get(one) ?? 0) };
}

function timestampsOf({ columns: schemaColumns }: TableSchema, columns: Table['columns']): BigInt64Array {
  const source = schemaColumns.find(({ name }) => name === 'timestamp')?.source;
  if (typeof source !== 'object') return int64Of(columns, 'timestamp');
  return int64Of(columns, source.nanoseconds).map(microseconds);
}

function int64Of(columns: Table['columns'], name: string): BigInt64Array {
  const values = columns.get(name);
  return values instanceof BigInt64Array ? values : new BigInt64Array();
}

/** Copied as bytes: a NaN that passes through a number may lose its payload. */
function concat64(
  rows: number,
  parts: readonly (BigInt64Array | Float64Array)[],
): BigInt64Array<ArrayBuffer> {
  const bytes = new Uint8Array(rows * 8);
  let offset = 0;
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), offset);
    offset += part.byteLength;
  }
  return new BigInt64Array(bytes.buffer);
}

/** Rounds down, also before 1970. */
const microseconds = (ns: bigint): bigint => ns / 1000n - (ns % 1000n < 0n ? 1n : 0n);

/** Row numbers of each day in the table's sort order, days ascending. */
function daysOf(table: Table): [day: number, order: number[]][] {
  const days = new Map<number, number[]>();
  for (const row of sortedRows(table)) {
    const day = dayOfUs(Number(table.timestampUs[row]));
    const order = days.get(day);
    if (order === undefined) days.set(day, [row]);
    else order.push(row);
  }
  return [...days].sort(([a], [b]) => a - b);
}

/** By rank, then the sort columns, then arrival. Rows of one series mostly arrive in order: few buckets need sorting. */
function* sortedRows({ schema, rank, series, columns }: Table): Generator<number, void, undefined> {
  const keys = sortWithinSeries(schema).map((name) => columns.get(name) ?? []);
  const compareRows = (a: number, b: number): number => {
    for (const key of keys) {
      const order = compareValues(key[a] ?? '', key[b] ?? '');
      if (order !== 0) return order;
    }
    return a - b;
  };
  const buckets: number[][] = series.map(() => []);
  rank.forEach((bucket, row) => void buckets[bucket]?.push(row));
  for (const bucket of buckets) {
    const inOrder = bucket.every((row, index) => index === 0 || compareRows(bucket[index - 1] ?? 0, row) < 0);
    if (!inOrder) bucket.sort(compareRows);
    yield* bucket;
  }
}

type Value = bigint | number | string;

const compareValues = (a: Value, b: Value): number =>
  typeof a === 'string' && typeof b === 'string' ? compareUtf8(a, b) : a < b ? -1 : a > b ? 1 : 0;

async function writeFile(
  path: string,
  table: Table,
  order: readonly number[],
  site: string,
  limits: Required<ParquetjsWriterOptions>,
): Promise<void> {
  await using file = await createParquetFile(path, table.schema.columns);
  for (let start = 0; start < order.length; ) {
    const end = rowGroupEnd(table, order, start, limits);
    const rows = order.slice(start, end);
    await file.writeRowGroup(rows.length, valuesOf(table, rows, site));
    start = end;
  }
  await file.finish();
}

function rowGroupEnd(
  { schema, columns }: Table,
  order: readonly number[],
  start: number,
  limits: Required<ParquetjsWriterOptions>,
): number {
  const texts = schema.columns
    .filter(({ type }) => type === 'string')
    .flatMap(({ name }) => [columns.get(name) as readonly (string | null)[] | undefined])
    .filter((column) => column !== undefined);
  let chars = 0;
  for (let end = start; end < order.length; end++) {
    for (const column of texts) chars += column[order[end] ?? 0]?.length ?? 0;
    const full = end - start >= limits.rowGroupRowsMax || chars > limits.rowGroupCharsMax;
    if (full && end > start) return end;
  }
  return order.length;
}

/** The columns of a row group in the order of the schema. */
function valuesOf(table: Table, rows: readonly number[], site: string): ColumnValues[] {
  return table.schema.columns.map(({ name, source }): ColumnValues => {
    if (source === 'site') return runsOf(rows, () => site);
    if (source === 'series') return runsOf(rows, (row) => seriesText(table, row, name));
    if (source !== 'batch') return { kind: 'int64', values: pick64(table.timestampUs, rows) };
    const column = table.columns.get(name);
    if (column === undefined) return { kind: 'nulls' };
    if (column instanceof BigInt64Array) return { kind: 'int64', values: pick64(column, rows) };
    if (!(column instanceof Float64Array))
      return { kind: 'nullable', values: rows.map((row) => column[row] ?? null) };
    const bits = new BigInt64Array(column.buffer, column.byteOffset, table.rows);
    return { kind: 'double', values: new Float64Array(pick64(bits, rows).buffer) };
  });
}

function seriesText({ series, rank }: Table, row: number, column: string): string {
  const entry = series[rank[row] ?? 0];
  return (column === 'name' ? entry?.name : entry?.labels) ?? '';
}

function pick64(column: BigInt64Array, rows: readonly number[]): BigInt64Array<ArrayBuffer> {
  const from = new Uint32Array(column.buffer, column.byteOffset, column.length * 2);
  const to = new Uint32Array(rows.length * 2);
  rows.forEach((row, index) => {
    to[2 * index] = from[2 * row] ?? 0;
    to[2 * index + 1] = from[2 * row + 1] ?? 0;
  });
  return new BigInt64Array(to.buffer);
}

function runsOf(rows: readonly number[], textOf: (row: number) => string | undefined): ColumnValues {
  const entryOf = new Map<string, number>();
  const runs: { entry: number; count: number }[] = [];
  let before: string | undefined;
  for (const row of rows) {
    const text = textOf(row) ?? '';
    const last = runs.at(-1);
    if (last !== undefined && text === before) {
      last.count++;
      continue;
    }
    const entry = entryOf.get(text) ?? entryOf.size;
    entryOf.set(text, entry);
    runs.push({ entry, count: 1 });
    before = text;
  }
  return { kind: 'runs', entries: [...entryOf.keys()], runs: runs satisfies Run[] };
}

type Summary = Pick<SegmentFile, 'rows' | 'minTimestampUs' | 'maxTimestampUs' | 'bounds'>;

function summaryOf(table: Table, order: readonly number[]): Summary {
  const bounds: Record<string, SegmentFile['bounds'][string]> = {};
  for (const name of table.schema.boundColumns) {
    const [min, max] = extremes(valuesToBound(table, order, name), compareValues);
    bounds[name] = { nulls: 0, min: String(min), max: String(max) };
  }
  const { min: minTimestampUs, max: maxTimestampUs } = bounds.timestamp ?? {};
  return {
    rows: order.length,
    minTimestampUs: Number(minTimestampUs),
    maxTimestampUs: Number(maxTimestampUs),
    bounds,
  };
}

function valuesToBound(table: Table, order: readonly number[], name: string): Value[] {
  const source = table.schema.columns.find((column) => column.name === name)?.source;
  if (source === 'series') return [...new Set(order.map((row) => seriesText(table, row, name)))];
  const column = name === 'timestamp' ? table.timestampUs : table.columns.get(name);
  return order.map((row) => column?.[row] ?? '');
}

function extremes<T>(values: readonly T[], compare: (a: T, b: T) => number): [T | undefined, T | undefined] {
  let [min] = values;
  let max = min;
  for (const value of values) {
    if (min === undefined || compare(value, min) < 0) min = value;
    if (max === undefined || compare(value, max) > 0) max = value;
  }
  return [min, max];
}

function tooManyRows(writerRowsMax: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'write segment',
    subject: 'writerRowsMax',
    message: `a segment of more than ${writerRowsMax} rows does not fit in memory`,
    hint: 'lower sealRowsMax',
  });
}
