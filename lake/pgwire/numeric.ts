import type { ByteWriter } from '../sql/cells/byte-writer.ts';

// PostgreSQL's binary numeric: base-10000 digits, the weight of the first one, a sign, and the decimals to print.

const signs: Readonly<Record<string, number>> = { NaN: 0xc000, Infinity: 0xd000, '-Infinity': 0xf000 };
const negative = 0x4000;

/** Writes a number printed without exponent (`-12.50`, `NaN`, `Infinity`). */
export function writeNumeric(text: string, out: ByteWriter): void {
  const special = signs[text];
  const [whole = '', fraction = ''] = special === undefined ? text.replace('-', '').split('.') : [];
  const digits =
    whole.padStart(Math.ceil(whole.length / 4) * 4, '0') +
    fraction.padEnd(Math.ceil(fraction.length / 4) * 4, '0');
  const groups = (digits.match(/.{4}/g) ?? []).map(Number);
  let weight = Math.ceil(whole.length / 4) - 1;
  while (groups[0] === 0) {
    groups.shift();
    weight--;
  }
  while (groups.at(-1) === 0) groups.pop();
  out.int16(groups.length);
  out.int16(groups.length === 0 ? 0 : weight);
  // As bits: the largest signs don't fit in a signed 16-bit number.
  const sign = special ?? (text.startsWith('-') && groups.length > 0 ? negative : 0);
  out.uint8(sign >> 8);
  out.uint8(0);
  out.int16(fraction.length);
  for (const group of groups) out.int16(group);
}

/** Reads one back; undefined if the bytes are not a numeric. */
export function readNumeric(bytes: Buffer): string | undefined {
  if (bytes.length < 8 || bytes.length !== 8 + 2 * bytes.readUInt16BE(0)) return undefined;
  const sign = bytes.readUInt16BE(4);
  const special = Object.entries(signs).find(([, code]) => code === sign);
  if (special) return special[0];
  const weight = bytes.readInt16BE(2);
  const scale = bytes.readUInt16BE(6) & 0x3fff;
  const group = (index: number): string =>
    index >= 0 && 8 + 2 * index < bytes.length
      ? String(bytes.readUInt16BE(8 + 2 * index)).padStart(4, '0')
      : '0000';
  const range = (from: number, to: number): string =>
    Array.from({ length: Math.max(0, to - from) }, (_, index) => group(from + index)).join('');
  const whole = range(0, weight + 1).replace(/^0+(?=\d)/, '') || '0';
  const fraction = range(weight + 1, weight + 1 + Math.ceil(scale / 4)).slice(0, scale);
  return `${sign === negative ? '-' : ''}${whole}${scale > 0 ? `.${fraction}` : ''}`;
}
