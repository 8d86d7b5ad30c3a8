import { expect, test } from 'vitest';
import { parseReceipt, printReceipt, type Receipt } from './receipt.ts';

const receipt: Receipt = {
  format: 1,
  tenant: 'acme',
  gateway: 'gw-1',
  epoch: 7,
  number: 3,
  manifestSha256: '0'.repeat(64),
  committedUs: 5,
  cloudUs: 6,
  progress: { metrics: { headUs: 9, watermarkUs: 4, pending: [] } },
  refused: [{ epoch: 7, number: 2, key: 'acme/inbox/gw-1/manifests/x.json', reason: 'it is bad' }],
};

test('parse(print(receipt)) = receipt', () => {
  expect(parseReceipt(printReceipt(receipt), 'k')).toEqual(receipt);
});

test('what a newer cloud adds is passed over', () => {
  expect(parseReceipt(JSON.stringify({ ...receipt, more: 1 }), 'k')).toEqual(receipt);
});

test.each([
  ['{', 'it is not JSON'],
  [JSON.stringify({ ...receipt, number: -1 }), 'number: Too small'],
  [JSON.stringify({ ...receipt, manifestSha256: 'x' }), 'manifestSha256'],
])('%s is refused: %s', (text, why) => {
  expect(() => parseReceipt(text, 'k')).toThrow(
    expect.objectContaining({ code: 'invalid', message: expect.stringContaining(why) }),
  );
});
