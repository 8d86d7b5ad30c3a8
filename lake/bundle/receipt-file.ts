import { z } from 'zod';
import { FirnError } from '../base/errors.ts';
import type { PublicKey, Signer } from './signing-key.ts';
import type { Stick } from './stick.ts';

// A receipt on its way back: the text of lake/model/receipt.ts, signed by the cloud. A gateway deletes what a receipt
// covers, so it takes none that anybody else could have written.

const fileSchema = z.strictObject({
  kind: z.literal('firn-receipt'),
  format: z.literal(1),
  /** Fingerprint of the key that signed. */
  signer: z.string(),
  /** The receipt's bytes as text: what is signed. */
  receipt: z.string(),
  signature: z.base64(),
});

/** A larger file is refused unread. */
export const receiptFileBytesMax = 4 * 1024 * 1024;

export const receiptFile = (tenant: string, gateway: string): string => `receipt_${tenant}_${gateway}.json`;

/** Writes a receipt to a stick; it replaces the older one at once or not at all. Returns its name. */
export async function writeReceiptFile(
  stick: Stick,
  receipt: { readonly tenant: string; readonly gateway: string; readonly text: string },
  signer: Signer,
): Promise<string> {
  const name = receiptFile(receipt.tenant, receipt.gateway);
  const temporary = 'receipt.tmp';
  await stick.write(temporary, [Buffer.from(printReceiptFile(receipt.text, signer))]);
  await stick.rename(temporary, name);
  await stick.syncFolder('.');
  return name;
}

function printReceiptFile(text: string, signer: Signer): string {
  const signature = signer.sign(Buffer.from(text)).toString('base64');
  const { fingerprint } = signer.publicKey;
  const file = { kind: 'firn-receipt', format: 1, signer: fingerprint, receipt: text, signature };
  return `${JSON.stringify(file)}\n`;
}

/**
 * The text of a receipt that this key has signed. `key` is undefined when none is trusted yet. Throws FirnError `denied`
 * when another one signed it, `corrupt` when the file is damaged.
 */
export function openReceiptFile(text: string, key: PublicKey | undefined): string {
  const file = parse(text);
  const receipt = Buffer.from(file.receipt);
  if (key?.verify(receipt, Buffer.from(file.signature, 'base64'))) return file.receipt;
  if (key?.fingerprint === file.signer) throw damaged('its signature is wrong');
  throw new FirnError({
    code: 'denied',
    operation: 'verify receipt',
    subject: file.signer,
    message: key
      ? `the receipt is signed by the key ${file.signer}, but this gateway trusts ${key.fingerprint}`
      : `the receipt is signed by the key ${file.signer}, and this gateway trusts no cloud yet`,
    hint: 'if that is your cloud: print its key there with `firn ship cloud-key`, and here run `firn ship trust-cloud PUBKEY_FILE`',
  });
}

function parse(text: string): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch {
    throw damaged('it is not a receipt of firn');
  }
}

function damaged(why: string): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'read receipt',
    subject: 'receipt',
    message: `the receipt is damaged or forged: ${why}`,
    hint: 'import the stick in the cloud again: that writes its receipts anew',
  });
}
