// What a name means at each level of a transaction: outside of it, in it, and in each of its savepoints.

/** What the protocol tells of transactions. `depth` of a savepoint is how many there are before it. */
export type TransactionEvent =
  | { readonly kind: 'begin' | 'commit' | 'rollback' | 'savepoint' }
  | { readonly kind: 'release' | 'rollback-to'; readonly depth: number };

export interface Levels<T> {
  /** What statements see, and change. */
  top(): Map<string, T>;
  move(event: TransactionEvent): void;
  inTransaction(): boolean;
  /** A level below the top may be gone back to, and has it. */
  isKept(value: T): boolean;
  isKnown(value: T): boolean;
}

export function createLevels<T>(): Levels<T> {
  let levels: Map<string, T>[] = [new Map()];
  const top = (): Map<string, T> => levels.at(-1) ?? new Map();
  const has = (value: T) => (level: Map<string, T>) => [...level.values()].includes(value);
  return {
    top,
    inTransaction: () => levels.length > 1,
    isKept: (value) => levels.slice(0, -1).some(has(value)),
    isKnown: (value) => levels.some(has(value)),
    move: (event) => {
      switch (event.kind) {
        case 'begin':
        case 'savepoint':
          levels = [...levels, new Map(top())];
          return;
        case 'commit':
          levels = [top()];
          return;
        case 'rollback':
          levels = levels.slice(0, 1);
          return;
        case 'release':
          levels = [...levels.slice(0, event.depth + 1), top()];
          return;
        case 'rollback-to': {
          const kept = levels.slice(0, event.depth + 2);
          levels = [...kept, new Map(kept.at(-1))];
        }
      }
    },
  };
}
