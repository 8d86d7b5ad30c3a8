// Crockford's base 32, whose letters can't be taken for each other: for what people read from one screen and type into
// another.

export const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** 5 bits a letter; what is left over at the end is left out. */
export function base32(bytes: Uint8Array): string {
  let letters = '';
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) letters += alphabet[(held >> (bits - 5)) & 31];
    held &= (1 << bits) - 1;
  }
  return letters;
}

/** In groups of four. */
export const printLetters = (letters: string): string => letters.replaceAll(/(.{4})(?=.)/g, '$1-');

/** What a person has typed: in lower case, with hyphens or spaces, O for 0. Undefined where other characters are in it. */
export function readLetters(text: string): string | undefined {
  const letters = text.toUpperCase().replaceAll(/[-\s]/g, '').replaceAll('O', '0').replaceAll(/[IL]/g, '1');
  return [...letters].every((each) => alphabet.includes(each)) ? letters : undefined;
}
