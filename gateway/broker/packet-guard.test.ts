import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createPacketGuard } from './packet-guard.ts';

function packet(length: number): Uint8Array {
  const size: number[] = [];
  let rest = length;
  for (; rest >= 128; rest = Math.floor(rest / 128)) size.push((rest % 128) | 0x80);
  return Buffer.concat([Uint8Array.from([0x30, ...size, rest]), Buffer.alloc(length, 0xff)]);
}

test('packets up to the limit pass, a longer one does not, however the bytes are cut', () => {
  const limit = 20_000;
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: limit })), { maxLength: 10 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 5000 }),
      (lengths, bad, step) => {
        const bytes = Buffer.concat([...lengths, ...(bad ? [limit + 1] : [])].map(packet));
        const guard = createPacketGuard(limit);
        let passed = true;
        for (let at = 0; at < bytes.length; at += step) passed &&= guard(bytes.subarray(at, at + step));
        expect(passed).toBe(!bad);
      },
    ),
  );
});

test('a length of more than four bytes is refused', () => {
  expect(createPacketGuard(2 ** 40)(Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x80, 0x01))).toBe(false);
});
