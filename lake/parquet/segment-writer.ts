import type { Batch, Signal } from '../model/batch.ts';
import type { ManifestSegment } from '../model/manifest.ts';

/**
 * The port: rows -> segments. Implementations: duckdb-writer.ts, and parquetjs-writer.ts where DuckDB has no binary.
 * One contract suite runs against both (test/contract/parquet.ts).
 */
export interface SegmentWriter extends AsyncDisposable {
  /** How readers find the columns of its files. */
  readonly columns: ManifestSegment['columns'];
  /**
   * Writes one file for each UTC day in the rows, sorted by the table's `sortBy` columns (rows that are equal there
   * stay in order of arrival). Each file is durable and under its final name when this resolves; an older file of that
   * name is replaced. The same rows make the same bytes.
   *
   * Throws FirnError `corrupt` when an id has no labels, `limit` when the rows do not fit in memory.
   */
  write(rows: SegmentRows): Promise<readonly SegmentFile[]>;
}

/** What one call may hold: DuckDB's memory, and the rows that a writer without DuckDB holds. */
export const writerDefaults = {
  writerMemoryBytesMax: 384 * 1024 * 1024,
  writerRowsMax: 2_000_000,
} as const;

export interface SegmentRows {
  readonly signal: Signal;
  /** Value of the `site` column. */
  readonly site: string;
  /** Batches of this signal, in order of arrival; each passes `whyNotStorable`. Read once. */
  readonly batches: Iterable<Batch>;
  /** Labels JSON by id; unknown ids are left out. They never change, so a writer may remember them between calls. */
  readonly labelsOf: (ids: Iterable<bigint>) => ReadonlyMap<bigint, string>;
  /** Where the file of a day (YYYY-MM-DD) goes; its folder exists. */
  readonly pathOf: (day: string) => string;
}

export interface SegmentFile {
  /** YYYY-MM-DD */
  readonly day: string;
  readonly path: string;
  readonly rows: number;
  readonly bytes: number;
  /** Hex SHA-256 of the file. */
  readonly sha256: string;
  readonly minTimestampUs: number;
  readonly maxTimestampUs: number;
  /** Of the table's `boundColumns`, exact; strings in order of their UTF-8 bytes. */
  readonly bounds: ManifestSegment['bounds'];
}
