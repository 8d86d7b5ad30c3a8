import { expect, test } from 'vitest';
import { findPacket } from './packet-place.ts';

test.each<[string, number[], unknown]>([
  ['an empty packet', [0xc0, 0], { body: 2, end: 2 }],
  ['one byte of length', [0x30, 0x7f], { body: 2, end: 129 }],
  ['two', [0x30, 0x80, 0x01], { body: 3, end: 131 }],
  ['four', [0x30, 0xff, 0xff, 0xff, 0x7f], { body: 5, end: 5 + 268_435_455 }],
  ['a length that is longer than it needs to be', [0x30, 0x81, 0x00], { body: 3, end: 4 }],
  ['nothing', [], 'unknown'],
  ['a type', [0x30], 'unknown'],
  ['a part of a length', [0x30, 0xff, 0xff, 0xff], 'unknown'],
  ['five bytes of length', [0x30, 0x80, 0x80, 0x80, 0x80, 0x01], 'malformed'],
])('%s', (_, bytes, expected) => {
  const place = { body: 0, end: 0 };
  const found = findPacket(Uint8Array.of(7, ...bytes), 1, place);
  expect(found === 'found' ? { body: place.body - 1, end: place.end - 1 } : found).toEqual(expected);
});
