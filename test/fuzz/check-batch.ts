import assert from 'node:assert';
import { decodeBatch, encodeBatch } from '../../gateway/wal/batch-codec.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { whyNotStorable } from '../../lake/parquet/storable.ts';
import { batchColumnsOf, columnOf, seriesIdsOf } from '../../lake/schema/batch-columns.ts';

/** That a batch can be stored: columns of one length, times in range, labels for every new series. */
export function checkBatch(batch: Batch): void {
  for (const { name, required } of batchColumnsOf(batch.signal)) {
    const column = columnOf(batch, name);
    assert(column !== undefined || !required, `${batch.signal}.${name} is missing`);
    if (column !== undefined) assert.equal(column.length, batch.rows, `${batch.signal}.${name}`);
  }
  assert.equal(whyNotStorable(batch), undefined);
  const known = new Set(batch.series.map(({ id }) => id));
  for (const id of seriesIdsOf(batch) ?? []) assert(known.has(id), `no labels of ${batch.signal} id ${id}`);
  for (const { labels } of batch.series) JSON.parse(labels);
  assert.equal(decodeBatch(batch.signal, encodeBatch(batch)).rows, batch.rows);
}
