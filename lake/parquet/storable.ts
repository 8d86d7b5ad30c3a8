import type { Batch, BatchColumn } from '../model/batch.ts';
import { batchColumnsOf, columnOf } from '../schema/batch-columns.ts';
import { tableSchemas } from '../schema/tables.ts';

// Tables hold timestamps that are safe integers of microseconds, so that manifests and bounds can carry them as
// numbers: 1684 to 2255; where the exact time is in nanoseconds a little less, because 64 bits of them end in 2262.
// Only the high half of each 64-bit integer is looked at: no BigInt is made per row.
const highUsMax = 2 ** 21;
const highNsMax = 2_000_000_000;
/** What a device says may be far from any year we know, but not from any that a database knows (290,000 BC to AD). */
const deviceUsMax = 9_000_000_000_000_000_000n;

/** Says why the batch can't become rows of a table, or undefined when it can. */
export function whyNotStorable(batch: Batch): string | undefined {
  for (const { name, highMax } of timesOf(batch.signal)) {
    const row = firstOutOfRange(columnOf(batch, name), batch.rows, highMax);
    if (row !== undefined) return `the ${name} of row ${row} is out of range`;
  }
  return undefined;
}

interface Time {
  readonly name: string;
  readonly highMax: number;
}

const knownTimes = new Map<Batch['signal'], readonly Time[]>();

/** The columns of times that a batch brings. */
function timesOf(signal: Batch['signal']): readonly Time[] {
  const known = knownTimes.get(signal);
  if (known) return known;
  const nanoseconds = new Set(
    tableSchemas[signal].columns.map(({ source }) => (typeof source === 'object' ? source.nanoseconds : '')),
  );
  const times = batchColumnsOf(signal).flatMap(({ name, type }): Time[] => {
    if (nanoseconds.has(name)) return [{ name, highMax: highNsMax }];
    return type === 'timestamptz' ? [{ name, highMax: highUsMax }] : [];
  });
  knownTimes.set(signal, times);
  return times;
}

function firstOutOfRange(column: BatchColumn | undefined, rows: number, highMax: number): number | undefined {
  if (column instanceof BigInt64Array) {
    const highs = new Int32Array(column.buffer, column.byteOffset, column.length * 2);
    for (let row = 0; row < rows; row++) {
      const high = highs[2 * row + 1] ?? 0;
      if (high >= highMax || high < 1 - highMax) return row;
    }
    return undefined;
  }
  const values = Array.isArray(column) ? (column as readonly (string | bigint | null)[]) : [];
  const row = values.findIndex((us) => typeof us === 'bigint' && (us > deviceUsMax || us < -deviceUsMax));
  return row === -1 ? undefined : row;
}
