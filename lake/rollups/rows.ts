import type { RowColumn } from '../model/batch.ts';
import type { Rows } from '../parquet/row-group-builder.ts';
import { type Buckets, bucketFlagNames, bucketFlags } from '../promql/rollups/buckets.ts';

/** Columns of a rollup table that are columns of buckets as they are. */
const numberColumns = {
  min: 'mins',
  max: 'maxes',
  sum: 'sums',
  sum_compensation: 'compensations',
  first: 'firsts',
  last: 'lasts',
  reset_sum: 'resetSums',
} as const satisfies Readonly<Record<string, keyof Buckets>>;

/** Columns of whole numbers. */
const countColumns = { count: 'counts', resets: 'resets', changes: 'changes' } as const;

/** What the rows of a series have in common. */
export interface OfSeries {
  readonly id: bigint;
  readonly name: string;
  readonly labels: string;
  readonly site: string;
}

/** The rows of a series in a rollup table, by column. Without a float in it, a bucket's numbers are NaN. */
export function rowsOfSeries({ id, name, labels, site }: OfSeries, buckets: Buckets, bucketMs: number): Rows {
  const { endsMs, counts, firsts, lasts, resetSums, flags } = buckets;
  const rows = endsMs.length;
  const same = <T>(value: T): T[] => new Array<T>(rows).fill(value);
  const longs = (column: Float64Array): BigInt64Array => BigInt64Array.from(column, (value) => BigInt(value));
  const held = (column: Float64Array): Float64Array =>
    column.map((value, row) => (counts[row] === 0 ? Number.NaN : value));
  const times = (column: Float64Array): (bigint | null)[] =>
    Array.from(column, (timeMs, row) => (counts[row] === 0 ? null : BigInt(timeMs) * 1000n));
  const increase = firsts.map((first, row) => (lasts[row] ?? 0) - first + (resetSums[row] ?? 0));
  const columns: [string, RowColumn][] = [
    ['name', same(name)],
    ['series_id', new BigInt64Array(rows).fill(id)],
    ['timestamp', BigInt64Array.from(endsMs, (endMs) => BigInt(endMs - bucketMs) * 1000n)],
    ['labels', same(labels)],
    ['site', same(site)],
    ...Object.entries(numberColumns).map(([to, from]): [string, RowColumn] => [to, held(buckets[from])]),
    ...Object.entries(countColumns).map(([to, from]): [string, RowColumn] => [to, longs(buckets[from])]),
    ['first_timestamp', times(buckets.firstsMs)],
    ['last_timestamp', times(buckets.lastsMs)],
    ['increase', held(increase)],
    ['flags', Array.from(flags, flagText)],
  ];
  return { rows, columns: new Map(columns) };
}

function flagText(flags: number): string | null {
  const names = bucketFlagNames.filter((name) => (flags & bucketFlags[name]) !== 0);
  return names.length === 0 ? null : names.join(',');
}
