import type { Batch } from '../../lake/model/batch.ts';

// Rows that the gateway stamped itself while its clock was wrong are moved by what the clock was wrong by. Rows that
// carry their device's own time are left alone. Nothing in a row says which it is, but the gateway's own stamps lie
// just before the moment when their batch was received, by the same wrong clock.

/** A stamp may be so much older than its batch: messages wait while the disk is busy, or for their share of a group. */
const stampedBeforeUsMax = 60_000_000;
/** And so much newer: messages of one millisecond are stamped one microsecond apart. */
const stampedAfterUsMax = 1_000_000;

/**
 * The batch as it would be if the clock had been right: `offsetUs` is added to what it said. The batch itself is left
 * as it is. A device whose own time happens to be within a minute of the wrong clock is moved too.
 */
export function correctBatch<B extends Batch>(batch: B, receivedUs: number, offsetUs: number): B {
  if (offsetUs === 0 || batch.rows === 0) return batch;
  const fields: Record<string, BigInt64Array> = {};
  for (const [field, unitsPerUs] of timeFields) {
    const column = (batch as unknown as Readonly<Record<string, unknown>>)[field];
    if (column instanceof BigInt64Array) fields[field] = corrected(column, receivedUs, offsetUs, unitsPerUs);
  }
  return { ...batch, ...fields };
}

/** Of every signal; the times of gaps are those of receipt. */
const timeFields = [
  ['timestampUs', 1n],
  ['timestampNs', 1000n],
  ['fromUs', 1n],
  ['toUs', 1n],
] as const;

function corrected(
  column: BigInt64Array,
  receivedUs: number,
  offsetUs: number,
  unitsPerUs: bigint,
): BigInt64Array {
  const from = BigInt(receivedUs - stampedBeforeUsMax) * unitsPerUs;
  const to = BigInt(receivedUs + stampedAfterUsMax) * unitsPerUs;
  const offset = BigInt(offsetUs) * unitsPerUs;
  return column.map((time) => (time >= from && time <= to ? time + offset : time));
}
