import type { LineBatch, LinesRequest } from '../logql/source.ts';

/** Lines of two sources, each in the order of time where `direction` says so, as one. */
export async function* mergeBatches(
  direction: LinesRequest['direction'],
  one: AsyncIterable<LineBatch>,
  other: AsyncIterable<LineBatch>,
): AsyncGenerator<LineBatch> {
  if (direction === undefined) {
    yield* one;
    yield* other;
    return;
  }
  const isBefore = (a: bigint, b: bigint): boolean => (direction === 'forward' ? a < b : a > b);
  const heads = [one, other].map((batches) => headOf(batches[Symbol.asyncIterator]()));
  try {
    for (;;) {
      const times = await Promise.all(heads.map((head) => head.timeNs()));
      const [a, b] = times;
      const [head] = a !== undefined && (b === undefined || !isBefore(b, a)) ? [heads[0]] : [heads[1]];
      const limit = head === heads[0] ? b : a;
      if (a === undefined && b === undefined) return;
      const batch = head?.takeUntil((timeNs) => limit !== undefined && isBefore(limit, timeNs));
      if (batch !== undefined) yield batch;
    }
  } finally {
    for (const head of heads) await head.close();
  }
}

interface Head {
  /** Of the next line; undefined at the end. */
  timeNs(): Promise<bigint | undefined>;
  /** Lines of the batch at hand that come before one for which `isBehind` is true; one at least. */
  takeUntil(isBehind: (timeNs: bigint) => boolean): LineBatch | undefined;
  close(): Promise<void>;
}

function headOf(batches: AsyncIterator<LineBatch>): Head {
  let batch: LineBatch | undefined;
  let at = 0;
  let ended = false;
  return {
    timeNs: async () => {
      while (!ended && (batch === undefined || at >= batch.rows)) {
        const { value, done } = await batches.next();
        ended = done === true;
        batch = ended ? undefined : (value as LineBatch);
        at = 0;
      }
      return batch?.timestampNs[at];
    },
    takeUntil: (isBehind) => {
      if (batch === undefined) return undefined;
      const from = at++;
      while (at < batch.rows && !isBehind(batch.timestampNs[at] ?? 0n)) at++;
      return partOf(batch, from, at);
    },
    close: async () => {
      await batches.return?.();
    },
  };
}

function partOf(batch: LineBatch, from: number, to: number): LineBatch {
  return {
    rows: to - from,
    timestampNs: batch.timestampNs.subarray(from, to),
    lines: batch.lines.slice(from, to),
    metadata: batch.metadata.slice(from, to),
    stream: (row) => batch.stream(from + row),
  };
}
