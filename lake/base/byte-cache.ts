/** Values by key while they are within a number of bytes together; what has not been asked for longest goes first. */
export interface ByteCache<T> {
  /** The value of the key, made when it is not there. */
  get(key: string, make: () => T): T;
}

export function createByteCache<T>(bytesMax: number, bytesOf: (value: T) => number): ByteCache<T> {
  const held = new Map<string, { readonly value: T; readonly bytes: number }>();
  let bytes = 0;
  const forget = (key: string): void => {
    bytes -= held.get(key)?.bytes ?? 0;
    held.delete(key);
  };
  return {
    get: (key, make) => {
      const known = held.get(key);
      if (known !== undefined) {
        held.delete(key);
        held.set(key, known);
        return known.value;
      }
      const value = make();
      const size = bytesOf(value);
      if (size > bytesMax) return value;
      held.set(key, { value, bytes: size });
      bytes += size;
      for (const [oldest] of held) {
        if (bytes <= bytesMax) break;
        forget(oldest);
      }
      return value;
    },
  };
}
