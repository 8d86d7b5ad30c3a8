import type { DuckDBConnection } from '@duckdb/node-api';
import { FirnError } from '../../lake/base/errors.ts';
import type { Signal } from '../../lake/model/batch.ts';
import { openRowAppender } from '../../lake/parquet/duckdb-rows.ts';
import { columnSql, hasSeriesName, rowDdl, rowTypesOf } from '../../lake/parquet/row-table.ts';
import { nameOf } from '../../lake/parquet/series-order.ts';
import { batchColumnsOf, columnOf } from '../../lake/schema/batch-columns.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { type Engine, sqlText } from '../../lake/sql/duckdb/engine.ts';
import type { Prune } from '../../lake/tables.ts';
import type { IntactBatch } from '../wal/intact-batches.ts';
import { createTouchedMinutes, type TouchedMinutes } from './touched-minutes.ts';

// The tail of one signal in the engine's memory: what is in the WAL and not sealed yet. Rows keep the seq of their
// batch, so that a view can name exactly the ones it saw. They are kept in generations, a pair of tables each: after a
// seal a new generation is begun, and an old one is dropped as a whole once its last row is sealed and no view is left
// that may read it. (Deleting rows would leave them in DuckDB's memory.)

export interface TailLimits {
  /** Rows of one signal that are not sealed, in the engine; a view of more fails with `limit`. */
  readonly tailRowsMax: number;
  /** The same in bytes of WAL. */
  readonly tailBytesMax: number;
}

export interface Tail extends AsyncDisposable {
  /** Adds batches in order of seq, all of them or none. One call at a time. */
  load(batches: readonly IntactBatch[], sealedSeq: number, labelsOf: LabelsOf): Promise<void>;
  /**
   * SELECTs that yield the rows with afterSeq < seq <= uptoSeq and the table's columns; not of generations without a row
   * that can be of `prune`. They stay valid until released.
   */
  pin(
    afterSeq: number,
    uptoSeq: number,
    prune: Prune,
  ): { readonly selects: readonly string[]; release(): void };
  /** Whether rows of metrics with afterSeq < seq <= uptoSeq may lie in a time: see TouchedMinutes. */
  touches(afterSeq: number, uptoSeq: number): TouchedMinutes['touch'];
  /** Drops generations that nobody needs. */
  dropSealed(sealedSeq: number): Promise<void>;
}

type LabelsOf = (ids: Iterable<bigint>) => ReadonlyMap<bigint, string>;

interface Generation {
  readonly table: string;
  readonly firstSeq: number;
  lastSeq: number;
  readonly minutes: TouchedMinutes;
}

const schemaName = 'firn_tail';

export async function openTail(engine: Engine, signal: Signal, site: string): Promise<Tail> {
  const connection = await engine.connect();
  await connection.run(`CREATE SCHEMA IF NOT EXISTS ${schemaName}`);
  let generations: Generation[] = [];
  let created = 0;
  const pinned = new Set<{ readonly afterSeq: number }>();

  const create = async (firstSeq: number): Promise<Generation> => {
    const table = `${signal}_${++created}`;
    await connection.run(`CREATE TABLE ${schemaName}.${table} (seq BIGINT, ${rowDdl(signal)})`);
    await connection.run(
      `CREATE TABLE ${schemaName}.${table}_series (id BIGINT, name VARCHAR, labels VARCHAR)`,
    );
    return { table, firstSeq, lastSeq: firstSeq, minutes: createTouchedMinutes() };
  };
  const between = (afterSeq: number, uptoSeq: number): readonly Generation[] =>
    generations.filter(({ firstSeq, lastSeq }) => lastSeq > afterSeq && firstSeq <= uptoSeq);
  return {
    load: async (batches, sealedSeq, labelsOf) => {
      const first = batches[0]?.seq;
      const last = batches.at(-1)?.seq;
      if (first === undefined || last === undefined) return;
      const newest = generations.at(-1);
      const fits = newest !== undefined && newest.firstSeq > sealedSeq;
      await connection.run('BEGIN');
      try {
        const generation = fits ? newest : await create(first);
        await addRows(connection, signal, generation.table, batches);
        await addSeries(connection, signal, generation.table, labelsOf);
        await connection.run('COMMIT');
        generation.lastSeq = last;
        for (const { batch } of batches)
          if (batch.signal === 'metrics') generation.minutes.add(batch.timestampUs);
        if (!fits) generations.push(generation);
      } catch (error) {
        await connection.run('ROLLBACK');
        throw error;
      }
    },
    pin: (afterSeq, uptoSeq, { fromUs = -Infinity, toUs = Infinity }) => {
      const pin = { afterSeq };
      pinned.add(pin);
      // Minutes are noted of metrics alone.
      const selects = between(afterSeq, uptoSeq)
        .filter(({ minutes }) => signal !== 'metrics' || minutes.touch(fromUs / 1000, toUs / 1000))
        .map(({ table }) => `${selectOf(signal, table, site)} WHERE seq > ${afterSeq} AND seq <= ${uptoSeq}`);
      return { selects, release: () => void pinned.delete(pin) };
    },
    touches: (afterSeq, uptoSeq) => {
      const found = between(afterSeq, uptoSeq);
      return (fromMs, toMs) => found.some(({ minutes }) => minutes.touch(fromMs, toMs));
    },
    dropSealed: async (sealedSeq) => {
      const neededAfter = Math.min(sealedSeq, ...[...pinned].map(({ afterSeq }) => afterSeq));
      const done = generations.filter(({ lastSeq }) => lastSeq <= neededAfter);
      generations = generations.filter((generation) => !done.includes(generation));
      for (const { table } of done) {
        await connection.run(`DROP TABLE ${schemaName}.${table}`);
        await connection.run(`DROP TABLE ${schemaName}.${table}_series`);
      }
    },
    [Symbol.asyncDispose]: async () => connection.closeSync(),
  };
}

async function addRows(
  connection: DuckDBConnection,
  signal: Signal,
  table: string,
  batches: readonly IntactBatch[],
): Promise<void> {
  using appender = await openRowAppender(connection, table, ['BIGINT', ...rowTypesOf(signal)], schemaName);
  const columns = batchColumnsOf(signal);
  for (const { seq, batch } of batches) {
    const seqs = new BigInt64Array(batch.rows).fill(BigInt(seq));
    appender.append([seqs, ...columns.map(({ name }) => columnOf(batch, name))], batch.rows);
  }
}

/** Labels of the series that are new in a generation. */
async function addSeries(
  connection: DuckDBConnection,
  signal: Signal,
  table: string,
  labelsOf: LabelsOf,
): Promise<void> {
  const { seriesColumn } = tableSchemas[signal];
  if (seriesColumn === undefined) return;
  const result = await connection.runAndReadAll(
    `SELECT DISTINCT "${seriesColumn}" FROM ${schemaName}.${table}
     WHERE "${seriesColumn}" NOT IN (SELECT id FROM ${schemaName}.${table}_series)`,
  );
  const series = [...labelsOf(result.getRows().map(([id]) => id as bigint))];
  const types = ['BIGINT', 'VARCHAR', 'VARCHAR'] as const;
  using appender = await openRowAppender(connection, `${table}_series`, types, schemaName);
  const ids = BigInt64Array.from(series, ([id]) => id);
  const hasName = hasSeriesName(signal);
  const names = series.map(([, labels]) => (hasName ? nameOf(labels) : ''));
  appender.append([ids, names, series.map(([, labels]) => labels)], series.length);
}

/** The columns of lake/schema/tables.ts, in that order. */
function selectOf(signal: Signal, table: string, site: string): string {
  const { columns, seriesColumn } = tableSchemas[signal];
  const parts = { site: sqlText(site), ofSeries: (name: string) => `"${name}"` };
  const select = columns.map((column) => `${columnSql(column, parts)} AS "${column.name}"`).join(', ');
  const series =
    seriesColumn === undefined ? '' : `JOIN ${schemaName}.${table}_series ON id = "${seriesColumn}"`;
  return `SELECT ${select} FROM ${schemaName}.${table} ${series}`;
}

export function tailTooLong(signal: Signal, limit: keyof TailLimits, max: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: `open ${signal}`,
    subject: limit,
    message: `more than ${max} ${limit === 'tailRowsMax' ? 'rows' : 'bytes'} of ${signal} are not sealed yet`,
    hint: 'if this lasts, sealing has stopped: see the log of this gateway and the space on its disk',
  });
}
