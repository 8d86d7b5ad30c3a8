import type { AppliedReceipt } from '../ship/export/bundle-source.ts';

/** What became of a receipt, for people. */
export function receiptText({ epoch, number, outcome }: AppliedReceipt): string {
  switch (outcome) {
    case 'applied':
      return `the cloud has shipments up to ${number}`;
    case 'old':
      return `the receipt is about epoch ${epoch}, which has ended here: it frees nothing`;
    case 'foreign':
      return `the receipt is about shipments that are not from here (${number} of epoch ${epoch}): does another gateway run under this identity? Everything without a receipt will be shipped again`;
  }
}
