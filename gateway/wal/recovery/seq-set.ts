/** Sequence numbers as ranges (after, upto], because they come nearly without holes. */
export interface SeqSet {
  /** False when it was there already. */
  add(seq: number): boolean;
  has(seq: number): boolean;
  /** What is missing in (after, upto], ascending. */
  missing(after: number, upto: number): SeqRange[];
  readonly max: number;
}

/** (after, upto] */
export interface SeqRange {
  readonly after: number;
  readonly upto: number;
}

export function createSeqSet(): SeqSet {
  /** Sorted, apart from one another. */
  const ranges: { after: number; upto: number }[] = [];
  /** Index of the first range that ends at or after `seq`. */
  const find = (seq: number): number => {
    let [low, high] = [0, ranges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ranges[middle]?.upto ?? 0) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const has = (seq: number): boolean => {
    const range = ranges[find(seq)];
    return range !== undefined && range.after < seq;
  };
  return {
    has,
    add: (seq) => {
      if (has(seq)) return false;
      const index = find(seq);
      const before = ranges[index - 1];
      const behind = ranges[index];
      const joinsBefore = before?.upto === seq - 1;
      const joinsBehind = behind?.after === seq;
      if (before && behind && joinsBefore && joinsBehind) {
        before.upto = behind.upto;
        ranges.splice(index, 1);
      } else if (before && joinsBefore) before.upto = seq;
      else if (behind && joinsBehind) behind.after = seq - 1;
      else ranges.splice(index, 0, { after: seq - 1, upto: seq });
      return true;
    },
    missing: (after, upto) => {
      const found: SeqRange[] = [];
      let from = after;
      for (const range of ranges) {
        if (range.upto <= from) continue;
        if (range.after >= upto) break;
        if (range.after > from) found.push({ after: from, upto: range.after });
        from = range.upto;
      }
      if (from < upto) found.push({ after: from, upto });
      return found;
    },
    get max() {
      return ranges.at(-1)?.upto ?? 0;
    },
  };
}
