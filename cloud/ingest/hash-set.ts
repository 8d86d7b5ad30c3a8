/** A set of 64-bit hashes in a typed array: 16 to 32 bytes a member, and nothing for the garbage collector to visit. */
export interface HashSet {
  add(hash: bigint): void;
  has(hash: bigint): boolean;
  readonly size: number;
}

const capacityFirst = 1024;

export function hashSet(): HashSet {
  let slots = new BigInt64Array(capacityFirst);
  let size = 0;

  /** The slot that holds the hash, or the free one where it belongs. 0 marks a free slot. */
  function slotOf(hash: bigint): number {
    let slot = Number(BigInt.asUintN(32, hash)) & (slots.length - 1);
    while (slots[slot] !== 0n && slots[slot] !== hash) slot = (slot + 1) & (slots.length - 1);
    return slot;
  }

  function put(hash: bigint): void {
    const slot = slotOf(hash);
    if (slots[slot] === hash) return;
    slots[slot] = hash;
    size++;
  }

  const stored = (hash: bigint): bigint => BigInt.asIntN(64, hash) || 1n;
  return {
    add: (hash) => {
      if (size * 2 >= slots.length) {
        const full = slots;
        slots = new BigInt64Array(full.length * 2);
        size = 0;
        for (const each of full) if (each !== 0n) put(each);
      }
      put(stored(hash));
    },
    has: (hash) => slots[slotOf(stored(hash))] === stored(hash),
    get size() {
      return size;
    },
  };
}
