import type { ExemplarsBatch, SeriesEntry } from '../model/batch.ts';
import { canonicalLabels, type Labels, labelsJson, labelValue } from '../model/labels.ts';
import type { CachedSeries } from './series-cache.ts';
import { createSparseColumn } from './sparse-column.ts';

/** Grows the columns of an exemplars batch row by row. */
export interface ExemplarsBuilder {
  readonly rows: number;
  /** Labels in any order; those that are usual for a trace and a span also become columns. */
  append(series: CachedSeries, timestampUs: number, value: number, labels: Labels): void;
  /** The batch; the builder is empty afterwards. */
  finish(): ExemplarsBatch;
}

const traceLabels = ['trace_id', 'traceID', 'traceId'];
const spanLabels = ['span_id', 'spanID', 'spanId'];

export function createExemplarsBuilder(): ExemplarsBuilder {
  let columns = createColumns();
  let entries = new Map<bigint, SeriesEntry>();
  const traces = createSparseColumn<string>();
  const spans = createSparseColumn<string>();
  return {
    get rows() {
      return columns.value.length;
    },
    append: (series, timestampUs, value, labels) => {
      const row = columns.value.length;
      if (series.pending !== undefined) entries.set(series.pending.id, series.pending);
      columns.seriesHalves.push(series.idLow, series.idHigh);
      columns.timestampUs.push(BigInt(timestampUs));
      columns.value.push(value);
      columns.exemplarLabels.push(labelsJson(canonicalLabels(labels)));
      const trace = firstOf(labels, traceLabels);
      const span = firstOf(labels, spanLabels);
      if (trace !== '') traces.add(row, trace);
      if (span !== '') spans.add(row, span);
    },
    finish: () => {
      const { seriesHalves, timestampUs, value, exemplarLabels } = columns;
      const rows = value.length;
      const traceId = traces.finish(rows);
      const spanId = spans.finish(rows);
      const batch: ExemplarsBatch = {
        signal: 'exemplars',
        rows,
        seriesId: new BigInt64Array(Int32Array.from(seriesHalves).buffer),
        timestampUs: BigInt64Array.from(timestampUs),
        value: Float64Array.from(value),
        exemplarLabels,
        series: [...entries.values()],
        ...(traceId && { traceId }),
        ...(spanId && { spanId }),
      };
      columns = createColumns();
      entries = new Map();
      return batch;
    },
  };
}

function firstOf(labels: Labels, names: readonly string[]): string {
  const name = names.find((each) => labelValue(labels, each) !== '');
  return name === undefined ? '' : labelValue(labels, name);
}

const createColumns = () => ({
  seriesHalves: [] as number[],
  timestampUs: [] as bigint[],
  value: [] as number[],
  exemplarLabels: [] as string[],
});
