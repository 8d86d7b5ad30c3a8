import type { LogsBatch, SeriesEntry } from '../model/batch.ts';
import type { Label } from '../model/labels.ts';
import { normalLevel } from './logs/level.ts';
import { lineMetadata } from './logs/metadata.ts';
import type { LogStream } from './logs/streams.ts';
import type { Int64Halves } from './nanoseconds.ts';
import type { CachedSeries } from './series-cache.ts';
import {
  addKnown,
  addNull,
  addText,
  createTextBuilder,
  emptyTexts,
  finishTexts,
  type TextBuilder,
} from './text-builder.ts';
import { createDoubtColumns, type TimeDoubt } from './time-doubt.ts';

/** Grows the columns of a logs batch row by row. */
export interface LogsBuilder {
  readonly rows: number;
  append(stream: LogStream, record: LogRecord): void;
  /**
   * Begins a row, for receivers of many lines, which make neither an object nor a string for one. Each of the columns
   * that it returns is to get its text or null then.
   */
  begin(stream: CachedSeries, timestampNs: Int64Halves): LogTexts;
  /** The batch; the builder is empty afterwards. */
  finish(): LogsBatch;
}

export type LogTexts = Readonly<
  Record<'line' | 'attributes' | 'severity' | 'traceId' | 'spanId', TextBuilder>
>;

interface LogRecord {
  /** Nanoseconds since the Unix epoch. */
  readonly timestampNs: bigint;
  readonly line: string;
  /** Structured metadata; detected_level is added. */
  readonly metadata?: readonly Label[];
  /** In the sender's words; absent or empty: what the stream's labels, the metadata or the line say. */
  readonly severity?: string;
  /** Where the severity is in words that Loki does not know: what it is in those. */
  readonly level?: string;
  readonly doubt?: TimeDoubt;
}

const rowsFirst = 64;
const lineBytesFirst = 4096;

/** `lineBytes`: about how many bytes the lines will have. */
export function createLogsBuilder(lineBytes = lineBytesFirst): LogsBuilder {
  let columns: LogColumns | undefined;
  let rows = 0;
  let entries = new Map<bigint, SeriesEntry>();
  let lastEntry: SeriesEntry | undefined;
  const doubts = createDoubtColumns();
  const begin: LogsBuilder['begin'] = (stream, time) => {
    const { pending } = stream;
    if (pending !== undefined && pending !== lastEntry) {
      entries.set(pending.id, pending);
      lastEntry = pending;
    }
    columns ??= takeColumns(lineBytes);
    if (2 * rows === columns.stream.length) growNumbers(columns);
    const { stream: ids, time: times } = columns;
    ids[2 * rows] = stream.idLow;
    ids[2 * rows + 1] = stream.idHigh;
    times[2 * rows] = time.low;
    times[2 * rows + 1] = time.high;
    rows++;
    return columns;
  };
  return {
    get rows() {
      return rows;
    },
    begin,
    append: (stream, { timestampNs, line, metadata = [], severity = '', level, doubt }) => {
      if (doubt !== undefined) doubts.add(rows, doubt);
      const time = { low: Number(BigInt.asIntN(32, timestampNs)), high: Number(timestampNs >> 32n) };
      const texts = begin(stream.series, time);
      const start = texts.line.end;
      addText(texts.line, line);
      const { bytes, end } = texts.line;
      const said = level ?? (severity === '' ? stream.level : normalLevel(severity));
      const all = lineMetadata(metadata, bytes, start, end, said);
      addMetadata(texts, severity === '' ? all : { ...all, severity: Buffer.from(severity) });
    },
    finish: () => {
      const batch: LogsBatch = {
        ...{ signal: 'logs', rows },
        ...(columns === undefined ? noColumns : columnsOf(columns, rows)),
        series: [...entries.values()],
        ...doubts.finish(rows),
      };
      if (columns !== undefined) columnsOfBatch.set(batch, columns);
      columns = undefined;
      rows = 0;
      entries = new Map();
      lastEntry = undefined;
      return batch;
    },
  };
}

/** The memory of a batch under construction. */
interface LogColumns extends LogTexts {
  /** Halves of 64-bit integers. */
  stream: Int32Array<ArrayBuffer>;
  time: Int32Array<ArrayBuffer>;
}

const columnsOfBatch = new WeakMap<LogsBatch, LogColumns>();
/** Memory of batches that are done, for the next ones: new memory each time costs more than what is written to it. */
const spare: LogColumns[] = [];
const spareMax = 4;
const spareBytesMax = 4 * 1024 * 1024;

/** Gives the memory of a batch back, which must not be read any more. */
export function recycleLogs(batch: LogsBatch): void {
  const columns = columnsOfBatch.get(batch);
  if (columns === undefined || spare.length >= spareMax || bytesOf(columns) > spareBytesMax) return;
  columnsOfBatch.delete(batch);
  spare.push(columns);
}

function bytesOf(columns: LogColumns): number {
  const texts = textsIn(columns).reduce(
    (sum, { bytes, lengths }) => sum + bytes.length + lengths.byteLength,
    0,
  );
  return texts + columns.stream.byteLength + columns.time.byteLength;
}

const textsIn = ({ line, attributes, severity, traceId, spanId }: LogTexts): readonly TextBuilder[] => [
  ...[line, attributes, severity, traceId, spanId],
];

function takeColumns(lineBytes: number): LogColumns {
  const columns = spare.pop();
  if (columns === undefined) return createColumns(lineBytes);
  for (const text of textsIn(columns)) emptyTexts(text);
  return columns;
}

const noColumns = { streamId: new BigInt64Array(), timestampNs: new BigInt64Array(), line: [] };

/** What a line brings besides itself, perhaps as others do. */
export interface KnownMetadata {
  /** Canonical JSON text. */
  readonly attributes: Uint8Array | null;
  readonly severity: Uint8Array | null;
  readonly traceId: Uint8Array | null;
  readonly spanId: Uint8Array | null;
}

/** Of a row whose line is there already. */
export function addMetadata(
  { attributes, severity, traceId, spanId }: LogTexts,
  metadata: KnownMetadata,
): void {
  addKnownOrNull(attributes, metadata.attributes);
  addKnownOrNull(severity, metadata.severity);
  addKnownOrNull(traceId, metadata.traceId);
  addKnownOrNull(spanId, metadata.spanId);
}

function addKnownOrNull(text: TextBuilder, value: Uint8Array | null): void {
  if (value === null) addNull(text);
  else addKnown(text, value);
}

export function addTextOrNull(text: TextBuilder, value: string | null | undefined): void {
  if (value === null || value === undefined) addNull(text);
  else addText(text, value);
}

function columnsOf({ stream, time, line, attributes, severity, traceId, spanId }: LogColumns, rows: number) {
  const optional = {
    attributes: finishTexts(attributes),
    severity: finishTexts(severity),
    traceId: finishTexts(traceId),
    spanId: finishTexts(spanId),
  };
  return {
    streamId: new BigInt64Array(stream.buffer, 0, rows),
    timestampNs: new BigInt64Array(time.buffer, 0, rows),
    line: finishTexts(line) ?? [],
    ...(optional.attributes && { attributes: optional.attributes }),
    ...(optional.severity && { severity: optional.severity }),
    ...(optional.traceId && { traceId: optional.traceId }),
    ...(optional.spanId && { spanId: optional.spanId }),
  };
}

/** Ids are few where there are any, levels short. */
const createColumns = (lineBytes: number): LogColumns => ({
  line: createTextBuilder(lineBytes),
  attributes: createTextBuilder(1024),
  severity: createTextBuilder(256),
  traceId: createTextBuilder(64),
  spanId: createTextBuilder(64),
  stream: new Int32Array(2 * rowsFirst),
  time: new Int32Array(2 * rowsFirst),
});

function growNumbers(columns: LogColumns): void {
  const { stream, time } = columns;
  columns.stream = new Int32Array(2 * stream.length);
  columns.stream.set(stream);
  columns.time = new Int32Array(2 * time.length);
  columns.time.set(time);
}
