import type { GapsBatch } from '../../lake/model/batch.ts';
import { decodeBatch } from './batch-codec.ts';
import type { Meta } from './database.ts';
import type { AppendMessage } from './wal-messages.ts';

// Rows of `gaps` that are in the log only tell of times before they were written. When the log is lost, what they told is
// lost, too, and recovery has to say so again: from when on is kept in the table meta.

/** The gap batches that are not sealed: where each is in the log, and the earliest time that it tells of. */
const metaKey = 'gap_tail';
/** Beyond it the oldest are told as one. */
const gapBatchesMax = 50;

type Entry = readonly [seq: number, fromUs: number];

export interface GapTail {
  /** To be called in the transaction that appends the message, if that holds gaps. */
  add(seq: number, message: AppendMessage): void;
  /** The earliest time that an unsealed row tells of; Infinity: there is none. */
  sinceUs(): number;
}

export function gapTailOf(meta: Meta): GapTail {
  const unsealed = (): Entry[] => {
    const sealedSeq = Number(meta.get('sealed_seq'));
    const all = JSON.parse(meta.get(metaKey) ?? '[]') as Entry[];
    return all.filter(([seq]) => seq > sealedSeq);
  };
  return {
    add: (seq, { payload }) => {
      const { fromUs } = decodeBatch('gaps', payload) as GapsBatch;
      const entries: Entry[] = [...unsealed(), [seq, Number(fromUs.reduce((a, b) => (b < a ? b : a)))]];
      const [first, second, ...rest] = entries;
      const told =
        entries.length > gapBatchesMax && first && second ? [joined(first, second), ...rest] : entries;
      meta.set(metaKey, JSON.stringify(told));
    },
    sinceUs: () => Math.min(...unsealed().map(([, fromUs]) => fromUs)),
  };
}

const joined = (a: Entry, b: Entry): Entry => [Math.max(a[0], b[0]), Math.min(a[1], b[1])];
