import { FirnError } from '../lake/base/errors.ts';
import { alphabet, base32, printLetters, readLetters } from './base32.ts';

// The code that a device shows, so that somebody can say whose it is: the beginning of the hash of its public key, and a
// check letter. Nobody can come with the code of a device and another key, and there is nothing to compare beside it.

/** 75 bits. */
const keyLetters = 15;

/** `keyHash`: hex SHA-256 of the public key (SPKI). 16 letters, as the cloud keeps it. */
export function deviceCodeOf(keyHash: string): string {
  const letters = base32(Buffer.from(keyHash, 'hex')).slice(0, keyLetters);
  return `${letters}${alphabet[timesTwo(remainder(letters))]}`;
}

/** As a person reads it: `XXXX-XXXX-XXXX-XXXX`. */
export const printDeviceCode = printLetters;

/** 16 letters. Throws FirnError `invalid`. */
export function parseDeviceCode(text: string): string {
  const letters = readLetters(text.trim().slice(text.trim().indexOf('#') + 1));
  const isWhole = letters?.length === keyLetters + 1;
  if (isWhole && remainder(letters) === 0) return letters;
  throw new FirnError({
    ...{ code: 'invalid', operation: 'read device code', subject: 'code' },
    message: isWhole
      ? 'the code of the device is mistyped: its last letter does not fit the others'
      : 'the code of the device is not valid: it has 16 letters and digits in groups of four',
    hint: 'read it from the console of the device, or from its page in a browser',
  });
}

/** The page of a cloud for a device, as its QR code has it. What is behind the # stays in the browser. */
export const adoptionUrl = (cloudUrl: string, code: string): string =>
  `${cloudUrl.replace(/\/+$/, '')}${adoptionPath}#${printDeviceCode(code)}`;
export const adoptionPath = '/adopt';

/**
 * Of the letters as a polynomial over GF(32), at 2: each place weighs something else, so that one wrong letter and two
 * changed ones are always seen.
 */
const remainder = (letters: string): number =>
  [...letters].reduce((sum, letter) => timesTwo(sum) ^ alphabet.indexOf(letter), 0);

/** x^5 + x^2 + 1. */
const timesTwo = (value: number): number => (value < 16 ? value << 1 : (value << 1) ^ 0b100101);
