import { SqlError } from '../errors.ts';
import { type RowChunk, sliceOf } from '../row-chunk.ts';
import type { SqlResult } from '../sql-session.ts';

// One open cursor: where it stands in its result. Rows have numbers from 1; it stands on one of them, before the first (0), or
// after the last.

/** Where FETCH goes from there. A negative `row` counts from the end. */
export type Step =
  | { readonly kind: 'forward' | 'backward'; readonly rows: number }
  | { readonly kind: 'absolute'; readonly row: number }
  | { readonly kind: 'relative'; readonly rows: number };

export interface Cursor {
  readonly hold: boolean;
  readonly result: SqlResult;
  /** Goes there, and gives the rows that are asked for on the way. Throws SqlError 55000, 54000. */
  read(step: Step, signal: AbortSignal): Promise<readonly RowChunk[]>;
}

/** Rows that a cursor keeps so that it can go back to them; more are an error (54000). */
const scrollRowsMax = 100_000;

interface CursorOptions {
  readonly hold: boolean;
  /** It can go backwards: declared with SCROLL. */
  readonly scrolls: boolean;
  /** Aborts the query behind it: what cancels a FETCH ends the cursor. */
  readonly controller: AbortController;
}

export function createCursor(result: SqlResult, { hold, scrolls, controller }: CursorOptions): Cursor {
  const source = createReader(result);
  /** What was read, if it may be gone back to. */
  const kept: RowChunk[] = [];
  let readRows = 0;
  let at = 0;

  /** The next rows, `count` at most. */
  const forward = async (count: number): Promise<readonly RowChunk[]> => {
    const known = scrolls ? slices(kept, at, at + count) : [];
    const fresh = await source.read(count - rowsIn(known));
    readRows += rowsIn(fresh);
    if (scrolls) kept.push(...fresh);
    if (scrolls && readRows > scrollRowsMax)
      throw new SqlError('54000', `a SCROLL cursor keeps ${scrollRowsMax} rows (scrollRowsMax)`, {
        hint: 'declare it without SCROLL, or with a LIMIT',
      });
    at = Math.min(at + count, readRows + 1);
    return [...known, ...fresh];
  };
  /** The row of this number, if there is one. */
  const goTo = async (row: number): Promise<readonly RowChunk[]> => {
    at = Math.min(at, Math.max(row - 1, 0));
    if (row <= 0) return [];
    await forward(row - 1 - at);
    return forward(1);
  };
  const backward = (count: number): readonly RowChunk[] => {
    const rows: RowChunk[] = [];
    for (let row = at - 1; row >= Math.max(1, at - count); row--) rows.push(...slices(kept, row - 1, row));
    at = Math.max(0, at - count);
    return rows;
  };
  const last = async (): Promise<number> => {
    await forward(scrollRowsMax + 1);
    return readRows;
  };
  const go = async (step: Step): Promise<readonly RowChunk[]> => {
    switch (step.kind) {
      case 'forward':
        return forward(step.rows);
      case 'backward':
        return backward(step.rows);
      case 'absolute':
        return goTo(step.row >= 0 ? step.row : Math.max(0, (await last()) + 1 + step.row));
      case 'relative':
        if (step.rows === 0) return slices(kept, at - 1, at);
        return goTo(at + step.rows);
    }
  };
  const goesOn = (step: Step): boolean =>
    step.kind === 'forward' ||
    (step.kind === 'absolute' && step.row > at) ||
    (step.kind === 'relative' && (step.rows > 0 || at === 0));
  return {
    hold,
    result,
    read: async (step, signal) => {
      if (!scrolls && !goesOn(step))
        throw new SqlError('55000', 'cursor can only scan forward', {
          hint: 'Declare it with SCROLL option to enable backward scan.',
        });
      const abort = (): void => controller.abort(signal.reason);
      signal.addEventListener('abort', abort);
      try {
        return await go(step);
      } finally {
        signal.removeEventListener('abort', abort);
      }
    },
  };
}

interface Reader {
  /** As many rows as there are, up to `count`. */
  read(count: number): Promise<RowChunk[]>;
}

/** Takes rows of a result in parts. */
function createReader(result: SqlResult): Reader {
  const chunks = result.chunks()[Symbol.asyncIterator]();
  let waiting: RowChunk | undefined;
  let ended = false;
  return {
    read: async (count) => {
      const read: RowChunk[] = [];
      let missing = count;
      while (missing > 0) {
        if (!waiting && !ended) {
          const next = await chunks.next();
          ended = next.done === true;
          waiting = next.done ? undefined : next.value;
        }
        if (!waiting) break;
        const { start, end } = waiting;
        const until = Math.min(end, start + missing);
        read.push(sliceOf(waiting, start, until));
        missing -= until - start;
        waiting = until < end ? sliceOf(waiting, until, end) : undefined;
      }
      return read;
    },
  };
}

export const rowsIn = (chunks: readonly RowChunk[]): number =>
  chunks.reduce((sum, { start, end }) => sum + end - start, 0);

/** Rows of the chunks together from `from` to `to`, exclusive, as far as there are. */
function slices(chunks: readonly RowChunk[], from: number, to: number): RowChunk[] {
  let before = 0;
  return chunks.flatMap((chunk) => {
    const start = chunk.start + Math.max(0, from - before);
    const end = Math.min(chunk.end, chunk.start + to - before);
    before += chunk.end - chunk.start;
    return start < end ? [sliceOf(chunk, start, end)] : [];
  });
}
