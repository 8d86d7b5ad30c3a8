/** A hash table from byte strings to their index of insertion: 0, 1, 2, ... Open addressing; keys are copied in. */
export interface ByteTable {
  /** Index of the key bytes[start, end), or -1. */
  find(bytes: Uint8Array, start: number, end: number): number;
  /** Adds a key that is not in it, and returns its index. */
  insert(bytes: Uint8Array, start: number, end: number): number;
  readonly size: number;
  /** Bytes of all keys. */
  readonly keyBytes: number;
}

const EMPTY = -1;

export function createByteTable(): ByteTable {
  let slots = new Int32Array(1024).fill(EMPTY);
  let hashes = new Int32Array(512);
  /** Key i is arena[ends[i - 1], ends[i]). */
  let ends = new Int32Array(512);
  let arena = new Uint8Array(65_536);
  let size = 0;
  let keyBytes = 0;

  const startOf = (index: number): number => (index === 0 ? 0 : (ends[index - 1] ?? 0));

  const equals = (index: number, bytes: Uint8Array, start: number, end: number): boolean => {
    const from = startOf(index);
    if ((ends[index] ?? 0) - from !== end - start) return false;
    for (let at = start, key = from; at < end; at++, key++) if (bytes[at] !== arena[key]) return false;
    return true;
  };

  const growSlots = (): void => {
    slots = new Int32Array(slots.length * 2).fill(EMPTY);
    for (let index = 0; index < size; index++) place(index, hashes[index] ?? 0);
  };
  const place = (index: number, hash: number): void => {
    const mask = slots.length - 1;
    let slot = hash & mask;
    while (slots[slot] !== EMPTY) slot = (slot + 1) & mask;
    slots[slot] = index;
  };

  return {
    find: (bytes, start, end) => {
      const hash = hashOf(bytes, start, end);
      const mask = slots.length - 1;
      for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
        const index = slots[slot] ?? EMPTY;
        if (index === EMPTY) return -1;
        if (hashes[index] === hash && equals(index, bytes, start, end)) return index;
      }
    },
    insert: (bytes, start, end) => {
      const hash = hashOf(bytes, start, end);
      if (size === ends.length) {
        ends = grown(ends, new Int32Array(size * 2));
        hashes = grown(hashes, new Int32Array(size * 2));
      }
      while (keyBytes + end - start > arena.length) arena = grown(arena, new Uint8Array(arena.length * 2));
      arena.set(bytes.subarray(start, end), keyBytes);
      keyBytes += end - start;
      ends[size] = keyBytes;
      hashes[size] = hash;
      size++;
      if (size * 2 > slots.length) growSlots();
      else place(size - 1, hash);
      return size - 1;
    },
    get size() {
      return size;
    },
    get keyBytes() {
      return keyBytes;
    },
  };
}

function grown<T extends Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** Four bytes a step, mixed by multiplication; only for this table, so it may change with any version. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    const word =
      (bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24);
    hash = Math.imul(hash ^ word, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
