import { type Block, bytesOfBlock } from './block.ts';

/**
 * Answers of range queries in memory, in blocks. Each is kept with the version of the rows that it was made of, and is of
 * use as long as that is their version: so nothing has to be told to the cache.
 */
export interface ResultCache {
  /** Bytes, about; what has not been used for longest goes first. */
  readonly bytesMax: number;
  /** What is remembered of queries with this key; made when it is first asked for. */
  entry(key: string): CacheEntry;
  counters(): CacheCounters;
  count(change: Partial<CacheCounters>): void;
}

export interface CacheEntry {
  /** Its answers had annotations, which say nothing of when: each block is evaluated by itself. */
  noted: boolean;
  /** Parts of its answers can't be put together. */
  refused: boolean;
  /** What there is of a block. One that is not `current` is forgotten. */
  get(number: number, isCurrent: (block: Block, version: string) => boolean): Block | undefined;
  put(number: number, version: string, block: Block): void;
}

interface CacheCounters {
  /** Steps of queries that could be cached: answered from memory, and evaluated. */
  readonly reusedSteps: number;
  readonly evaluatedSteps: number;
  /** Blocks whose rows had changed when they were asked for. */
  readonly outdatedBlocks: number;
  /** Held now, about. */
  readonly bytes: number;
}

interface Stored {
  readonly version: string;
  readonly block: Block;
  readonly bytes: number;
  forget(): void;
}

const bytesPerEntry = 500;

export function createResultCache(bytesMax: number): ResultCache {
  const entries = new Map<string, { readonly entry: CacheEntry; forget(): void }>();
  /** Blocks in the order of their last use. */
  const held = new Set<Stored>();
  let counters: CacheCounters = { reusedSteps: 0, evaluatedSteps: 0, outdatedBlocks: 0, bytes: 0 };
  const count: ResultCache['count'] = (change) => {
    const sum = (name: keyof CacheCounters): number => counters[name] + (change[name] ?? 0);
    counters = {
      reusedSteps: sum('reusedSteps'),
      evaluatedSteps: sum('evaluatedSteps'),
      outdatedBlocks: sum('outdatedBlocks'),
      bytes: sum('bytes'),
    };
  };
  const drop = (stored: Stored): void => {
    held.delete(stored);
    stored.forget();
    count({ bytes: -stored.bytes });
  };
  const trim = (): void => {
    for (const oldest of held) {
      if (counters.bytes <= bytesMax) return;
      drop(oldest);
    }
    // Entries without blocks, which say that theirs are not to be kept.
    for (const { forget } of entries.values()) {
      if (counters.bytes <= bytesMax) return;
      forget();
    }
  };
  const newEntry = (key: string): CacheEntry => {
    const blocks = new Map<number, Stored>();
    const bytes = bytesPerEntry + 2 * key.length;
    const forget = (): void => {
      if (!entries.delete(key)) return;
      for (const stored of blocks.values()) drop(stored);
      count({ bytes: -bytes });
    };
    const entry: CacheEntry = {
      ...{ noted: false, refused: false },
      get: (number, isCurrent) => {
        const stored = blocks.get(number);
        if (stored === undefined) return undefined;
        held.delete(stored);
        if (isCurrent(stored.block, stored.version)) {
          held.add(stored);
          return stored.block;
        }
        drop(stored);
        count({ outdatedBlocks: 1 });
        return undefined;
      },
      put: (number, version, block) => {
        const before = blocks.get(number);
        if (before) drop(before);
        const size = bytesOfBlock(block);
        const stored: Stored = { version, block, bytes: size, forget: () => void blocks.delete(number) };
        blocks.set(number, stored);
        held.add(stored);
        count({ bytes: size });
        trim();
      },
    };
    entries.set(key, { entry, forget });
    count({ bytes });
    return entry;
  };
  return {
    bytesMax,
    entry: (key) => {
      const known = entries.get(key);
      if (known === undefined) {
        const entry = newEntry(key);
        trim();
        return entry;
      }
      entries.delete(key);
      entries.set(key, known);
      return known.entry;
    },
    counters: () => counters,
    count,
  };
}
