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
  /** Takes it out of its entry. */
  forget(): void;
}

const bytesPerEntry = 500;

export function createResultCache(bytesMax: number): ResultCache {
  /** In the order of their last use, as the blocks. */
  const entries = new Map<string, CacheEntry>();
  const held = createHeld();
  const { count, counters } = held;
  const bytesOfEntry = (key: string): number => bytesPerEntry + 2 * key.length;
  /** First blocks go, then what is known of queries that have none. */
  const trim = (): void => {
    held.trim(bytesMax);
    for (const key of entries.keys()) {
      if (counters().bytes <= bytesMax) return;
      entries.delete(key);
      count({ bytes: -bytesOfEntry(key) });
    }
  };
  return {
    ...{ bytesMax, count, counters },
    entry: (key) => {
      const known = entries.get(key);
      const entry = known ?? createEntry(held, trim);
      entries.delete(key);
      entries.set(key, entry);
      if (known) return known;
      count({ bytes: bytesOfEntry(key) });
      trim();
      return entry;
    },
  };
}

function createEntry(held: Held, trim: () => void): CacheEntry {
  const blocks = new Map<number, Stored>();
  return {
    ...{ noted: false, refused: false },
    get: (number, isCurrent) => {
      const stored = blocks.get(number);
      if (stored === undefined) return undefined;
      held.drop(stored);
      if (isCurrent(stored.block, stored.version)) {
        blocks.set(number, stored);
        held.add(stored);
        return stored.block;
      }
      held.count({ outdatedBlocks: 1 });
      return undefined;
    },
    put: (number, version, block) => {
      const before = blocks.get(number);
      if (before) held.drop(before);
      const bytes = bytesOfBlock(block);
      const stored: Stored = { version, block, bytes, forget: () => void blocks.delete(number) };
      blocks.set(number, stored);
      held.add(stored);
      trim();
    },
  };
}

type Held = ReturnType<typeof createHeld>;

/** The blocks of all entries, in the order of their last use. */
function createHeld() {
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
    if (!held.delete(stored)) return;
    stored.forget();
    count({ bytes: -stored.bytes });
  };
  return {
    ...{ count, drop, counters: () => counters },
    add: (stored: Stored): void => {
      held.add(stored);
      count({ bytes: stored.bytes });
    },
    trim: (bytesMax: number): void => {
      for (const oldest of held) {
        if (counters.bytes <= bytesMax) return;
        drop(oldest);
      }
    },
  };
}
