import fc from 'fast-check';
import { expect, test } from 'vitest';
import { base32 } from './base32.ts';
import { makeClaimCode } from './claim-code.ts';
import { parseClaim, printClaim } from './contract.ts';

const pin = 'R3EWATSC9ZV20123';

test.each([undefined, 'https://lake.example.com', 'http://127.0.0.1:8490'])(
  'a claim can be read as it is printed, from %s',
  (url) => {
    const code = makeClaimCode();
    const text = printClaim({ code, pin, url });
    expect(parseClaim(text)).toEqual({ code, pin, url });
    expect(parseClaim(` ${text.toLowerCase().replaceAll('-', ' ').replace('HTTP', 'http')} `)).toEqual({
      code,
      pin,
      url,
    });
  },
);

test('letters that look alike are read as the digits that they are', () => {
  expect(parseClaim(`${'0'.repeat(10)}${'1'.repeat(10)}${pin}`)).toEqual(
    parseClaim(`${'oO'.repeat(5)}${'iL'.repeat(5)}${pin}`),
  );
});

test.each([
  '',
  'x',
  `${pin}${pin}`,
  `${'U'.repeat(20)}${pin}`,
  `ftp://x/#${'0'.repeat(36)}`,
  `https:///#${'0'.repeat(36)}`,
])('%j is no claim', (text) => {
  expect(() => parseClaim(text)).toThrow('the claim is not valid');
});

test('base 32 is that of RFC 4648 with other letters', () => {
  const rfc = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const ours = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  const bits = (letters: string, alphabet: string): string =>
    [...letters].map((each) => alphabet.indexOf(each).toString(2).padStart(5, '0')).join('');
  expect(bits(base32(Buffer.from('foobar')), ours)).toBe(bits('MZXW6YTBOI', rfc).slice(0, 45));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const whole = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
      const letters = Math.floor(whole.length / 5);
      expect(bits(base32(bytes), ours)).toBe(whole.slice(0, letters * 5));
    }),
    { seed: 1 },
  );
});
