/**
 * Results of asynchronous work by key, the least recently used dropped first. Callers that ask for a key while it is
 * being made share the work; a failure is not kept.
 */
export interface WeightedCache<V> {
  get(key: string, make: () => Promise<V>): Promise<V>;
  /** Puts in a value that is known already. */
  set(key: string, value: V): void;
  /** Sum of the weights held; at most `weightMax` (a value that alone weighs more is handed out but not kept). */
  weight(): number;
}

export function weightedCache<V>(weightMax: number, weigh: (value: V) => number): WeightedCache<V> {
  const held = new Map<string, { readonly value: V; readonly weight: number }>();
  const making = new Map<string, Promise<V>>();
  let total = 0;

  function drop(key: string): void {
    total -= held.get(key)?.weight ?? 0;
    held.delete(key);
  }

  function set(key: string, value: V): void {
    drop(key);
    const weight = weigh(value);
    if (weight > weightMax) return;
    held.set(key, { value, weight });
    total += weight;
    for (const oldest of held.keys()) {
      if (total <= weightMax) break;
      drop(oldest);
    }
  }

  async function makeAndKeep(key: string, make: () => Promise<V>): Promise<V> {
    try {
      // Never before the promise is in `making`, whatever `make` throws.
      const value = await Promise.resolve().then(make);
      set(key, value);
      return value;
    } finally {
      making.delete(key);
    }
  }

  return {
    get: (key, make) => {
      const found = held.get(key);
      if (found) {
        // A Map iterates in insertion order: putting it in again makes it the newest.
        held.delete(key);
        held.set(key, found);
        return Promise.resolve(found.value);
      }
      const shared = making.get(key) ?? makeAndKeep(key, make);
      making.set(key, shared);
      return shared;
    },
    set,
    weight: () => total,
  };
}
