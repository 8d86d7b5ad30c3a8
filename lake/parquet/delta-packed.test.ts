import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeDelta, encodeDelta } from './delta-packed.ts';

test('decode(encode(values)) = values', () => {
  const step = fc.oneof(fc.integer({ min: -5, max: 5 }), fc.integer({ min: -(2 ** 49), max: 2 ** 49 }));
  fc.assert(
    fc.property(
      // Nanoseconds of the times that there are are no exact numbers.
      fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
      fc.array(step, { maxLength: 400 }),
      (first, steps) => {
        const values = BigInt64Array.from([first, ...steps.map((each) => first + BigInt(each))]);
        const encoded = encodeDelta(values);
        // Where differences are not exact as numbers, it says so.
        if (encoded !== undefined) expect(decodeDelta(encoded, values.length)).toEqual(values);
        else expect(Math.max(...steps.map(Math.abs))).toBeGreaterThan(2 ** 48);
      },
    ),
    { numRuns: 200 },
  );
});

test('regular times take next to nothing', () => {
  const values = BigInt64Array.from(
    { length: 10_000 },
    (_, row) => 1_700_000_000_000_000n + BigInt(row) * 15_000_000n,
  );
  expect(encodeDelta(values)?.byteLength).toBeLessThan(1_000);
});

test('differences that are not exact as numbers are refused, what is cut short noticed', () => {
  expect(encodeDelta(BigInt64Array.of(0n, 1n << 60n))).toBeUndefined();
  expect(encodeDelta(BigInt64Array.of(-(1n << 63n), (1n << 63n) - 1n))).toBeUndefined();
  const encoded =
    encodeDelta(BigInt64Array.from({ length: 300 }, (_, row) => BigInt(row * row))) ?? Buffer.of();
  expect(() => decodeDelta(encoded.subarray(0, 40), 300)).toThrow(RangeError);
  expect(decodeDelta(encoded, 299)).toBeUndefined();
});
