// Which three bytes follow each other somewhere in the texts of a column chunk, as a set of hashes: what is not in it is
// in none of them. Decision 0026 says what it costs and what it saves.

/** Key of a column chunk's note that says where its set is: offset, length, and length when it is unpacked. */
export const trigramsNote = 'firn.trigrams';

const bits = 65_536;
const slotOf = (three: number): number => Math.imul(three, 0x9e3779b1) >>> 16;

type TrigramSet = Buffer;

export const newTrigrams = (): TrigramSet => Buffer.alloc(bits / 8);

export function addTrigrams(set: TrigramSet, bytes: Uint8Array, start: number, end: number): void {
  if (end - start < 3) return;
  let three = ((bytes[start] ?? 0) << 8) | (bytes[start + 1] ?? 0);
  for (let at = start + 2; at < end; at++) {
    three = ((three << 8) | (bytes[at] ?? 0)) & 0xff_ffff;
    const slot = slotOf(three);
    set[slot >>> 3] = (set[slot >>> 3] ?? 0) | (1 << (slot & 7));
  }
}

/** Whether a text of the set may hold the needle. */
export function mayHold(set: TrigramSet, needle: Uint8Array): boolean {
  for (let at = 2; at < needle.length; at++) {
    const three = ((needle[at - 2] ?? 0) << 16) | ((needle[at - 1] ?? 0) << 8) | (needle[at] ?? 0);
    const slot = slotOf(three);
    if (((set[slot >>> 3] ?? 0) & (1 << (slot & 7))) === 0) return false;
  }
  return true;
}
