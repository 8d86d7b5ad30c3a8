import { type Buckets, bucketFlagNames, bucketFlags, sortBuckets } from '../promql/rollups/buckets.ts';
import type { BucketSelection } from '../promql/source.ts';
import type { Engine } from '../sql/duckdb/engine.ts';
import { seriesCondition, timestampSql } from './conditions.ts';
import { chunksOf, listColumn } from './lists.ts';
import { tooMuch } from './read-series.ts';
import { useConnection } from './use-connection.ts';

/** Where each column of buckets is in a rollup table. */
const sqlOf: Readonly<Record<keyof Buckets, (bucketMs: number) => string>> = {
  endsMs: (bucketMs) => `epoch_ms(timestamp) + ${bucketMs}`,
  counts: () => 'count',
  mins: () => 'min',
  maxes: () => 'max',
  sums: () => 'sum',
  compensations: () => 'sum_compensation',
  firsts: () => 'first',
  firstsMs: () => 'coalesce(epoch_ms(first_timestamp), 0)',
  lasts: () => 'last',
  lastsMs: () => 'coalesce(epoch_ms(last_timestamp), 0)',
  resetSums: () => 'reset_sum',
  resets: () => 'resets',
  changes: () => 'changes',
  flags: () => `coalesce(${bucketFlagNames.map(flagSql).join(' + ')}, 0)`,
};
const columns = Object.keys(sqlOf) as (keyof Buckets)[];

function flagSql(name: (typeof bucketFlagNames)[number]): string {
  return `${bucketFlags[name]} * (contains(flags, '${name}'))::INT`;
}

interface StoredBuckets {
  /** Canonical JSON. */
  readonly labels: string;
  readonly buckets: Buckets;
}

/** The rows of a rollup table that begin in some of `times`, by series. */
export async function readBuckets(
  { engine }: { readonly engine: Engine },
  from: string,
  { matchers, bucketMs, samplesMax, seriesMax }: BucketSelection,
  times: readonly { readonly fromMs: number; readonly toMs: number }[],
  signal: AbortSignal,
): Promise<readonly StoredBuckets[]> {
  const within = times.map(
    ({ fromMs, toMs }) => `(timestamp >= ${timestampSql(fromMs)} AND timestamp < ${timestampSql(toMs)})`,
  );
  const rows = `SELECT * FROM ${from} WHERE (${['false', ...within].join(' OR ')}) AND ${seriesCondition({ matchers })} LIMIT ${samplesMax + 1}`;
  const lists = columns.map((column) => `list((${sqlOf[column](bucketMs)})::DOUBLE)`);
  const sql = `SELECT any_value(labels), ${lists.join(', ')} FROM (${rows}) GROUP BY series_id`;
  return useConnection(engine, signal, async (connection) => {
    const found: StoredBuckets[] = [];
    let count = 0;
    for await (const chunk of chunksOf(connection, sql)) {
      signal.throwIfAborted();
      const labels = chunk.getColumnValues(0);
      const read = columns.map((column, index) => [column, listColumn(chunk, index + 1)] as const);
      for (let row = 0; row < chunk.rowCount; row++) {
        const cells = read.map(([column, { items, bounds }]) => [column, items.subarray(...bounds(row))]);
        const buckets = Object.fromEntries(cells) as Buckets;
        count += buckets.endsMs.length;
        if (count > samplesMax) throw tooMuch('samplesMax', samplesMax, 'samples');
        found.push({ labels: String(labels[row]), buckets: sortBuckets([buckets]) });
      }
      if (found.length > seriesMax) throw tooMuch('seriesMax', seriesMax, 'series');
    }
    return found;
  });
}
