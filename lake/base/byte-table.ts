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

interface State {
  /** Power of two, at most half full; index of a key or EMPTY. */
  slots: Int32Array;
  hashes: Int32Array;
  /** Key i is arena[ends[i - 1], ends[i]). */
  ends: Int32Array;
  arena: Uint8Array;
  arenaView: DataView;
  size: number;
  keyBytes: number;
  /** The array that was asked about last, and four bytes at a time of it. */
  lastBytes: Uint8Array | undefined;
  lastView: DataView;
  /** Senders repeat their series in the same order, so the key after the last one found is tried without hashing. */
  expected: number;
}

export function createByteTable(): ByteTable {
  const arena = new Uint8Array(65_536);
  const state: State = {
    slots: new Int32Array(1024).fill(EMPTY),
    hashes: new Int32Array(512),
    ends: new Int32Array(512),
    arena,
    arenaView: viewOf(arena),
    size: 0,
    keyBytes: 0,
    lastBytes: undefined,
    lastView: viewOf(arena),
    expected: 0,
  };
  return {
    find: (bytes, start, end) => find(state, bytes, start, end),
    insert: (bytes, start, end) => insert(state, bytes, start, end),
    get size() {
      return state.size;
    },
    get keyBytes() {
      return state.keyBytes;
    },
  };
}

function find(state: State, bytes: Uint8Array, start: number, end: number): number {
  const view = look(state, bytes);
  if (state.expected < state.size && equals(state, state.expected, view, start, end)) return state.expected++;
  const { slots, hashes } = state;
  const hash = hashOf(view, start, end);
  const mask = slots.length - 1;
  for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
    const index = slots[slot] ?? EMPTY;
    if (index === EMPTY) return -1;
    if (hashes[index] !== hash || !equals(state, index, view, start, end)) continue;
    state.expected = index + 1;
    return index;
  }
}

function insert(state: State, bytes: Uint8Array, start: number, end: number): number {
  const hash = hashOf(look(state, bytes), start, end);
  const index = state.size++;
  if (index === state.ends.length) {
    state.ends = grown(state.ends, new Int32Array(index * 2));
    state.hashes = grown(state.hashes, new Int32Array(index * 2));
  }
  while (state.keyBytes + end - start > state.arena.length) {
    state.arena = grown(state.arena, new Uint8Array(state.arena.length * 2));
    state.arenaView = viewOf(state.arena);
  }
  state.arena.set(bytes.subarray(start, end), state.keyBytes);
  state.keyBytes += end - start;
  state.ends[index] = state.keyBytes;
  state.hashes[index] = hash;
  if (state.size * 2 > state.slots.length) growSlots(state);
  else place(state.slots, index, hash);
  return index;
}

function look(state: State, bytes: Uint8Array): DataView {
  if (bytes !== state.lastBytes) {
    state.lastBytes = bytes;
    state.lastView = viewOf(bytes);
  }
  return state.lastView;
}

function equals(state: State, index: number, view: DataView, start: number, end: number): boolean {
  const { ends, arenaView } = state;
  let key = index === 0 ? 0 : (ends[index - 1] ?? 0);
  if ((ends[index] ?? 0) - key !== end - start) return false;
  let at = start;
  for (; at + 8 <= end; at += 8, key += 8) {
    // As doubles, because those are eight bytes at once; but NaN is not itself, and there are two zeros.
    const eight = view.getFloat64(at, true);
    if (eight === arenaView.getFloat64(key, true) && eight !== 0) continue;
    if (view.getInt32(at, true) !== arenaView.getInt32(key, true)) return false;
    if (view.getInt32(at + 4, true) !== arenaView.getInt32(key + 4, true)) return false;
  }
  for (; at + 4 <= end; at += 4, key += 4)
    if (view.getInt32(at, true) !== arenaView.getInt32(key, true)) return false;
  for (; at < end; at++, key++) if (view.getUint8(at) !== arenaView.getUint8(key)) return false;
  return true;
}

function growSlots(state: State): void {
  state.slots = new Int32Array(state.slots.length * 2).fill(EMPTY);
  for (let index = 0; index < state.size; index++) place(state.slots, index, state.hashes[index] ?? 0);
}

function place(slots: Int32Array, index: number, hash: number): void {
  const mask = slots.length - 1;
  let slot = hash & mask;
  while (slots[slot] !== EMPTY) slot = (slot + 1) & mask;
  slots[slot] = index;
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
