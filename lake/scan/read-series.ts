import { setImmediate } from 'node:timers/promises';
import type { DuckDBConnection, DuckDBDataChunk, DuckDBListVector } from '@duckdb/node-api';
import { FirnError } from '../base/errors.ts';
import { parseLabelsJson } from '../model/labels.ts';
import { parseHistogramText } from '../model/native-histogram.ts';
import { fromNative } from '../promql/histograms/histogram.ts';
import type { Selection, SeriesData } from '../promql/source.ts';
import { compareLabels } from '../promql/value.ts';
import { timestampSql } from './conditions.ts';
import { inOrder, mergeSamples, type Samples } from './samples.ts';

/** Samples that are taken over before others get the event loop. */
const samplesPerTurn = 250_000;

/**
 * Reads series from `rows`, text for a FROM clause with its WHERE, by one statement. Most rows are a number at a time and
 * nothing else; the others (native histograms, and samples that say since when they count) come as groups of their own,
 * so that there is no text and no second time for the many.
 */
export async function readSeries(
  connection: DuckDBConnection,
  rows: string,
  selection: Selection,
  signal: AbortSignal,
): Promise<readonly SeriesData[]> {
  const count = counter(selection, signal);
  const byLabels = new Map<string, Samples>();
  for await (const chunk of chunksOf(connection, seriesSql(rows, selection))) {
    for (const { key, samples } of groupsOf(chunk)) {
      const other = byLabels.get(key);
      byLabels.set(key, other ? mergeSamples(samples, other) : samples);
      await count(samples.values.length, byLabels.size);
    }
  }
  return Array.from(byLabels, ([key, samples]) => ({ labels: parseLabelsJson(key), ...samples })).sort(
    (one, other) => compareLabels(one.labels, other.labels),
  );
}

/** The limit keeps DuckDB from collecting more than may be used; the order is made in inOrder, where it costs less. */
const seriesSql = (rows: string, { fromMs, samplesMax }: Selection): string => `
  SELECT any_value(labels), list(epoch_ms(timestamp)::DOUBLE), list(value::DOUBLE), special,
    list(coalesce(epoch_ms(start_timestamp), 0)::DOUBLE) FILTER (WHERE special),
    list(coalesce(histogram, '')) FILTER (WHERE special)
  FROM (SELECT series_id, labels, timestamp, value, start_timestamp, histogram,
      histogram IS NOT NULL OR start_timestamp IS NOT NULL AS special
    FROM ${rows} AND (timestamp >= ${timestampSql(fromMs)} OR histogram IS NOT NULL) LIMIT ${samplesMax + 1})
  GROUP BY series_id, special`;

/** Samples of one series; the key is its labels as they are stored. */
interface Read {
  readonly key: string;
  readonly samples: Samples;
}

type Count = (samples: number, series: number) => Promise<void>;

/** Counts series and samples against the limits, and lets others have the event loop now and then. */
function counter({ samplesMax, seriesMax }: Selection, signal: AbortSignal): Count {
  let samples = 0;
  let turn = 0;
  return async (read, series) => {
    samples += read;
    turn += read;
    if (samples > samplesMax) throw tooMuch('samplesMax', samplesMax, 'samples');
    if (series > seriesMax) throw tooMuch('seriesMax', seriesMax, 'series');
    if (turn < samplesPerTurn) return;
    turn = 0;
    await setImmediate();
    signal.throwIfAborted();
  };
}

async function* chunksOf(connection: DuckDBConnection, sql: string): AsyncGenerator<DuckDBDataChunk> {
  const result = await connection.stream(sql);
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return;
    yield chunk;
  }
}

/** One group a row, without an object a sample: the lists' elements lie side by side in one array each. */
function* groupsOf(chunk: DuckDBDataChunk): Generator<Read> {
  const labels = chunk.getColumnVector(0);
  const timestamps = listColumn(chunk, 1);
  const values = listColumn(chunk, 2);
  const special = chunk.getColumnVector(3);
  let more: ReturnType<typeof specialColumns> | undefined;
  for (let row = 0; row < chunk.rowCount; row++) {
    const plain: Samples = {
      timestampsMs: timestamps.items.subarray(...timestamps.bounds(row)),
      values: values.items.subarray(...values.bounds(row)),
    };
    let samples = plain;
    if (special.getItem(row) === true) {
      more ??= specialColumns(chunk);
      samples = more(row, plain);
    } else samples = inOrder(plain);
    yield { key: textOf(labels.getItem(row)), samples };
  }
}

/** Of a chunk that has such groups: what else their samples have. */
function specialColumns(chunk: DuckDBDataChunk): (row: number, plain: Samples) => Samples {
  const starts = listColumn(chunk, 4);
  const histograms = chunk.getColumnVector(5) as DuckDBListVector;
  return (row, plain) => {
    const startsMs = starts.items.subarray(...starts.bounds(row));
    const from = histograms.getEntryOffset(row);
    const texts = Array.from(startsMs, (_, index) => textOf(histograms.childVector.getItem(from + index)));
    return mergeSamples({
      ...plain,
      ...(startsMs.some((startMs) => startMs !== 0) && { startsMs }),
      ...(texts.some((text) => text !== '') && { histograms: texts.map(histogramOf) }),
    });
  };
}

/** A row that only marks the end of a series has that in its value. */
function histogramOf(text: string) {
  const native = text === '' ? undefined : parseHistogramText(text);
  return native === undefined || native.stale ? undefined : fromNative(native);
}

function textOf(item: unknown): string {
  if (typeof item !== 'string') throw new Error('a column of text holds something else');
  return item;
}

function listColumn(
  chunk: DuckDBDataChunk,
  column: number,
): { readonly items: Float64Array; bounds(row: number): [number, number] } {
  const list = chunk.getColumnVector(column) as DuckDBListVector;
  // The library keeps the array to itself; going through its accessors would make a number object a sample.
  const { items } = list.childVector as unknown as { readonly items?: unknown };
  if (!(items instanceof Float64Array)) throw new Error('a list of DOUBLE is not backed by a Float64Array');
  return {
    // Copied, because the memory is DuckDB's; once for all series of the chunk.
    items: items.slice(),
    bounds: (row) => {
      const from = list.getEntryOffset(row);
      return [from, from + list.getEntryLength(row)];
    },
  };
}

export function tooMuch(subject: string, max: number, what: string): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'read series',
    subject,
    message: `the selection holds more than ${max} ${what} (${subject})`,
    hint: 'select fewer series or a shorter time',
  });
}
