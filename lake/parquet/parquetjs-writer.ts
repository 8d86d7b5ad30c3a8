import { dirname } from 'node:path';
import { FirnError } from '../base/errors.ts';
import type { Batch, LogsBatch, MetricsBatch, Signal } from '../model/batch.ts';
import { dayOfUs, dayText, tableSchemas } from '../schema/tables.ts';
import { publishFile, syncFolder } from './durable-file.ts';
import { createParquetFile } from './parquet-file.ts';
import type { ColumnValues, Run } from './parquet-pages.ts';
import type { SegmentFile, SegmentRows, SegmentWriter } from './segment-writer.ts';
import { compareUtf8, type RankedSeries, rankSeries } from './series-order.ts';

export interface ParquetjsWriterOptions {
  /** Rows of one call, all in memory; beyond it a write fails with `limit`. */
  readonly writerRowsMax?: number;
  /** Rows of one row group, and about how many characters of text. */
  readonly rowGroupRowsMax?: number;
  readonly rowGroupCharsMax?: number;
}

export const parquetjsWriterDefaults = {
  writerRowsMax: 2_000_000,
  rowGroupRowsMax: 65_536,
  rowGroupCharsMax: 4 * 1024 * 1024,
} as const;

const logTexts = ['line', 'attributes', 'severity', 'traceId', 'spanId'] as const;

/** All rows of one call in order of arrival, and the series they belong to. */
interface Table {
  readonly signal: Signal;
  readonly rows: number;
  readonly id: BigInt64Array;
  /** Microseconds, or nanoseconds for logs: what rows are sorted by. */
  readonly time: BigInt64Array;
  readonly timestampUs: BigInt64Array;
  /** Metrics only. */
  readonly value: Float64Array;
  /** Logs only, in the order of `logTexts`. */
  readonly texts: readonly (readonly (string | null)[])[];
  readonly series: readonly RankedSeries[];
  /** Index into `series` of each row. */
  readonly rank: Uint32Array;
}

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
  const metrics = all.filter((batch): batch is MetricsBatch => batch.signal === 'metrics');
  const logs = all.filter((batch): batch is LogsBatch => batch.signal === 'logs');
  const id = concat64(
    rows,
    signal === 'metrics' ? metrics.map((b) => b.seriesId) : logs.map((b) => b.streamId),
  );
  const time = concat64(
    rows,
    signal === 'metrics' ? metrics.map((b) => b.timestampUs) : logs.map((b) => b.timestampNs),
  );
  const value = new Float64Array(
    concat64(
      rows,
      metrics.map((b) => b.value),
    ).buffer,
  );
  const ids = [...new Set(id)];
  const series = rankSeries(signal, ids, labelsOf(ids));
  const rankOf = new Map(series.map((entry, rank) => [entry.id, rank]));
  return {
    signal,
    rows,
    id,
    time,
    timestampUs: signal === 'metrics' ? time : time.map(microseconds),
    value,
    texts: logTexts.map((name) => logs.flatMap((batch) => batch[name])),
    series,
    rank: Uint32Array.from(id, (one) => rankOf.get(one) ?? 0),
  };
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

/** By rank, then time, then arrival. Rows of one series mostly arrive in order, so that few buckets need sorting. */
function* sortedRows({ rank, series, time }: Table): Generator<number, void, undefined> {
  const buckets: number[][] = series.map(() => []);
  rank.forEach((bucket, row) => void buckets[bucket]?.push(row));
  for (const bucket of buckets) {
    const timeOf = (index: number): bigint => time[bucket[index] ?? 0] ?? 0n;
    const inOrder = bucket.every((_, index) => index === 0 || timeOf(index - 1) <= timeOf(index));
    if (!inOrder) {
      bucket.sort((a, b) => {
        const [left = 0n, right = 0n] = [time[a], time[b]];
        return left < right ? -1 : left > right ? 1 : a - b;
      });
    }
    yield* bucket;
  }
}

async function writeFile(
  path: string,
  table: Table,
  order: readonly number[],
  site: string,
  limits: Required<ParquetjsWriterOptions>,
): Promise<void> {
  await using file = await createParquetFile(path, tableSchemas[table.signal].columns);
  for (let start = 0; start < order.length; ) {
    const end = rowGroupEnd(table, order, start, limits);
    const rows = order.slice(start, end);
    await file.writeRowGroup(rows.length, valuesOf(table, rows, site));
    start = end;
  }
  await file.finish();
}

function rowGroupEnd(
  { texts }: Table,
  order: readonly number[],
  start: number,
  limits: Required<ParquetjsWriterOptions>,
): number {
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
  const int64 = (column: BigInt64Array): ColumnValues => ({ kind: 'int64', values: pick64(column, rows) });
  const seriesText = (name: 'name' | 'labels') =>
    runsOf(rows, (row) => table.series[table.rank[row] ?? 0]?.[name]);
  const text = (index: number): ColumnValues => ({
    kind: 'text',
    values: rows.map((row) => table.texts[index]?.[row] ?? null),
  });
  const id = int64(table.id);
  const timestamp = int64(table.timestampUs);
  const labels = seriesText('labels');
  const sites = runsOf(rows, () => site);
  if (table.signal === 'logs') {
    const [line, attributes, severity, trace, span] = logTexts.map((_, index) => text(index));
    if (!line || !attributes || !severity || !trace || !span) throw new RangeError('logs need five texts');
    return [id, timestamp, int64(table.time), line, labels, attributes, severity, trace, span, sites];
  }
  const value = new BigInt64Array(table.value.buffer, table.value.byteOffset, table.rows);
  const values = new Float64Array(pick64(value, rows).buffer);
  return [seriesText('name'), id, timestamp, { kind: 'double', values }, labels, sites];
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

function summaryOf({ signal, id, timestampUs, series, rank }: Table, order: readonly number[]): Summary {
  const bound = (values: readonly (bigint | string)[], compare: (a: never, b: never) => number) => {
    const [min, max] = extremes(values as never[], compare);
    return { nulls: 0, min: String(min), max: String(max) };
  };
  const numbers = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
  const of = (column: BigInt64Array): bigint[] => order.map((row) => column[row] ?? 0n);
  const timestamp = bound(of(timestampUs), numbers);
  const ids = bound(of(id), numbers);
  const names = order.map((row) => series[rank[row] ?? 0]?.name ?? '');
  return {
    rows: order.length,
    minTimestampUs: Number(timestamp.min),
    maxTimestampUs: Number(timestamp.max),
    bounds:
      signal === 'metrics'
        ? { name: bound([...new Set(names)], compareUtf8), series_id: ids, timestamp }
        : { stream_id: ids, timestamp },
  };
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
