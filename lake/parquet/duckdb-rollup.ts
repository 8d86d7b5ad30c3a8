import type { DuckDBConnection } from '@duckdb/node-api';
import { FirnError } from '../base/errors.ts';
import { openDuckdb } from '../sql/duckdb/engine.ts';
import { copyDays } from './duckdb-copy.ts';
import { showFiles } from './duckdb-merge.ts';
import { memoryLimit } from './duckdb-writer.ts';
import { floorDivide } from './row-table.ts';
import type { SegmentFile } from './segment-writer.ts';

// Old samples become few. Of each series and minute (by UTC) the last sample stays as it is, so that PromQL goes on
// working over true samples, rate() as well, and a row with the minute's min, max, sum, count and last goes to
// metrics_1m.
//
// Staleness markers are no samples: they count nowhere. A marker stays where it ends its minute, beside the last real
// sample, so that a series still ends where it ended; one that is followed by samples in its minute goes.
// Other NaNs are samples: they count, min and max pass over them like min_over_time (NaN when there is nothing else),
// and they make the sum NaN like sum_over_time. Native histograms are not rolled up: they stay, all of them.

export interface RollupRequest {
  /** Segments of the table metrics, of one day, the oldest first. */
  readonly paths: readonly string[];
  /** How many rows they hold together. */
  readonly rows: number;
  /** Where what stays in metrics goes, and the rows of metrics_1m. */
  readonly samplesPath: string;
  readonly minutesPath: string;
  /** Nothing is written when a larger share of the rows would stay. */
  readonly keptShareMax: number;
  readonly writerMemoryBytesMax: number;
  /** Where sorting spills when memory is short. */
  readonly spillDirectory: string;
}

export interface RollupFiles {
  readonly samples: SegmentFile;
  readonly minutes: SegmentFile;
}

/**
 * Writes both files, durable when it resolves. The inputs stay as they are. Undefined: it would not be worth it, and
 * nothing was written. Throws FirnError `corrupt` when the inputs do not hold the rows that they should, `limit` when
 * they don't fit in memory, `unsupported` where DuckDB has no binary.
 */
export async function rollUpSegments(request: RollupRequest): Promise<RollupFiles | undefined> {
  const { paths, rows, samplesPath, minutesPath, keptShareMax, writerMemoryBytesMax, spillDirectory } =
    request;
  const instance = await openDuckdb({
    threads: '1',
    memory_limit: `${Math.floor(writerMemoryBytesMax / 1024)}KiB`,
    temp_directory: spillDirectory,
  });
  const connection = await instance.connect();
  try {
    await showFiles(connection, 'metrics', paths, 'samples');
    const { found, kept, minutes } = await summarizeMinutes(connection);
    if (found !== rows) throw otherRows(samplesPath, rows, found);
    if (minutes === 0 || kept > rows * keptShareMax) return undefined;
    await connection.run(`CREATE TEMP TABLE segment_rows AS ${keptSql}`);
    const [samples] = await copyDays(connection, 'metrics', 'site', () => samplesPath);
    await connection.run(`CREATE OR REPLACE TEMP TABLE segment_rows AS ${minutesSql}`);
    const [rolled] = await copyDays(connection, 'metrics_1m', 'site', () => minutesPath);
    if (samples?.rows !== kept || rolled?.rows !== minutes)
      throw otherRows(samplesPath, kept, samples?.rows ?? 0);
    return { samples, minutes: rolled };
  } catch (error) {
    throw memoryLimit(error, 'roll up segments', writerMemoryBytesMax);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

const minuteUs = 60_000_000n;
/** Prometheus' staleness marker is the NaN with these bits. */
const isStale = `(isnan(value) AND value::BIT::BIGINT = ${0x7ff0000000000002n})`;
/** Tells the rows of a series apart and orders them: by time, and as they came where times are equal. */
const place = '(samples."timestamp"::HUGEINT * 281474976710656 + samples.rowid)';
const minute = floorDivide('"timestamp"', minuteUs);

/** One row for each series and minute; much less than the samples, and made without sorting them. */
async function summarizeMinutes(
  connection: DuckDBConnection,
): Promise<{ found: number; kept: number; minutes: number }> {
  await connection.run(`CREATE TEMP TABLE minutes AS
    SELECT series_id, ${minute} AS minute, min(site) AS site, max(${place}) AS last_place,
      max(${place}) FILTER (NOT ${isStale}) AS last_sample_place,
      min(value) FILTER (NOT isnan(value)) AS low, max(value) FILTER (NOT isnan(value)) AS high,
      sum(value) FILTER (NOT ${isStale}) AS sum, count(*) FILTER (NOT ${isStale}) AS count,
      max_by(value, ${place}) FILTER (NOT ${isStale}) AS last
    FROM samples WHERE histogram IS NULL GROUP BY series_id, minute`);
  const result = await connection.runAndReadAll(`SELECT (SELECT count(*) FROM samples),
    count(last_sample_place) + count(*) FILTER (last_place IS DISTINCT FROM last_sample_place)
      + (SELECT count(histogram) FROM samples),
    count(last_sample_place) FROM minutes`);
  const [found, kept, minutes] = (result.getRows()[0] ?? []).map(Number);
  return { found: found ?? 0, kept: kept ?? 0, minutes: minutes ?? 0 };
}

const keptSql = `SELECT samples.* EXCLUDE (rowid) FROM samples
  LEFT JOIN minutes ON samples.series_id = minutes.series_id AND ${floorDivide('samples."timestamp"', minuteUs)} = minute
  WHERE histogram IS NOT NULL
    OR ${place} IN (last_place, last_sample_place)
  ORDER BY samples.rowid`;

const minutesSql = `SELECT series_id, minute * ${minuteUs} AS "timestamp", coalesce(low, 'nan') AS min,
  coalesce(high, 'nan') AS max, sum, count, last, site FROM minutes WHERE count > 0`;

function otherRows(path: string, expected: number, found: number): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'roll up segments',
    subject: path,
    message: `${path} should come from ${expected} rows, its parts hold ${found}`,
  });
}
