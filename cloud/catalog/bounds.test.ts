import fc from 'fast-check';
import { expect, test } from 'vitest';
import { boundCharactersMax, decodeInt, decodeLong, encodeBound, encodeInt, encodeLong } from './bounds.ts';

const unit = fc.string({ unit: 'binary', maxLength: 24 });

test('text bounds enclose the text, byte for byte, and are short', () => {
  fc.assert(
    fc.property(unit, (raw) => {
      const text = raw.toWellFormed();
      const lower = encodeBound('string', text, 'lower');
      const upper = encodeBound('string', text, 'upper');
      if (!lower) throw new Error('a lower bound always exists');
      expect(Buffer.compare(lower, Buffer.from(text))).toBeLessThanOrEqual(0);
      if (upper) expect(Buffer.compare(upper, Buffer.from(text))).toBeGreaterThanOrEqual(0);
      for (const bound of [lower, upper])
        expect([...(bound ?? '').toString()].length).toBeLessThanOrEqual(boundCharactersMax);
    }),
  );
});

test.each([
  ['short', 'short'],
  ['abcdefghijklmnopq', 'abcdefghijklmnoq'],
  [`${'a'.repeat(15)}\u{10ffff}b`, `${'a'.repeat(14)}b`],
  [`${'a'.repeat(15)}\ud7ffb`, `${'a'.repeat(15)}\ue000`],
  ['\u{10ffff}'.repeat(17), undefined],
])('upper bound of %j is %j', (text, upper) => {
  expect(encodeBound('string', text, 'upper')?.toString()).toBe(upper);
});

test('numbers are little-endian, as the specification writes them', () => {
  expect(encodeLong(1234n).toString('hex')).toBe('d204000000000000');
  expect(encodeBound('double', '1.2345', 'lower')?.toString('hex')).toBe('8d976e1283c0f33f');
  expect(encodeBound('double', 'NaN', 'upper')).toBeUndefined();
  expect(encodeInt(1000).toString('hex')).toBe('e8030000');
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      expect(decodeLong(encodeLong(value))).toBe(value);
    }),
  );
  fc.assert(fc.property(fc.integer(), (value) => decodeInt(encodeInt(value)) === value));
});
