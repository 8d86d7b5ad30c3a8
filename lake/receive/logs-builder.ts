import type { LogsBatch, SeriesEntry } from '../model/batch.ts';
import type { CachedSeries } from './series-cache.ts';
import { createDoubtColumns, type TimeDoubt } from './time-doubt.ts';

/** Grows the columns of a logs batch row by row. */
export interface LogsBuilder {
  readonly rows: number;
  append(stream: CachedSeries, record: LogRecord): void;
  /** The batch; the builder is empty afterwards. */
  finish(): LogsBatch;
}

interface LogRecord {
  /** Nanoseconds since the Unix epoch. */
  readonly timestampNs: bigint;
  readonly line: string;
  /** Canonical JSON text of an object of strings. */
  readonly attributes?: string;
  readonly severity?: string;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly doubt?: TimeDoubt;
}

export function createLogsBuilder(): LogsBuilder {
  let columns = createColumns();
  let entries = new Map<bigint, SeriesEntry>();
  const doubts = createDoubtColumns();
  return {
    get rows() {
      return columns.line.length;
    },
    append: (stream, record) => {
      if (stream.pending !== undefined) entries.set(stream.pending.id, stream.pending);
      if (record.doubt !== undefined) doubts.add(columns.line.length, record.doubt);
      columns.streamHalves.push(stream.idLow, stream.idHigh);
      columns.timestampNs.push(record.timestampNs);
      columns.line.push(record.line);
      columns.attributes.push(record.attributes ?? null);
      columns.severity.push(record.severity ?? null);
      columns.traceId.push(record.traceId ?? null);
      columns.spanId.push(record.spanId ?? null);
    },
    finish: () => {
      const { streamHalves, timestampNs, ...text } = columns;
      const batch: LogsBatch = {
        signal: 'logs',
        rows: text.line.length,
        streamId: new BigInt64Array(Int32Array.from(streamHalves).buffer),
        timestampNs: BigInt64Array.from(timestampNs),
        ...text,
        series: [...entries.values()],
        ...doubts.finish(text.line.length),
      };
      columns = createColumns();
      entries = new Map();
      return batch;
    },
  };
}

function createColumns() {
  return {
    streamHalves: [] as number[],
    timestampNs: [] as bigint[],
    line: [] as string[],
    attributes: [] as (string | null)[],
    severity: [] as (string | null)[],
    traceId: [] as (string | null)[],
    spanId: [] as (string | null)[],
  };
}
