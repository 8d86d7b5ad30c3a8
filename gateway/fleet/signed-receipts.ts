import { FirnError } from '../../lake/base/errors.ts';
import { parseReceipt, type Receipt, receiptSchema, signedReceipt } from '../../lake/model/receipt.ts';
import { openCloudDocument } from '../../provisioning/cloud-document.ts';
import { receiptType } from '../../provisioning/contract.ts';
import type { CloudSession } from './session.ts';

/**
 * Reads receipts of the cloud that this gateway is enrolled with. One that nobody has signed counts only if that cloud
 * itself says that it signs none, as clouds before it did. Throws FirnError `denied` for a forged one, `invalid` for what
 * is no receipt, `unavailable` where the cloud would have to be asked.
 */
export function signedReceipts(
  session: Pick<CloudSession, 'identity' | 'signsReceipts'>,
): (text: string, key: string, signal: AbortSignal) => Promise<Receipt> {
  return async (text, key, signal) => {
    const signed = signedReceipt(text, key);
    if (signed !== undefined) return openCloudDocument(signed, receiptType, receiptSchema, session.identity);
    if (!(await session.signsReceipts(signal))) return parseReceipt(text, key);
    throw new FirnError({
      ...{ code: 'denied', operation: 'read receipt', subject: key },
      message: `the receipt ${key} is refused: the cloud signs its receipts, and this one is not signed`,
      hint: 'find out who can write below outbox/ in the store; the cloud writes a new one with its next commit',
    });
  };
}
