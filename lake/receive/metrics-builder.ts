import { writeInt64 } from '../base/int64.ts';
import type { MetricMetadata, MetricsBatch, SeriesEntry } from '../model/batch.ts';
import { histogramText, type NativeHistogram } from '../model/native-histogram.ts';
import type { CachedSeries } from './series-cache.ts';
import { createSparseColumn } from './sparse-column.ts';
import { createDoubtColumns, type TimeDoubt } from './time-doubt.ts';

/** Grows the columns of a metrics batch row by row. */
export interface MetricsBuilder {
  readonly rows: number;
  append(series: CachedSeries, timestampUs: number, value: number, doubt?: TimeDoubt): void;
  /** The value as the two halves of its IEEE 754 bits, so that NaN payloads stay as they are. */
  appendBits(series: CachedSeries, timestampUs: number, low: number, high: number): void;
  /** A row that is a native histogram, which passed `whyNotHistogram`. */
  appendHistogram(
    series: CachedSeries,
    timestampUs: number,
    histogram: NativeHistogram,
    doubt?: TimeDoubt,
  ): void;
  /** Says of the row that was appended last since when it counts. */
  countsSince(startTimestampUs: number): void;
  describe(metadata: MetricMetadata): void;
  /** The batch; the builder is empty afterwards. */
  finish(): MetricsBatch;
}

/** High halves of NaNs: Prometheus' staleness marker, whose low half is 2, and the usual one. */
const staleHigh = 0x7ff00000;
const nanHigh = 0x7ff80000;

const columnsOfBatch = new WeakMap<MetricsBatch, Columns>();
/** Memory of batches that are done, for the next ones: see logs-builder.ts. */
const spare: Columns[] = [];
const spareMax = 4;
const spareRowsMax = 65_536;

/** Gives the memory of a batch back, which must not be read any more. */
export function recycleMetrics(batch: MetricsBatch): void {
  const columns = columnsOfBatch.get(batch);
  if (columns === undefined || spare.length >= spareMax || columns.value.length > spareRowsMax) return;
  columnsOfBatch.delete(batch);
  spare.push(columns);
}

function takeColumns(rows: number): Columns {
  const columns = spare.pop();
  return columns !== undefined && columns.value.length >= rows ? columns : createColumns(rows);
}

/** `rowsFirst`: for how many rows it has room before it grows, one or more. */
export function createMetricsBuilder(rowsFirst = 1024): MetricsBuilder {
  let rows = 0;
  let columns = noColumns;
  let entries = new Map<bigint, SeriesEntry>();
  let metadata: MetricMetadata[] = [];
  const doubts = createDoubtColumns();
  const histograms = createSparseColumn<string>();
  const starts = createSparseColumn<bigint>();

  const appendKey = (series: CachedSeries, timestampUs: number): void => {
    if (rows === columns.seriesId.length)
      columns = rows === 0 ? takeColumns(rowsFirst) : larger(columns, 2 * rows);
    if (series.pending !== undefined) entries.set(series.pending.id, series.pending);
    columns.seriesHalves[2 * rows] = series.idLow;
    columns.seriesHalves[2 * rows + 1] = series.idHigh;
    writeInt64(columns.timestampHalves, rows, timestampUs);
  };
  const appendBits: MetricsBuilder['appendBits'] = (series, timestampUs, low, high) => {
    appendKey(series, timestampUs);
    columns.valueHalves[2 * rows] = low;
    columns.valueHalves[2 * rows + 1] = high;
    rows++;
  };

  return {
    get rows() {
      return rows;
    },
    append: (series, timestampUs, value, doubt) => {
      appendKey(series, timestampUs);
      if (doubt !== undefined) doubts.add(rows, doubt);
      columns.value[rows++] = value;
    },
    appendBits,
    appendHistogram: (series, timestampUs, histogram, doubt) => {
      histograms.add(rows, histogramText(histogram));
      if (doubt !== undefined) doubts.add(rows, doubt);
      appendBits(series, timestampUs, histogram.stale ? 2 : 0, histogram.stale ? staleHigh : nanHigh);
    },
    countsSince: (startTimestampUs) => starts.add(rows - 1, BigInt(startTimestampUs)),
    describe: (entry) => void metadata.push(entry),
    finish: () => {
      const histogram = histograms.finish(rows);
      const startTimestampUs = starts.finish(rows);
      const batch: MetricsBatch = {
        signal: 'metrics',
        rows,
        seriesId: columns.seriesId.subarray(0, rows),
        timestampUs: columns.timestampUs.subarray(0, rows),
        value: columns.value.subarray(0, rows),
        series: [...entries.values()],
        metadata,
        ...doubts.finish(rows),
        ...(histogram && { histogram }),
        ...(startTimestampUs && { startTimestampUs }),
      };
      columnsOfBatch.set(batch, columns);
      rows = 0;
      columns = noColumns;
      entries = new Map();
      metadata = [];
      return batch;
    },
  };
}

type Columns = ReturnType<typeof createColumns>;

const noColumns = createColumns(0);

function createColumns(capacity: number) {
  const seriesId = new BigInt64Array(capacity);
  const timestampUs = new BigInt64Array(capacity);
  const value = new Float64Array(capacity);
  return {
    seriesId,
    timestampUs,
    value,
    seriesHalves: new Int32Array(seriesId.buffer),
    timestampHalves: new Uint32Array(timestampUs.buffer),
    valueHalves: new Uint32Array(value.buffer),
  };
}

function larger(columns: Columns, capacity: number): Columns {
  const larger = createColumns(capacity);
  larger.seriesId.set(columns.seriesId);
  larger.timestampUs.set(columns.timestampUs);
  // Bits, not numbers: a copy of Float64Array elements could quieten NaNs.
  larger.valueHalves.set(columns.valueHalves);
  return larger;
}
