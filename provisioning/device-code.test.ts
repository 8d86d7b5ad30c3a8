import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { alphabet } from './base32.ts';
import { adoptionUrl, deviceCodeOf, parseDeviceCode, printDeviceCode } from './device-code.ts';

const keyHash = createHash('sha256').update('a key').digest('hex');
const code = deviceCodeOf(keyHash);

test('a code can be read as it is printed, typed by hand, or scanned', () => {
  expect(printDeviceCode(code)).toMatch(/^([0-9A-Z]{4}-){3}[0-9A-Z]{4}$/);
  for (const text of [
    printDeviceCode(code),
    ` ${printDeviceCode(code).toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')} `,
    adoptionUrl('https://lake.example.com/', code),
  ])
    expect(parseDeviceCode(text)).toBe(code);
});

test('every single wrong letter, and every two that are changed, are seen', () => {
  const letters = [...code];
  let tried = 0;
  const refuse = (wrong: readonly string[]): void => {
    tried++;
    expect(() => parseDeviceCode(wrong.join(''))).toThrow('mistyped');
  };
  letters.forEach((letter, place) => {
    for (const other of alphabet) if (other !== letter) refuse(letters.with(place, other));
    letters.forEach((second, after) => {
      if (after > place && second !== letter) refuse(letters.with(place, second).with(after, letter));
    });
  });
  expect(tried).toBeGreaterThan(16 * 31);
});

test.each(['', 'x', code.slice(1), `${code}0`, `${code.slice(1)}U`])('%j is no code', (text) => {
  expect(() => parseDeviceCode(text)).toThrow('it has 16 letters and digits in groups of four');
});

test('another key has another code', () => {
  expect(deviceCodeOf(createHash('sha256').update('another').digest('hex'))).not.toBe(code);
});
