import type { LogsBatch, SeriesEntry } from '../model/batch.ts';
import type { Int64Halves } from './nanoseconds.ts';
import type { CachedSeries } from './series-cache.ts';
import {
  addKnown,
  addNull,
  addText,
  createTextBuilder,
  finishTexts,
  type TextBuilder,
} from './text-builder.ts';
import { createDoubtColumns, type TimeDoubt } from './time-doubt.ts';

/** Grows the columns of a logs batch row by row. */
export interface LogsBuilder {
  readonly rows: number;
  append(stream: CachedSeries, record: LogRecord): void;
  /**
   * Begins a row, for receivers of many lines, which make neither an object nor a string for one. Each column of
   * `texts` is to get its text or null then.
   */
  begin(stream: CachedSeries, timestampNs: Int64Halves): void;
  readonly texts: LogTexts;
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
  /** Canonical JSON text of an object of strings. */
  readonly attributes?: string;
  readonly severity?: string;
  readonly doubt?: TimeDoubt;
}

const rowsFirst = 256;
const lineBytesFirst = 4096;

/** `lineBytes`: about how many bytes the lines will have. */
export function createLogsBuilder(lineBytes = lineBytesFirst): LogsBuilder {
  let texts = createTexts(lineBytes);
  let numbers = createNumbers(rowsFirst);
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
    if (2 * rows === numbers.stream.length) numbers = doubled(numbers);
    const { stream: ids, time: times } = numbers;
    ids[2 * rows] = stream.idLow;
    ids[2 * rows + 1] = stream.idHigh;
    times[2 * rows] = time.low;
    times[2 * rows + 1] = time.high;
    rows++;
  };
  return {
    get rows() {
      return rows;
    },
    get texts() {
      return texts;
    },
    begin,
    append: (stream, { timestampNs, line, attributes, severity, doubt }) => {
      if (doubt !== undefined) doubts.add(rows, doubt);
      begin(stream, { low: Number(BigInt.asIntN(32, timestampNs)), high: Number(timestampNs >> 32n) });
      addText(texts.line, line);
      addTextOrNull(texts.attributes, attributes);
      addTextOrNull(texts.severity, severity);
      addNull(texts.traceId);
      addNull(texts.spanId);
    },
    finish: () => {
      const batch: LogsBatch = {
        signal: 'logs',
        rows,
        streamId: new BigInt64Array(numbers.stream.buffer, 0, rows),
        timestampNs: new BigInt64Array(numbers.time.buffer, 0, rows),
        ...columnsOf(texts),
        series: [...entries.values()],
        ...doubts.finish(rows),
      };
      texts = createTexts(lineBytesFirst);
      numbers = createNumbers(rowsFirst);
      rows = 0;
      entries = new Map();
      lastEntry = undefined;
      return batch;
    },
  };
}

/** What a line brings besides itself, perhaps as others do. */
export interface KnownMetadata {
  /** Canonical JSON text. */
  readonly attributes: Uint8Array;
  readonly severity: Uint8Array | null;
  readonly traceId: Uint8Array | null;
  readonly spanId: Uint8Array | null;
}

/** Of a row whose line is there already. */
export function addMetadata(
  { attributes, severity, traceId, spanId }: LogTexts,
  metadata: KnownMetadata,
): void {
  addKnown(attributes, metadata.attributes);
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

function columnsOf({ line, attributes, severity, traceId, spanId }: LogTexts) {
  const optional = {
    attributes: finishTexts(attributes),
    severity: finishTexts(severity),
    traceId: finishTexts(traceId),
    spanId: finishTexts(spanId),
  };
  return {
    line: finishTexts(line) ?? [],
    ...(optional.attributes && { attributes: optional.attributes }),
    ...(optional.severity && { severity: optional.severity }),
    ...(optional.traceId && { traceId: optional.traceId }),
    ...(optional.spanId && { spanId: optional.spanId }),
  };
}

/** Ids are few where there are any, levels short. */
function createTexts(lineBytes: number): LogTexts {
  return {
    line: createTextBuilder(lineBytes),
    attributes: createTextBuilder(4096),
    severity: createTextBuilder(1024),
    traceId: createTextBuilder(64),
    spanId: createTextBuilder(64),
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
