/** Files that someone works on at the moment, so that nobody else replaces or removes them. In memory: a crash ends it. */
export interface SegmentClaims {
  /** Takes all of them, or none when one is taken. Release with `release`. */
  take(paths: readonly string[]): boolean;
  release(paths: readonly string[]): void;
  isTaken(path: string): boolean;
}

export function createSegmentClaims(): SegmentClaims {
  const taken = new Set<string>();
  return {
    take: (paths) => {
      if (paths.some((path) => taken.has(path))) return false;
      for (const path of paths) taken.add(path);
      return true;
    },
    release: (paths) => {
      for (const path of paths) taken.delete(path);
    },
    isTaken: (path) => taken.has(path),
  };
}
