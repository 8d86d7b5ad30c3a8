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
  let arenaView = viewOf(arena);
  /** The array that was asked about last, and four bytes at a time of it. */
  let lastBytes = arena;
  let lastView = arenaView;
  /** Senders repeat their series in the same order, so the key after the last one found is tried without hashing. */
  let expected = 0;
  let size = 0;
  let keyBytes = 0;

  const startOf = (index: number): number => (index === 0 ? 0 : (ends[index - 1] ?? 0));

  const look = (bytes: Uint8Array): DataView => {
    if (bytes !== lastBytes) {
      lastBytes = bytes as Uint8Array<ArrayBuffer>;
      lastView = viewOf(bytes);
    }
    return lastView;
  };

  const equals = (index: number, view: DataView, start: number, end: number): boolean => {
    let key = startOf(index);
    if ((ends[index] ?? 0) - key !== end - start) return false;
    let at = start;
    for (; at + 4 <= end; at += 4, key += 4)
      if (view.getInt32(at, true) !== arenaView.getInt32(key, true)) return false;
    for (; at < end; at++, key++) if (view.getUint8(at) !== arenaView.getUint8(key)) return false;
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
      const view = look(bytes);
      if (expected < size && equals(expected, view, start, end)) return expected++;
      const hash = hashOf(view, start, end);
      const mask = slots.length - 1;
      for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
        const index = slots[slot] ?? EMPTY;
        if (index === EMPTY) return -1;
        if (hashes[index] === hash && equals(index, view, start, end)) {
          expected = index + 1;
          return index;
        }
      }
    },
    insert: (bytes, start, end) => {
      const hash = hashOf(look(bytes), start, end);
      if (size === ends.length) {
        ends = grown(ends, new Int32Array(size * 2));
        hashes = grown(hashes, new Int32Array(size * 2));
      }
      while (keyBytes + end - start > arena.length) {
        arena = grown(arena, new Uint8Array(arena.length * 2));
        arenaView = viewOf(arena);
      }
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

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Four bytes a step, mixed by multiplication; only for this table, so it may change with any version. */
function hashOf(view: DataView, start: number, end: number): number {
  let hash = end - start;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    hash = Math.imul(hash ^ view.getInt32(at, true), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) hash = Math.imul(hash ^ view.getUint8(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
