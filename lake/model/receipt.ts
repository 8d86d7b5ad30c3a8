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
export const receiptSchema = z.object({
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

/** `signed`: the same, signed by the cloud, for gateways that know who that is. Those of before read the fields beside it. */
export function printReceipt(receipt: Receipt, signed?: string): string {
  return `${JSON.stringify({ ...receiptSchema.parse(receipt), ...(signed !== undefined && { signed }) })}\n`;
}

/** Throws FirnError `invalid` that names the field. */
export function parseReceipt(text: string, key: string): Receipt {
  return parseDocument(receiptSchema, text, 'receipt', key);
}

/** The signed one in it; undefined where nobody has signed. Throws FirnError `invalid`. */
export function signedReceipt(text: string, key: string): string | undefined {
  return parseDocument(z.object({ signed: z.string().optional() }), text, 'receipt', key).signed;
}

/** How the cloud writes and reads receipts. */
export interface ReceiptForm {
  print(receipt: Receipt): Promise<string>;
  /** Throws FirnError `invalid`, or `denied` when it is none that this cloud has written for this gateway. */
  parse(text: string, key: string, of: { readonly tenant: string; readonly gateway: string }): Receipt;
}

/** As they are, signed by nobody. */
export const plainReceipts: ReceiptForm = {
  print: async (receipt) => printReceipt(receipt),
  parse: parseReceipt,
};
