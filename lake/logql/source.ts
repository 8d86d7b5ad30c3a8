import type { ComparisonOp, LineFilter, Matcher } from './ast.ts';

/** The port: where queries get lines from. Implemented over Tables by lake/scan/log-scan.ts. */
export interface LogSource {
  /** Lines in batches, in the order of time where `direction` says so, else in any. */
  lines(request: LinesRequest, signal: AbortSignal): AsyncIterable<LineBatch>;
  /** Lines counted where they are, one row a stream, metadata and bucket of time. */
  counts(request: CountsRequest, signal: AbortSignal): Promise<readonly CountRow[]>;
}

/** The port: what streams there are, without their lines. Rows come in batches. */
export interface LogIndex {
  /**
   * Label sets of the streams that match one of the sets of matchers (all when there is none), as JSON texts, each once;
   * no more than `streamsMax`, and one that shows that there are more.
   */
  streams(request: IndexRequest, signal: AbortSignal): AsyncIterable<readonly string[]>;
  /**
   * Lines and bytes of each such stream, each once for every piece of time where `stepNs` says so. Throws LogqlError
   * `limit` beyond `rowsMax`.
   */
  volumes(request: VolumeRequest, signal: AbortSignal): AsyncIterable<readonly StreamVolume[]>;
}

/** All of it: what a view of a table has. */
export interface StoredLogs extends LogSource, LogIndex {}

export interface IndexRequest {
  readonly matcherSets: readonly (readonly Matcher[])[];
  /** Times, nanoseconds since the Unix epoch: from inclusive, to exclusive. */
  readonly fromNs: bigint;
  readonly toNs: bigint;
  readonly streamsMax: number;
}

export interface VolumeRequest extends Omit<IndexRequest, 'streamsMax'> {
  /** Pieces begin at `fromNs`. */
  readonly stepNs: number | undefined;
  /** Streams and pieces of time that may be told apart. */
  readonly rowsMax: number;
}

export interface StreamVolume {
  readonly labels: string;
  /** Which piece of time, from 0. */
  readonly step: number;
  readonly lines: number;
  /** Of lines; where there are many, a part of them is estimated. */
  readonly bytes: number;
}

export interface LinesRequest {
  readonly matchers: readonly Matcher[];
  /** Filters that a line has to pass; a source may let others through, which are then filtered again. */
  readonly lineFilters: readonly LineFilter[];
  /** What fields of JSON lines have to be, as lineFilters: lines of which that is not certain come through. */
  readonly fieldConditions?: readonly FieldCondition[];
  /** Times, nanoseconds since the Unix epoch: from inclusive, to exclusive. */
  readonly fromNs: bigint;
  readonly toNs: bigint;
  readonly direction?: 'forward' | 'backward';
  /** Lines wanted, at most; only where the line filters are all there is to filter. */
  readonly limit?: number;
  /** What is read of a line at all. */
  readonly needs: { readonly line: boolean; readonly metadata: boolean };
  readonly bytesMax: number;
  readonly stats: ReadStats;
}

/** A field at the top of a JSON object, compared as a label filter compares it. */
export interface FieldCondition {
  /** Letters and digits only: no other field can become a label of that name. */
  readonly field: string;
  readonly op: ComparisonOp;
  readonly value: number | string;
}

export interface CountsRequest {
  readonly matchers: readonly Matcher[];
  /** All of them can be counted where the lines are (see countable). */
  readonly lineFilters: readonly LineFilter[];
  /** A bucket ends at `originNs` and every `bucketNs` before and after it, and holds its end but not its start. */
  readonly originNs: bigint;
  readonly bucketNs: number;
  readonly fromNs: bigint;
  readonly toNs: bigint;
  /** Labels that are asked for; undefined for all. */
  readonly labels: readonly string[] | undefined;
  readonly bytes: boolean;
  readonly rowsMax: number;
  readonly bytesMax: number;
  readonly stats: ReadStats;
}

export interface Stream {
  readonly labels: ReadonlyMap<string, string>;
}

export interface LineBatch {
  readonly rows: number;
  readonly timestampNs: BigInt64Array;
  /** Empty where the line is not needed. */
  readonly lines: readonly string[];
  /** JSON text of an object of strings, or null. */
  readonly metadata: readonly (string | null)[];
  stream(row: number): Stream;
}

export interface CountRow {
  readonly labels: ReadonlyMap<string, string>;
  readonly metadata: ReadonlyMap<string, string>;
  /** Buckets from `originNs` on; 0 ends there. */
  readonly bucket: number;
  /** Lines, or their bytes. */
  readonly value: number;
}

/** What a query has read, for the stats of its answer. */
export interface ReadStats {
  lines: number;
  bytes: number;
  filesConsidered: number;
  filesPruned: number;
}

export const newStats = (): ReadStats => ({ lines: 0, bytes: 0, filesConsidered: 0, filesPruned: 0 });
