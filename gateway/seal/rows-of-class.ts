import type { IdSet } from '../../lake/base/id-set.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { classOfSignal } from '../../lake/model/stream-class.ts';
import { isTextColumn, type TextColumn, textOffsets } from '../../lake/model/text-column.ts';
import { seriesIdsOf } from '../../lake/schema/batch-columns.ts';

/**
 * The rows of a batch whose stream is an alarm, or those whose stream is not; undefined when there is none. The batch
 * itself when it has no others.
 */
export function rowsOfClass(batch: Batch, alarmIds: IdSet, alarms: boolean): Batch | undefined {
  const ids = seriesIdsOf(batch);
  if (ids === undefined) return alarms === (classOfSignal(batch.signal) === 'alarms') ? batch : undefined;
  if (alarmIds.size === 0) return alarms ? undefined : batch;
  const halves = new Int32Array(ids.buffer, ids.byteOffset, ids.length * 2);
  const rows: number[] = [];
  for (let row = 0; row < batch.rows; row++)
    if (alarmIds.has(halves[2 * row] ?? 0, halves[2 * row + 1] ?? 0) === alarms) rows.push(row);
  if (rows.length === batch.rows) return batch;
  return rows.length === 0 ? undefined : pick(batch, rows);
}

/** A batch of these rows: every column by row, what is beside the columns as it is. */
function pick(batch: Batch, rows: readonly number[]): Batch {
  const entries = Object.entries(batch).map(([name, column]: [string, unknown]) => {
    if (column instanceof BigInt64Array) return [name, BigInt64Array.from(rows, (row) => column[row] ?? 0n)];
    if (column instanceof Float64Array) return [name, pickDoubles(column, rows)];
    if (typeof column === 'object' && column !== null && isTextColumn(column))
      return [name, pickTexts(column, rows)];
    const isColumn = Array.isArray(column) && name !== 'series' && name !== 'metadata';
    return [name, isColumn ? rows.map((row) => column[row] as unknown) : column];
  });
  return { ...(Object.fromEntries(entries) as Batch), rows: rows.length } as Batch;
}

/** By their bits, which keeps the payloads of NaNs. */
function pickDoubles(column: Float64Array, rows: readonly number[]): Float64Array {
  const bits = new BigInt64Array(column.buffer, column.byteOffset, column.length);
  return new Float64Array(BigInt64Array.from(rows, (row) => bits[row] ?? 0n).buffer);
}

function pickTexts(column: TextColumn, rows: readonly number[]): TextColumn {
  const offsets = textOffsets(column);
  const lengths = Int32Array.from(rows, (row) => column.lengths[row] ?? -1);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + Math.max(0, length), 0));
  let end = 0;
  for (const row of rows) {
    const text = column.bytes.subarray(offsets[row], offsets[row + 1]);
    bytes.set(text, end);
    end += text.length;
  }
  return { kind: 'utf8', length: rows.length, lengths, bytes };
}
