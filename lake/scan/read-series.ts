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
 * Reads series from `rows`, text for a FROM clause with its WHERE. Most rows are a number at a time and nothing else;
 * the others (native histograms, and samples that say since when they count) are read apart, so that their columns cost
 * nothing where they are empty.
 */
export async function readSeries(
  connection: DuckDBConnection,
  rows: string,
  selection: Selection,
  signal: AbortSignal,
): Promise<readonly SeriesData[]> {
  const count = counter(selection, signal);
  const from = `timestamp >= ${timestampSql(selection.fromMs)}`;
  const limit = `LIMIT ${selection.samplesMax + 1}`;
  const plain = await readPlain(
    connection,
    `${rows} AND ${from} AND histogram IS NULL AND start_timestamp IS NULL ${limit}`,
    count,
  );
  const special = await readSpecial(
    connection,
    `${rows} AND (histogram IS NOT NULL OR (start_timestamp IS NOT NULL AND ${from})) ${limit}`,
    count,
  );
  const byLabels = new Map([...special].map((one) => [one.key, one]));
  const found: SeriesData[] = [];
  for (const { key, samples } of plain) {
    const other = byLabels.get(key)?.samples;
    byLabels.delete(key);
    found.push({ labels: parseLabelsJson(key), ...(other ? mergeSamples(samples, other) : samples) });
  }
  for (const { key, samples } of byLabels.values()) found.push({ labels: parseLabelsJson(key), ...samples });
  return found.sort((one, other) => compareLabels(one.labels, other.labels));
}

/** Samples of one series; the key is its labels as they are stored. */
interface Read {
  readonly key: string;
  readonly samples: Samples;
}

type Count = (samples: number) => Promise<void>;

/** Counts series and samples against the limits, and lets others have the event loop now and then. */
function counter({ samplesMax, seriesMax }: Selection, signal: AbortSignal): Count {
  let samples = 0;
  let series = 0;
  let turn = 0;
  return async (read) => {
    samples += read;
    turn += read;
    if (samples > samplesMax) throw tooMuch('samplesMax', samplesMax, 'samples');
    if (++series > seriesMax) throw tooMuch('seriesMax', seriesMax, 'series');
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

/** One series a row, without an object a sample: the lists' elements lie side by side in one array each. */
async function readPlain(connection: DuckDBConnection, rows: string, count: Count): Promise<readonly Read[]> {
  // The limit keeps DuckDB from collecting more than may be used; the order is made in inOrder, where it costs less.
  const sql = `SELECT any_value(labels), list(epoch_ms(timestamp)::DOUBLE), list(value::DOUBLE)
    FROM (SELECT series_id, labels, timestamp, value FROM ${rows}) GROUP BY series_id`;
  const found: Read[] = [];
  for await (const chunk of chunksOf(connection, sql)) {
    const labels = chunk.getColumnVector(0);
    const timestamps = listColumn(chunk, 1);
    const values = listColumn(chunk, 2);
    for (let row = 0; row < chunk.rowCount; row++) {
      const samples = inOrder({
        timestampsMs: timestamps.items.slice(...timestamps.bounds(row)),
        values: values.items.slice(...values.bounds(row)),
      });
      found.push({ key: textOf(labels.getItem(row)), samples });
      await count(samples.values.length);
    }
  }
  return found;
}

async function readSpecial(
  connection: DuckDBConnection,
  rows: string,
  count: Count,
): Promise<readonly Read[]> {
  const sql = `SELECT any_value(labels), list(epoch_ms(timestamp)::DOUBLE), list(value::DOUBLE),
    list(coalesce(epoch_ms(start_timestamp), 0)::DOUBLE), list(coalesce(histogram, ''))
    FROM (SELECT series_id, labels, timestamp, value, start_timestamp, histogram FROM ${rows}) GROUP BY series_id`;
  const found: Read[] = [];
  for await (const chunk of chunksOf(connection, sql)) {
    const labels = chunk.getColumnVector(0);
    const [timestamps, values, starts] = [1, 2, 3].map((column) => listColumn(chunk, column));
    if (timestamps === undefined || values === undefined || starts === undefined) break;
    const histograms = chunk.getColumnVector(4) as DuckDBListVector;
    for (let row = 0; row < chunk.rowCount; row++) {
      const [from, to] = timestamps.bounds(row);
      const startsMs = starts.items.slice(from, to);
      const texts = Array.from({ length: to - from }, (_, index) =>
        textOf(histograms.childVector.getItem(from + index)),
      );
      const samples = mergeSamples({
        timestampsMs: timestamps.items.slice(from, to),
        values: values.items.slice(from, to),
        ...(startsMs.some((startMs) => startMs !== 0) && { startsMs }),
        ...(texts.some((text) => text !== '') && { histograms: texts.map(histogramOf) }),
      });
      found.push({ key: textOf(labels.getItem(row)), samples });
      await count(samples.values.length);
    }
  }
  return found;
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
    items,
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
