import { type Batch, type BatchColumn, batchFields, type Signal } from '../model/batch.ts';
import type { TableName } from '../model/table-name.ts';
import { type Column, tableSchemas } from './tables.ts';

// A batch of any signal as columns by name, so that the WAL, the writers and the tables need no code per signal.

const ownColumns = new Map<TableName, readonly Column[]>();

/** The columns that a batch brings, or that rollups compute, in the schema's order. */
export function batchColumnsOf(signal: TableName): readonly Column[] {
  const known = ownColumns.get(signal);
  if (known) return known;
  const columns = tableSchemas[signal].columns.filter(({ source }) => source === 'batch');
  ownColumns.set(signal, columns);
  return columns;
}

/** Whether a batch holds the column as a typed array, which has no nulls. Doubles always are: they have NaN. */
export function isDense({ type, required }: Column): boolean {
  return type === 'double' || (required && type !== 'string');
}

/** Whether what is read again holds the texts as bytes (lake/model/text-column.ts): what there is of every log line. */
export function isUtf8Column(signal: TableName, { type, name }: Column): boolean {
  return signal === 'logs' && type === 'string' && name !== 'quality';
}

/** One column of a batch; undefined where every row of it is null. */
export function columnOf(batch: Batch, name: string): BatchColumn | undefined {
  const field = batchFields[batch.signal][name];
  return (batch as unknown as Readonly<Record<string, BatchColumn | undefined>>)[field ?? ''];
}

/** The ids of the rows' series; undefined for a signal without series. */
export function seriesIdsOf(batch: Batch): BigInt64Array | undefined {
  const { seriesColumn } = tableSchemas[batch.signal];
  return seriesColumn === undefined ? undefined : (columnOf(batch, seriesColumn) as BigInt64Array);
}

/** A batch of its columns by name, each in the form that the schema asks for; without series and metadata. */
export function batchOf(signal: Signal, rows: number, columns: ReadonlyMap<string, BatchColumn>): Batch {
  const batch: Record<string, unknown> = { signal, rows, series: [] };
  if (signal === 'metrics') batch.metadata = [];
  for (const [name, values] of columns) batch[batchFields[signal][name] ?? name] = values;
  return batch as unknown as Batch;
}
