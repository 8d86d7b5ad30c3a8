import type { LogsBatch, SeriesEntry } from '../model/batch.ts';
import type { Int64Halves } from './nanoseconds.ts';
import type { CachedSeries } from './series-cache.ts';
import { createDoubtColumns, type TimeDoubt } from './time-doubt.ts';

/** Grows the columns of a logs batch row by row. */
export interface LogsBuilder {
  readonly rows: number;
  append(stream: CachedSeries, record: LogRecord): void;
  /** The same for receivers of many lines: no object is made for a line. */
  appendRow(
    stream: CachedSeries,
    timestampNs: Int64Halves,
    line: string,
    attributes: string | null,
    severity: string | null,
    traceId: string | null,
    spanId: string | null,
  ): void;
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

const rowsFirst = 256;

export function createLogsBuilder(): LogsBuilder {
  let columns = createColumns();
  let numbers = createNumbers(rowsFirst);
  let entries = new Map<bigint, SeriesEntry>();
  let lastEntry: SeriesEntry | undefined;
  const doubts = createDoubtColumns();
  const appendRow: LogsBuilder['appendRow'] = (stream, time, line, attributes, severity, traceId, spanId) => {
    const row = columns.line.length;
    const { pending } = stream;
    if (pending !== undefined && pending !== lastEntry) {
      entries.set(pending.id, pending);
      lastEntry = pending;
    }
    if (2 * row === numbers.stream.length) numbers = doubled(numbers);
    numbers.stream[2 * row] = stream.idLow;
    numbers.stream[2 * row + 1] = stream.idHigh;
    numbers.time[2 * row] = time.low;
    numbers.time[2 * row + 1] = time.high;
    columns.line.push(line);
    columns.attributes.push(attributes);
    columns.severity.push(severity);
    columns.traceId.push(traceId);
    columns.spanId.push(spanId);
  };
  return {
    get rows() {
      return columns.line.length;
    },
    append: (stream, record) => {
      const { timestampNs, line, attributes, severity, traceId, spanId, doubt } = record;
      if (doubt !== undefined) doubts.add(columns.line.length, doubt);
      const time = { low: Number(BigInt.asIntN(32, timestampNs)), high: Number(timestampNs >> 32n) };
      const texts = [attributes ?? null, severity ?? null, traceId ?? null, spanId ?? null] as const;
      appendRow(stream, time, line, ...texts);
    },
    appendRow,
    finish: () => {
      const rows = columns.line.length;
      const batch: LogsBatch = {
        signal: 'logs',
        rows,
        streamId: new BigInt64Array(numbers.stream.buffer, 0, rows),
        timestampNs: new BigInt64Array(numbers.time.buffer, 0, rows),
        ...columns,
        series: [...entries.values()],
        ...doubts.finish(rows),
      };
      columns = createColumns();
      numbers = createNumbers(rowsFirst);
      entries = new Map();
      lastEntry = undefined;
      return batch;
    },
  };
}

function createColumns() {
  return {
    line: [] as string[],
    attributes: [] as (string | null)[],
    severity: [] as (string | null)[],
    traceId: [] as (string | null)[],
    spanId: [] as (string | null)[],
  };
}

interface Numbers {
  readonly stream: Int32Array<ArrayBuffer>;
  readonly time: Int32Array<ArrayBuffer>;
}

const createNumbers = (rows: number): Numbers => ({
  stream: new Int32Array(2 * rows),
  time: new Int32Array(2 * rows),
});

function doubled({ stream, time }: Numbers): Numbers {
  const larger = createNumbers(stream.length);
  larger.stream.set(stream);
  larger.time.set(time);
  return larger;
}
