// Where bytes occur in others, for searches that go through a gigabyte and find much: a call of Buffer.indexOf for each
// occurrence costs more than the bytes between them, and it looks for a first byte, which in text is often there.

/** The first occurrence that begins at `from` or later and ends by `to`; negative where there is none. */
export type Find = (from: number, to: number) => number;

/** Of shorter needles Buffer.indexOf is quicker, ... */
const needleBytesMin = 5;
/** ... and of those whose first byte is as rare as that, in a sample. */
const rareOf = 192;
const sampleBytes = 2048;

/** Finds the needle, in each of many texts. */
export function byteFinder(needle: Buffer): (bytes: Buffer) => Find {
  const slots = needle.length < needleBytesMin ? undefined : pairSlots(needle);
  return (bytes) =>
    slots && !startsRarely(bytes, needle) ? pairFind(bytes, needle, slots) : nativeFind(bytes, needle);
}

const nativeFind =
  (bytes: Buffer, needle: Buffer): Find =>
  (from, to) => {
    // It must not go through a page for each of its lines.
    const within = to < bytes.byteLength ? bytes.subarray(0, to) : bytes;
    return within.indexOf(needle, from);
  };

function startsRarely(bytes: Buffer, needle: Buffer): boolean {
  const first = needle[0];
  const end = Math.min(sampleBytes, bytes.length);
  let count = 0;
  for (let at = 0; at < end; at++) if (bytes[at] === first) count++;
  return count * rareOf < end;
}

// Any two neighbours of the needle are looked for, at every place that is so far from the last that no occurrence can lie
// in between. Most places need no more than that one look.

const slotCount = 4096;
const slotOf = (pair: number): number => (pair ^ (pair >>> 5)) & (slotCount - 1);

function pairSlots(needle: Buffer): Uint8Array {
  const slots = new Uint8Array(slotCount);
  for (let at = 0; at + 1 < needle.length; at++) slots[slotOf(needle.readUInt16LE(at))] = 1;
  return slots;
}

function pairFind(bytes: Buffer, needle: Buffer, slots: Uint8Array): Find {
  // Pairs lie where their number of two bytes does: `shift` bytes before the text's own.
  const shift = bytes.byteOffset & 1;
  const pairs = new Uint16Array(bytes.buffer, bytes.byteOffset - shift, (bytes.byteLength + shift) >>> 1);
  const step = (needle.length - 1) >>> 1;
  const [two, three, four] = [2 * step, 3 * step, 4 * step];
  return (from, to) => {
    const end = Math.min(pairs.length, (to + shift) >>> 1);
    const last = end - three;
    // The last pair, of those with even places, that an occurrence at `from` is sure to have.
    let at = (from + shift + needle.length - 2) >>> 1;
    for (;;) {
      while (
        at < last &&
        ((slots[slotOf(pairs[at] ?? 0)] ?? 0) |
          (slots[slotOf(pairs[at + step] ?? 0)] ?? 0) |
          (slots[slotOf(pairs[at + two] ?? 0)] ?? 0) |
          (slots[slotOf(pairs[at + three] ?? 0)] ?? 0)) ===
          0
      )
        at += four;
      const stop = Math.min(end, at + four);
      for (; at < stop; at += step) {
        if (slots[slotOf(pairs[at] ?? 0)] === 0) continue;
        const found = occurrenceAround(
          bytes,
          needle,
          Math.max(from, 2 * at - shift - needle.length + 2),
          2 * at - shift,
          to,
        );
        if (found >= 0) return found;
      }
      if (at >= end) return -1;
    }
  };
}

/** The first occurrence that begins within [first, last] and ends by `to`. */
function occurrenceAround(bytes: Buffer, needle: Buffer, first: number, last: number, to: number): number {
  const end = Math.min(last, to - needle.length);
  for (let start = first; start <= end; start++) {
    let at = 0;
    while (at < needle.length && bytes[start + at] === needle[at]) at++;
    if (at === needle.length) return start;
  }
  return -1;
}
