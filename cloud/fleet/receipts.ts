import { signJws } from '../../lake/base/jws.ts';
import { invalidDocument } from '../../lake/model/document.ts';
import { printReceipt, type ReceiptForm, receiptSchema, signedReceipt } from '../../lake/model/receipt.ts';
import type { Authority } from '../../provisioning/authority-files.ts';
import { openCloudDocument } from '../../provisioning/cloud-document.ts';
import { receiptType } from '../../provisioning/contract.ts';

/** Receipts that the device authority signs: who can write into the store can't make a gateway forget its rows. */
export function receiptsSignedBy({ signer, root }: Pick<Authority, 'signer' | 'root'>): ReceiptForm {
  return {
    print: async (receipt) => printReceipt(receipt, await signJws({ typ: receiptType }, receipt, signer)),
    parse: (text, key, of) => {
      const signed = signedReceipt(text, key);
      if (signed === undefined) throw invalidDocument('receipt', key, 'it is not signed');
      return openCloudDocument(signed, receiptType, receiptSchema, { ...of, root });
    },
  };
}
