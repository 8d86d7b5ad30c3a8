import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lex } from './lex.ts';
import {
  parseDurationMs,
  parseNumber,
  printDurationMs,
  printFloat,
  printGeneral,
  printString,
  unquote,
} from './literals.ts';

test('durations are read as they are written', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9 * 10 ** 12 }), (ms) => {
      expect(parseDurationMs(printDurationMs(ms))).toBe(ms);
    }),
  );
});

test.each([
  [0, '0s'],
  [5_400_000, '1h30m'],
  [8 * 86_400_000, '8d'],
  [14 * 86_400_000, '2w'],
  [1001, '1s1ms'],
  [-60_000, '-1m'],
])('%d ms is %s', (ms, text) => {
  expect(printDurationMs(ms)).toBe(text);
});

test.each([
  ['5x', 'unknown unit "x" in duration "5x"'],
  ['5m1h', 'not a valid duration string: "5m1h"'],
  ['', 'empty duration string'],
  ['9999999999999999y', 'duration out of range'],
])('%s is no duration', (text, message) => {
  expect(() => parseDurationMs(text)).toThrow(message);
});

test('floats are written so that they read back, without an exponent', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true }), (value) => {
      const text = printFloat(value);
      expect(Number(text.replace('Inf', 'Infinity'))).toBe(value);
      expect(text).not.toMatch(/\de/);
    }),
  );
});

test.each([
  [1e-7, '0.0000001', '1e-07'],
  [1.5e21, '1500000000000000000000', '1.5e+21'],
  [0.25, '0.25', '0.25'],
  [-1e22, '-10000000000000000000000', '-1e+22'],
  [Number.NaN, 'NaN', 'NaN'],
])('%d is %s and %s', (value, plain, general) => {
  expect([printFloat(value), printGeneral(value)]).toEqual([plain, general]);
});

test.each([
  ['0x1f', 31],
  ['010', 8],
  ['08', 8],
  ['1_0.5e-1', 1.05],
  ['+Inf', Infinity],
  ['-inf', -Infinity],
  ['1e', undefined],
])('the number %s', (text, value) => {
  expect(parseNumber(text)).toBe(value);
});

test('strings are read as they are written', () => {
  const text = fc.string({ unit: 'binary' }).filter((value) => value.isWellFormed());
  fc.assert(
    fc.property(text, (value) => {
      const [token] = lex(printString(value));
      expect(token?.type).toBe('string');
      expect(unquote(token?.text ?? '')).toBe(value);
    }),
  );
});

test.each([
  [String.raw`"\x41\101A\U00000041\a"`, 'AAAA\u0007'],
  [String.raw`"\xc3\xbc"`, 'ü'],
  ['`\\n`', '\\n'],
  [String.raw`'it\'s'`, "it's"],
])('the string %s', (token, value) => {
  expect(unquote(token)).toBe(value);
});
