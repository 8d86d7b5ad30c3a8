import fc from 'fast-check';
import { expect, test } from 'vitest';
import { byteFinder } from './byte-finder.ts';

test('it finds what Buffer.indexOf finds, wherever the bytes lie', () => {
  let found = 0;
  const letters = (min: number, max: number) =>
    fc.array(fc.constantFrom('a', 'b'), { minLength: min, maxLength: max }).map((all) => all.join(''));
  fc.assert(
    fc.property(
      ...([letters(1, 9), letters(0, 80), fc.nat(80), fc.nat(90), fc.nat(3)] as const),
      (needle, text, from, to, shift) => {
        const bytes = Buffer.from(`${'x'.repeat(shift)}${text}${needle.repeat(2)}`).subarray(shift);
        const end = Math.min(to, bytes.length);
        const at = bytes.subarray(0, end).indexOf(needle, from);
        const wanted = from <= end ? at : -1;
        if (wanted >= 0) found++;
        expect(byteFinder(Buffer.from(needle))(bytes)(from, end)).toBe(wanted);
      },
    ),
    { numRuns: 5000 },
  );
  expect(found).toBeGreaterThan(500);
});

test('a needle whose first byte is rare is found, too', () => {
  const bytes = Buffer.from(`${'-'.repeat(10_000)}HTTP/1.1${'-'.repeat(100)}HTTP/1.1`);
  const find = byteFinder(Buffer.from('HTTP/1'))(bytes);
  expect([find(0, 20_000), find(10_001, 20_000), find(10_001, 10_113), find(10_109, 20_000)]).toEqual([
    10_000, 10_108, -1, -1,
  ]);
});
