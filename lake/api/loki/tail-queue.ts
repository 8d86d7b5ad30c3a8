import type { SeriesLabels } from '../../logql/value.ts';

// Lines that wait for one client of tail: so long as it has asked for, in the order of time, and never more than fit.

export interface TailLine {
  readonly timestampNs: bigint;
  readonly line: string;
  readonly labels: SeriesLabels;
}

export interface TailQueue {
  /** Lines that have come in at the same time; those that do not fit are dropped. */
  add(lines: Iterable<TailLine>, nowMs: number): void;
  /** Lines that were dropped before they came here. */
  drop(lines: readonly TailLine[]): void;
  /** One frame's worth of what has waited long enough; undefined when that is nothing. */
  take(nowMs: number): TailFrame | undefined;
}

export interface TailFrame {
  readonly lines: readonly TailLine[];
  /** Lines that were dropped since the frame before, so many of them as are told. */
  readonly dropped: readonly TailLine[];
}

/** Lines and bytes of lines that wait for a client; more are dropped, and it is told of them. */
export const waitingLinesMax = 10_000;
const waitingBytesMax = 16 * 1024 * 1024;
/** Of one frame; a longer line has a frame of its own. */
const frameLinesMax = 1000;
const frameBytesMax = 1024 * 1024;
/** Dropped lines that a frame names. */
const droppedMax = 1000;

interface Waiting extends TailLine {
  readonly dueMs: number;
}

/** `delayMs`: how long a line waits for others that are older and come later. */
export function createTailQueue(delayMs: number): TailQueue {
  let waiting: Waiting[] = [];
  let bytes = 0;
  let dropped: TailLine[] = [];
  let isSorted = true;
  const drop = (lines: readonly TailLine[]): void => {
    for (const one of lines.slice(0, droppedMax - dropped.length)) dropped.push({ ...one, line: '' });
  };
  return {
    drop,
    add: (lines, nowMs) => {
      for (const one of lines) {
        const size = sizeOf(one);
        if (waiting.length < waitingLinesMax && bytes + size <= waitingBytesMax) {
          isSorted &&= (waiting.at(-1)?.timestampNs ?? one.timestampNs) <= one.timestampNs;
          waiting.push({ ...one, dueMs: nowMs + delayMs });
          bytes += size;
        } else drop([one]);
      }
    },
    take: (nowMs) => {
      if (!isSorted) waiting.sort((a, b) => (a.timestampNs < b.timestampNs ? -1 : 1));
      isSorted = true;
      const lines: TailLine[] = [];
      const left: Waiting[] = [];
      let taken = 0;
      for (const [index, one] of waiting.entries()) {
        const isFull = lines.length >= frameLinesMax || (taken > 0 && taken + sizeOf(one) > frameBytesMax);
        if (isFull) {
          left.push(...waiting.slice(index));
          break;
        }
        if (one.dueMs > nowMs) left.push(one);
        else {
          lines.push(one);
          taken += sizeOf(one);
        }
      }
      if (lines.length === 0 && dropped.length === 0) return undefined;
      const frame = { lines, dropped };
      waiting = left;
      bytes -= taken;
      dropped = [];
      return frame;
    },
  };
}

/** In memory, at least. */
const sizeOf = ({ line }: TailLine): number => line.length;
