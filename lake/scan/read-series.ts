import { setImmediate } from 'node:timers/promises';
import type { DuckDBConnection, DuckDBDataChunk, DuckDBListVector } from '@duckdb/node-api';
import { FirnError } from '../base/errors.ts';
import { parseLabelsJson } from '../model/labels.ts';
import { parseHistogramText } from '../model/native-histogram.ts';
import { fromNative } from '../promql/histograms/histogram.ts';
import type { Selection } from '../promql/source.ts';
import { compareLabels } from '../promql/value.ts';
import { labelConditions, nameAndTimeCondition, type RowFilter } from './conditions.ts';
import { chunksOf, listColumn } from './lists.ts';
import type { OtherSeries } from './samples/stored-series.ts';
import { inOrder, mergeSamples, type Samples } from './samples.ts';

/** Samples that are taken over before others get the event loop. */
const samplesPerTurn = 250_000;

/**
 * Reads series in three steps. First which series there are, with conditions on labels once a series and not once a row;
 * then the numbers of those, by their ids; and, where there are such rows, native histograms and samples that say since
 * when they count. `wide` is the selection with the time before it in which the latter are looked at.
 */
export async function readSeries(
  connection: DuckDBConnection,
  from: string,
  selection: Selection,
  wide: RowFilter,
  signal: AbortSignal,
): Promise<readonly OtherSeries[]> {
  const index = await readIndex(connection, from, selection, wide);
  const ids = [...index.keys()];
  if (ids.length === 0) return [];
  signal.throwIfAborted();
  const special = ids.filter((id) => index.get(id)?.special);
  const rows = (filter: RowFilter, wanted: readonly bigint[]): string =>
    `${from} WHERE ${nameAndTimeCondition(filter)}${index.complete ? '' : ` AND series_id IN (${wanted.join()})`}`;
  const count = counter(selection, signal);
  const plain = special.length > 0 ? ` AND ${isPlain}` : '';
  const samples = await readLists(connection, `${rows(selection, ids)}${plain}`, selection, numbers, count);
  if (special.length > 0) {
    const more = `${rows(wide, special)} AND NOT (${isPlain})`;
    for (const [id, other] of await readLists(connection, more, selection, everything, count)) {
      const known = samples.get(id);
      samples.set(id, known ? mergeSamples(known, other) : other);
    }
  }
  return Array.from(samples, ([id, one]) => ({
    ...{ id, labels: parseLabelsJson(index.get(id)?.labels ?? '{}') },
    ...one,
  })).sort((one, other) => compareLabels(one.labels, other.labels));
}

const isPlain = 'histogram IS NULL AND start_timestamp IS NULL';

interface Known {
  readonly labels: string;
  /** Has rows that are more than a number at a time. */
  readonly special: boolean;
}

/** The series that match; `complete` when these are all that name and time leave. */
async function readIndex(
  connection: DuckDBConnection,
  from: string,
  { matchers, seriesMax }: Selection,
  wide: RowFilter,
): Promise<Map<bigint, Known> & { complete?: boolean }> {
  const conditions = labelConditions(matchers);
  const sql = `SELECT series_id, labels, special FROM (
      SELECT series_id, any_value(labels) AS labels, bool_or(NOT (${isPlain})) AS special
      FROM ${from} WHERE ${nameAndTimeCondition(wide)} GROUP BY series_id)
    WHERE ${conditions.length === 0 ? 'true' : conditions.join(' AND ')} LIMIT ${seriesMax + 1}`;
  const found: Map<bigint, Known> & { complete?: boolean } = new Map<bigint, Known>();
  found.complete = conditions.length === 0;
  for await (const chunk of chunksOf(connection, sql)) {
    const [ids, labels, special] = [0, 1, 2].map((column) => chunk.getColumnVector(column));
    for (let row = 0; row < chunk.rowCount; row++)
      found.set(idOf(ids?.getItem(row)), {
        labels: textOf(labels?.getItem(row)),
        special: special?.getItem(row) === true,
      });
  }
  if (found.size > seriesMax) throw tooMuch('seriesMax', seriesMax, 'series');
  return found;
}

type Count = (samples: number) => Promise<void>;

/** Counts samples against the limit, and lets others have the event loop now and then. */
function counter({ samplesMax }: Selection, signal: AbortSignal): Count {
  let samples = 0;
  let turn = 0;
  return async (read) => {
    samples += read;
    turn += read;
    if (samples > samplesMax) throw tooMuch('samplesMax', samplesMax, 'samples');
    if (turn < samplesPerTurn) return;
    turn = 0;
    await setImmediate();
    signal.throwIfAborted();
  };
}

/** What is read of each sample, and how a row of lists becomes the samples of a series. */
interface Shape {
  readonly lists: string;
  readonly columns: (chunk: DuckDBDataChunk) => (row: number) => Samples;
}

const numberLists = 'list(epoch_ms(timestamp)::DOUBLE), list(value::DOUBLE)';

/** Without an object a sample: the lists' elements lie side by side in one array each. */
const numbers: Shape = {
  lists: numberLists,
  columns: (chunk) => {
    const plain = plainColumns(chunk);
    return (row) => inOrder(plain(row));
  },
};

function plainColumns(chunk: DuckDBDataChunk): (row: number) => Samples {
  const timestamps = listColumn(chunk, 1);
  const values = listColumn(chunk, 2);
  return (row) => ({
    timestampsMs: timestamps.items.subarray(...timestamps.bounds(row)),
    values: values.items.subarray(...values.bounds(row)),
  });
}

const everything: Shape = {
  lists: `${numberLists}, list(coalesce(epoch_ms(start_timestamp), 0)::DOUBLE), list(coalesce(histogram, ''))`,
  columns: (chunk) => {
    const plain = plainColumns(chunk);
    const starts = listColumn(chunk, 3);
    const histograms = chunk.getColumnVector(4) as DuckDBListVector;
    return (row) => {
      const startsMs = starts.items.subarray(...starts.bounds(row));
      const from = histograms.getEntryOffset(row);
      const texts = Array.from(startsMs, (_, index) => textOf(histograms.childVector.getItem(from + index)));
      return mergeSamples({
        ...plain(row),
        ...(startsMs.some((startMs) => startMs !== 0) && { startsMs }),
        ...(texts.some((text) => text !== '') && { histograms: texts.map(histogramOf) }),
      });
    };
  },
};

/** The limit keeps DuckDB from collecting more than may be used; the order is made here, where it costs less. */
async function readLists(
  connection: DuckDBConnection,
  rows: string,
  { samplesMax }: Selection,
  { lists, columns }: Shape,
  count: Count,
): Promise<Map<bigint, Samples>> {
  const found = new Map<bigint, Samples>();
  const limited = `(SELECT * FROM ${rows} LIMIT ${samplesMax + 1})`;
  const sql = `SELECT series_id, ${lists} FROM ${limited} GROUP BY series_id`;
  for await (const chunk of chunksOf(connection, sql)) {
    const ids = chunk.getColumnVector(0);
    const samplesOf = columns(chunk);
    for (let row = 0; row < chunk.rowCount; row++) {
      const samples = samplesOf(row);
      found.set(idOf(ids.getItem(row)), samples);
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

function idOf(item: unknown): bigint {
  if (typeof item !== 'bigint') throw new Error('the id of a series is no whole number');
  return item;
}

function textOf(item: unknown): string {
  if (typeof item !== 'string') throw new Error('a column of text holds something else');
  return item;
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
