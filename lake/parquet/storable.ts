import type { Batch } from '../model/batch.ts';

// Tables hold timestamps that are safe integers of microseconds, so that manifests and bounds can carry them as
// numbers: 1684 to 2255 for metrics; of logs a little less, because 64 bits of nanoseconds end in 2262.
// Only the high half of each 64-bit integer is looked at: no BigInt is made per row.

const highUsMax = 2 ** 21;
const highNsMax = 2_000_000_000;

/** Says why the batch can't become rows of a table, or undefined when it can. */
export function whyNotStorable(batch: Batch): string | undefined {
  const metrics = batch.signal === 'metrics';
  const column = metrics ? batch.timestampUs : batch.timestampNs;
  const highMax = metrics ? highUsMax : highNsMax;
  const highs = new Int32Array(column.buffer, column.byteOffset, column.length * 2);
  for (let row = 0; row < batch.rows; row++) {
    const high = highs[2 * row + 1] ?? 0;
    if (high >= highMax || high < 1 - highMax) return `the timestamp of row ${row} is out of range`;
  }
  return undefined;
}
