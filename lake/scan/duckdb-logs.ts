import type { DuckDBDataChunk } from '@duckdb/node-api';
import { valueTest } from '../logql/pipeline/label-filter.ts';
import type {
  CountRow,
  CountsRequest,
  LineBatch,
  LinesRequest,
  StoredLogs,
  Stream,
} from '../logql/source.ts';
import type { Engine } from '../sql/duckdb/engine.ts';
import { chargeBytes } from './charge-bytes.ts';
import { storedLabelSql } from './conditions.ts';
import { metadataNames } from './count-metadata.ts';
import { duckdbLogIndex } from './duckdb-log-index.ts';
import { fieldConditionSql, lineConditions, streamCondition, timeCondition } from './log-conditions.ts';
import { type LogReader, openLogReader } from './log-reader.ts';
import { labelsOf } from './stream-labels.ts';
import { tooManyCounts } from './too-many-counts.ts';

export interface DuckdbLogsOptions {
  readonly engine: Engine;
  /** FROM text with the columns of the logs table. */
  readonly from: string;
}

/** Lines of whatever DuckDB can read: rows that are in no file yet, and files of other writers. */
export const duckdbLogs = (options: DuckdbLogsOptions): StoredLogs => ({
  ...duckdbLogIndex(options),
  lines: (request, signal) => readLines(options, request, signal),
  counts: (request, signal) => readCounts(options, request, signal),
});

/** A stream that has lines in the time, and where they are. */
interface FoundStream extends Stream {
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  readonly rows: number;
}

/** The streams are few and their labels texts: what matches is found here, not by DuckDB for every row. */
async function findStreams(
  reader: LogReader,
  from: string,
  { matchers, fromNs, toNs }: Pick<LinesRequest, 'matchers' | 'fromNs' | 'toNs'>,
): Promise<ReadonlyMap<bigint, FoundStream>> {
  const tests = matchers.map((matcher) => ({ label: matcher.label, test: valueTest(matcher) }));
  const found = new Map<bigint, FoundStream>();
  const sql = `SELECT stream_id, any_value(labels), min(timestamp_ns), max(timestamp_ns), count(*)
     FROM ${from} WHERE ${timeCondition(fromNs, toNs)} GROUP BY stream_id`;
  for (const [id, json, firstNs, lastNs, count] of await reader.rows(sql)) {
    const labels = labelsOf(String(json));
    if (!tests.every(({ label, test }) => test(labels.get(label) ?? ''))) continue;
    const rows = Number(count);
    found.set(id as bigint, { labels, firstNs: firstNs as bigint, lastNs: lastNs as bigint, rows });
  }
  return found;
}

/** Rows of the streams, as ids while they are not too many to be written into a statement. */
function whichStreams(
  streams: ReadonlyMap<bigint, FoundStream>,
  { matchers, fromNs, toNs }: Pick<LinesRequest, 'matchers' | 'fromNs' | 'toNs'>,
): string {
  if (streams.size > idsMax) return streamCondition(matchers, fromNs, toNs);
  return `stream_id IN (${[...streams.keys()].join(', ')})`;
}

const idsMax = 1000;

async function* readLines(
  options: DuckdbLogsOptions,
  request: LinesRequest,
  signal: AbortSignal,
): AsyncGenerator<LineBatch> {
  const { fromNs, toNs, lineFilters } = request;
  const { from } = options;
  if (toNs <= fromNs) return;
  await using reader = await openLogReader(options.engine, signal);
  const streams = await findStreams(reader, options.from, request);
  if (streams.size === 0) return;
  // A stream's own label comes before a field of that name.
  const fields = (request.fieldConditions ?? []).filter(
    ({ field }) => ![...streams.values()].some(({ labels }) => labels.has(field)),
  );
  const filters = [...lineConditions(lineFilters), ...fields.map(fieldConditionSql)];
  const conditions = [whichStreams(streams, request), ...filters];
  const { line, metadata } = request.needs;
  const columns = `stream_id, timestamp_ns, ${line ? 'line' : 'NULL'}, ${metadata ? 'attributes' : 'NULL'}`;
  let left = request.limit ?? Number.POSITIVE_INFINITY;
  for (const window of windowsOf(request, [...streams.values()])) {
    const order =
      request.direction === undefined
        ? ''
        : ` ORDER BY timestamp_ns ${request.direction === 'forward' ? 'ASC' : 'DESC'}`;
    const limit = Number.isFinite(left) ? ` LIMIT ${left}` : '';
    const where = [timeCondition(window.fromNs, window.toNs), ...conditions].join(' AND ');
    const sql = `SELECT ${columns} FROM ${from} WHERE ${where}${order}${limit}`;
    for await (const chunk of reader.chunks(sql)) {
      const batch = batchOf(chunk, streams);
      left -= batch.rows;
      note(batch, request);
      yield batch;
    }
    if (left <= 0) return;
  }
}

function note(batch: LineBatch, request: LinesRequest): void {
  request.stats.lines += batch.rows;
  chargeBytes(
    request,
    batch.lines.reduce((sum, line) => sum + line.length, 0),
  );
}

interface TimeWindow {
  readonly fromNs: bigint;
  readonly toNs: bigint;
}

/** Lines that the first window is to hold. */
const firstWindowLines = 2000;
/** How many times more each window after it has, where what comes of it is not limited by the source itself. */
const windowGrowth = 16n;

/**
 * The time in pieces, in the order in which lines are wanted, so that whoever needs few reads few: the newest files
 * first. Without an order it is one piece.
 */
function windowsOf(
  { fromNs, toNs, direction, limit }: Pick<LinesRequest, 'fromNs' | 'toNs' | 'direction' | 'limit'>,
  streams: readonly FoundStream[],
): readonly TimeWindow[] {
  const rows = streams.reduce((sum, stream) => sum + stream.rows, 0);
  const first = streams.reduce((min, { firstNs }) => (firstNs < min ? firstNs : min), toNs - 1n);
  const last = streams.reduce((max, { lastNs }) => (lastNs > max ? lastNs : max), fromNs);
  const wanted = Math.max(firstWindowLines, 2 * (limit ?? 0));
  if (direction === undefined || rows <= 4 * wanted) return [{ fromNs, toNs }];
  const span = last - first + 1n;
  const windows: TimeWindow[] = [];
  let size = (span * BigInt(wanted)) / BigInt(rows) + 1n;
  for (let done = 0n; done < span; done += size, size *= windowGrowth) {
    // A source that keeps no more than it is asked for can look at all the rest at once.
    const rest = limit !== undefined && done > 0n;
    const end = !rest && done + size < span ? done + size : span;
    windows.push(
      direction === 'forward'
        ? { fromNs: first + done, toNs: first + end }
        : { fromNs: last + 1n - end, toNs: last + 1n - done },
    );
    if (rest) break;
  }
  return windows;
}

function batchOf(chunk: DuckDBDataChunk, streams: ReadonlyMap<bigint, Stream>): LineBatch {
  const ids = chunk.getColumnVector(0);
  const times = chunk.getColumnVector(1);
  const lines = chunk.getColumnVector(2);
  const metadata = chunk.getColumnVector(3);
  const rows = chunk.rowCount;
  const timestampNs = new BigInt64Array(rows);
  const lineTexts: string[] = new Array(rows);
  const metadataTexts: (string | null)[] = new Array(rows);
  for (let row = 0; row < rows; row++) {
    timestampNs[row] = times.getItem(row) as bigint;
    lineTexts[row] = (lines.getItem(row) as string | null) ?? '';
    metadataTexts[row] = metadata.getItem(row) as string | null;
  }
  return {
    rows,
    timestampNs,
    lines: lineTexts,
    metadata: metadataTexts,
    stream: (row) => {
      const stream = streams.get(ids.getItem(row) as bigint);
      if (stream === undefined) throw new Error('a line belongs to no stream of its query');
      return stream;
    },
  };
}

async function readCounts(
  options: DuckdbLogsOptions,
  request: CountsRequest,
  signal: AbortSignal,
): Promise<readonly CountRow[]> {
  const { lineFilters, originNs, bucketNs, fromNs, toNs, bytes, rowsMax, stats } = request;
  const { from } = options;
  await using reader = await openLogReader(options.engine, signal);
  const streams = await findStreams(reader, options.from, request);
  if (streams.size === 0) return [];
  const size = BigInt(bucketNs);
  // Counted from the end, where no difference is negative.
  const after = toNs > originNs ? (toNs - originNs + size - 1n) / size : 0n;
  const endNs = originNs + after * size;
  const asked = metadataNames(request.labels);
  const metadata = asked === undefined ? ['attributes'] : asked.map((name) => attributeSql(name));
  const keys = ['stream_id', `(${endNs} - timestamp_ns) // ${size}`, ...metadata];
  const conditions = [timeCondition(fromNs, toNs), whichStreams(streams, request)];
  const where = [...conditions, ...lineConditions(lineFilters)].join(' AND ');
  const sql = `SELECT stream_id, ${keys[1]}, ${bytes ? 'sum(strlen(line))' : 'count(*)'}, count(*)${metadata.map((each) => `, ${each}`).join('')}
    FROM ${from} WHERE ${where} GROUP BY ${keys.join(', ')} LIMIT ${rowsMax + 1}`;
  const found: CountRow[] = [];
  for await (const chunk of reader.chunks(sql))
    for (const row of chunk.getRows()) {
      const [id, bucket, value, count, ...texts] = row;
      stats.lines += Number(count);
      if (bytes) chargeBytes(request, Number(value));
      found.push({
        labels: streams.get(id as bigint)?.labels ?? new Map(),
        metadata: asked === undefined ? metadataOf(texts[0]) : namedMetadata(asked, texts),
        bucket: Number(after - BigInt(bucket as bigint)),
        value: Number(value),
      });
    }
  if (found.length > rowsMax) throw tooManyCounts(request);
  return found;
}

const attributeSql = (name: string): string => storedLabelSql(name).replace('(labels,', '(attributes,');

function metadataOf(text: unknown): ReadonlyMap<string, string> {
  return typeof text === 'string' ? labelsOf(text) : new Map();
}

function namedMetadata(names: readonly string[], texts: readonly unknown[]): ReadonlyMap<string, string> {
  return new Map(
    names.flatMap((name, index) => {
      const text = texts[index];
      return typeof text === 'string' ? [[name, text] as const] : [];
    }),
  );
}
