import { z } from 'zod';
import { parseDocument } from './document.ts';
import { progressSchema } from './progress.ts';

/**
 * What the cloud tells a gateway: everything up to (epoch, number) is committed, or refused. The marks in the tables are
 * the truth; a receipt follows them, and may be behind.
 */
export type Receipt = z.infer<typeof receiptSchema>;
export type RefusedShipment = Receipt['refused'][number];

/** Refused shipments that a receipt lists, the newest. */
export const refusedShipmentsMax = 100;

// Fields that are not known are left out: a gateway may be older than its cloud.
const receiptSchema = z.object({
  format: z.literal(1),
  tenant: z.string(),
  gateway: z.string(),
  /** Absent until the cloud has accepted a manifest of it. */
  site: z.string().optional(),
  epoch: z.number().int().nonnegative(),
  number: z.number().int().nonnegative(),
  /** Hex SHA-256 of the manifest of (epoch, number): another one means that somebody else ships as this gateway. */
  manifestSha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** When this was committed, and when the receipt was written, by the cloud's clock. */
  committedUs: z.number().int(),
  cloudUs: z.number().int(),
  /** What that manifest said. */
  progress: progressSchema,
  refused: z
    .array(
      z.object({
        epoch: z.number().int().positive(),
        number: z.number().int().positive(),
        /** Of the manifest. */
        key: z.string(),
        reason: z.string(),
      }),
    )
    .max(refusedShipmentsMax),
});

export function printReceipt(receipt: Receipt): string {
  return `${JSON.stringify(receiptSchema.parse(receipt))}\n`;
}

/** Throws FirnError `invalid` that names the field. */
export function parseReceipt(text: string, key: string): Receipt {
  return parseDocument(receiptSchema, text, 'receipt', key);
}
