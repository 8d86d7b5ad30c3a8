// Which three bytes follow each other somewhere in the texts of a page, as a set of hashes: what is not in it is in none of
// them. Decision 0034 says what it costs and what it saves.

/**
 * Key of a column chunk's note that says where the sets of its data pages are, one behind the other: offset, length, and
 * length when they are unpacked.
 */
export const trigramsNote = 'firn.trigrams-of-pages';

const bits = 16_384;
export const trigramsBytes = bits / 8;
const slotOf = (three: number): number => Math.imul(three, 0x9e3779b1) >>> 18;

type TrigramSet = Buffer;

/** `texts` stand one behind the other, each behind its length in four bytes. */
export function trigramsOf(texts: Buffer): TrigramSet {
  const set = Buffer.alloc(trigramsBytes);
  for (let at = 0; at < texts.byteLength; ) {
    const end = at + 4 + texts.readUInt32LE(at);
    addTrigrams(set, texts, at + 4, end);
    at = end;
  }
  return set;
}

function addTrigrams(set: TrigramSet, bytes: Uint8Array, start: number, end: number): void {
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
