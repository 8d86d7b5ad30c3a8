import { dirname } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { bucketMsOf, type RollupTable } from '../model/table-name.ts';
import { publishFile, syncFolder } from '../parquet/durable-file.ts';
import { createParquetFile } from '../parquet/parquet-file.ts';
import { rowGroupBuilder } from '../parquet/row-group-builder.ts';
import type { SegmentFile } from '../parquet/segment-writer.ts';
import { compareUtf8 } from '../parquet/series-order.ts';
import { type Buckets, bucketFlags, foldSamples, joinBuckets, withFlags } from '../promql/rollups/buckets.ts';
import { chunksOf, listColumn } from '../scan/lists.ts';
import { inOrder } from '../scan/samples.ts';
import { dayOfUs, dayText, tableSchemas } from '../schema/tables.ts';
import { openDuckdb } from '../sql/duckdb/engine.ts';
import { type OfSeries, rowsOfSeries } from './rows.ts';

export interface RollUpRequest {
  readonly table: RollupTable;
  readonly pieces: readonly RollUpPiece[];
  readonly memoryBytesMax: number;
  /** Where DuckDB spills when memory is short. */
  readonly spillDirectory: string;
  /** Samples that are in memory at once, about. */
  readonly samplesMax?: number;
}

/** What becomes one file. */
export interface RollUpPiece {
  /** SQL of a relation with all samples of metrics of these times, and maybe others. */
  readonly from: string;
  /** Buckets that begin in [fromMs, toMs), which are of one UTC day. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly path: string;
}

export type RollUp = (request: RollUpRequest) => Promise<readonly SegmentFile[]>;

/** 2 million samples take about 64 MB on their way. */
const samplesMaxDefault = 2_000_000;

/** A series, as far as it is rolled up. */
interface RolledSeries extends OfSeries {
  readonly parts: Buckets[];
}

/**
 * Writes the buckets of samples, sorted like any segment and durable when it resolves; no file for a piece without any.
 * Samples that were sent again count once, and of several at a time the one that queries show. Throws what DuckDB throws
 * for files that it can't read.
 */
export async function rollUpFiles(request: RollUpRequest): Promise<readonly SegmentFile[]> {
  const instance = await openDuckdb({
    threads: '1',
    memory_limit: `${Math.floor(request.memoryBytesMax / 1024)}KiB`,
    temp_directory: request.spillDirectory,
  });
  const connection = await instance.connect();
  try {
    await connection.run("SET TimeZone = 'UTC'");
    const files: SegmentFile[] = [];
    for (const piece of request.pieces) {
      const file = await writeBuckets(
        request.table,
        piece.path,
        await readBuckets(connection, request, piece),
      );
      if (file) files.push(file);
    }
    return files;
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

async function readBuckets(
  connection: DuckDBConnection,
  { table, samplesMax = samplesMaxDefault }: RollUpRequest,
  { from, fromMs, toMs }: RollUpPiece,
): Promise<readonly RolledSeries[]> {
  const bucketMs = bucketMsOf[table];
  const counted = await connection.runAndReadAll(
    `SELECT count(*) FROM ${from} WHERE ${between(fromMs, toMs)}`,
  );
  const reads = Math.max(1, Math.ceil(Number(counted.getRows()[0]?.[0]) / samplesMax));
  const found = new Map<bigint, RolledSeries>();
  for (let read = 0; read < reads; read++) {
    const border = (part: number): number => fromMs + Math.floor(((toMs - fromMs) * part) / reads);
    await readPart(connection, from, [border(read), border(read + 1)], bucketMs, found);
  }
  return [...found.values()].sort(
    (one, other) => compareUtf8(one.name, other.name) || (one.id < other.id ? -1 : 1),
  );
}

/** Samples after `afterMs`, up to and including `toMs`, of which a query sees whole milliseconds. */
const between = (afterMs: number, toMs: number): string =>
  `value IS NOT NULL AND timestamp >= make_timestamptz(${afterMs + 1}000) AND timestamp < make_timestamptz(${toMs + 1}000)`;

async function readPart(
  connection: DuckDBConnection,
  rows: string,
  [afterMs, toMs]: readonly [number, number],
  bucketMs: number,
  found: Map<bigint, RolledSeries>,
): Promise<void> {
  const endOf = (timestampMs: number): number => Math.ceil(timestampMs / bucketMs) * bucketMs;
  const marks = await readMarks(connection, rows, [afterMs, toMs], bucketMs);
  const isFloat = 'histogram IS NULL';
  const sql = `SELECT series_id, any_value(name), any_value(labels), any_value(site),
      coalesce(list(epoch_ms(timestamp)::DOUBLE) FILTER (${isFloat}), []),
      coalesce(list(value) FILTER (${isFloat}), [])
    FROM ${rows} WHERE ${between(afterMs, toMs)} GROUP BY series_id`;
  for await (const chunk of chunksOf(connection, sql)) {
    const [ids, ...texts] = [0, 1, 2, 3].map((column) => chunk.getColumnValues(column));
    const [times, values] = [listColumn(chunk, 4), listColumn(chunk, 5)];
    for (let row = 0; row < chunk.rowCount; row++) {
      const id = ids?.[row] as bigint;
      const [name = '', labels = '', site = ''] = texts.map((column) => String(column[row]));
      const samples = inOrder({
        timestampsMs: times.items.subarray(...times.bounds(row)),
        values: values.items.subarray(...values.bounds(row)),
      });
      const folded = foldSamples(samples, endOf);
      const mark = marks.get(id);
      const series = found.get(id) ?? { id, name, labels, site, parts: [] };
      found.set(id, series);
      series.parts.push(mark ? withFlags(folded, mark.endsMs, mark.flags) : folded);
    }
  }
}

interface Marks {
  readonly endsMs: Float64Array;
  readonly flags: Uint8Array;
}

/** Buckets that hold more than floats, by series. */
async function readMarks(
  connection: DuckDBConnection,
  rows: string,
  [afterMs, toMs]: readonly [number, number],
  bucketMs: number,
): Promise<ReadonlyMap<bigint, Marks>> {
  const end = `((epoch_ms(timestamp) + ${bucketMs - 1}) // ${bucketMs}) * ${bucketMs}`;
  const flags = `CASE WHEN histogram IS NULL THEN ${bucketFlags.starts} ELSE ${bucketFlags.histograms} END`;
  const result =
    await connection.runAndReadAll(`SELECT series_id, list(ends ORDER BY ends), list(flags ORDER BY ends)
    FROM (SELECT series_id, ${end} AS ends, bit_or(${flags}) AS flags FROM ${rows}
      WHERE ${between(afterMs, toMs)} AND (histogram IS NOT NULL OR start_timestamp IS NOT NULL) GROUP BY ALL)
    GROUP BY series_id`);
  return new Map(
    result.getRowsJS().map((row) => {
      const [id, ends, bits] = row as [bigint, readonly bigint[], readonly number[]];
      return [id, { endsMs: Float64Array.from(ends, Number), flags: Uint8Array.from(bits) }];
    }),
  );
}

/** Like those of merged files. */
const rowGroupLimits = { rowsMax: 131_072, charsMax: 8 * 1024 * 1024 };

async function writeBuckets(
  table: RollupTable,
  path: string,
  series: readonly RolledSeries[],
): Promise<SegmentFile | undefined> {
  if (series.length === 0) return undefined;
  const schema = tableSchemas[table];
  const temporaryPath = `${path}.tmp`;
  await using file = await createParquetFile(temporaryPath, schema);
  const builder = rowGroupBuilder(schema, file, rowGroupLimits);
  for (const one of series) {
    const rows = rowsOfSeries(one, joinBuckets(one.parts), bucketMsOf[table]);
    await builder.append(rows, 0, rows.rows);
  }
  const { rows, bounds } = await builder.finish();
  await file.finish();
  const published = await publishFile(temporaryPath, path);
  await syncFolder(dirname(path));
  const [minUs, maxUs] = [Number(bounds.timestamp?.min), Number(bounds.timestamp?.max)];
  const day = dayText(dayOfUs(minUs));
  return { day, path, ...published, rows, bounds, minTimestampUs: minUs, maxTimestampUs: maxUs };
}
