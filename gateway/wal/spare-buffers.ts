/**
 * Buffers that wander between two threads: what was sent and came back is used again. New memory for every payload costs
 * more than what is written to it, because the system clears its pages and the heap is cleaned more often.
 */
export interface SpareBuffers {
  /** All of a buffer with at least so many bytes, with anything in it. */
  take(bytes: number): Uint8Array<ArrayBuffer>;
  give(buffers: readonly ArrayBuffer[]): void;
}

const bytesFirst = 4096;
/** Larger ones are not kept, and not more of all. */
const bufferBytesMax = 4 * 1024 * 1024;
const spareBytesMax = 8 * 1024 * 1024;

export function createSpareBuffers(): SpareBuffers {
  /** By size, which is a power of two. */
  const spare = new Map<number, ArrayBuffer[]>();
  let spareBytes = 0;
  return {
    take: (bytes) => {
      if (bytes > bufferBytesMax) return new Uint8Array(bytes);
      const size = Math.max(bytesFirst, 2 ** Math.ceil(Math.log2(bytes)));
      const buffer = spare.get(size)?.pop();
      if (buffer === undefined) return new Uint8Array(size);
      spareBytes -= size;
      return new Uint8Array(buffer);
    },
    give: (buffers) => {
      for (const buffer of buffers) {
        const size = buffer.byteLength;
        if (size > bufferBytesMax || spareBytes + size > spareBytesMax) continue;
        spareBytes += size;
        const same = spare.get(size);
        if (same) same.push(buffer);
        else spare.set(size, [buffer]);
      }
    },
  };
}
