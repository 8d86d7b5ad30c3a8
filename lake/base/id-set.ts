/** 64-bit ids by their signed halves, in 8 bytes each and open addressing: a Set of BigInts would take ten times that. */
export interface IdSet {
  readonly size: number;
  has(low: number, high: number): boolean;
  /** An id that is not in it. */
  add(low: number, high: number): void;
}

export function createIdSet(): IdSet {
  let slots = new Int32Array(2048);
  let size = 0;
  let hasZero = false; // which would look like an empty slot
  const slotOf = (low: number, high: number): number => {
    const mask = slots.length / 2 - 1;
    // Ids are hashes themselves.
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const [there, above] = [slots[2 * slot], slots[2 * slot + 1]];
      if ((there === low && above === high) || (there === 0 && above === 0)) return 2 * slot;
    }
  };
  const put = (low: number, high: number): void => {
    const slot = slotOf(low, high);
    slots[slot] = low;
    slots[slot + 1] = high;
  };
  return {
    get size() {
      return size;
    },
    has: (low, high) => {
      if (low === 0 && high === 0) return hasZero;
      const slot = slotOf(low, high);
      return slots[slot] === low && slots[slot + 1] === high;
    },
    add: (low, high) => {
      size++;
      if (low === 0 && high === 0) hasZero = true;
      else put(low, high);
      if (size * 4 < slots.length) return;
      const before = slots;
      slots = new Int32Array(before.length * 2);
      for (let at = 0; at < before.length; at += 2)
        if (before[at] !== 0 || before[at + 1] !== 0) put(before[at] ?? 0, before[at + 1] ?? 0);
    },
  };
}
