import type { WalMarkFile } from './wal-mark.ts';

/** Writes the mark of a log in use: durably with each seal, and a note of every commit. */
export interface MarkKeeper {
  open(lastSeq: number): void;
  /** After a commit; `receivedUs` of its newest batch (0: none). */
  committed(lastSeq: number, receivedUs: number): void;
  condemn(): void;
  /** Before the database is closed: from then on its -wal may go at any time. */
  close(lastSeq: number): void;
}

/** What the database says of itself. */
export interface MarkSource {
  /** A value of the table meta. */
  meta(key: string): string | undefined;
  /** The earliest time that something unsealed was received at, or tells of; Infinity: there is nothing. */
  toldSinceUs(): number;
}

export function createMarkKeeper(mark: WalMarkFile, source: MarkSource, nowUs: number): MarkKeeper {
  let newestUs = nowUs;
  let unsealedSinceUs = nowUs;
  let known = { epoch: 0, sealedSeq: 0, lastSeq: 0, lastNumber: 0 };
  let condemned = false;
  const number = (key: string): number => Number(source.meta(key) ?? 0);
  const progressOf = (lastSeq: number) => ({
    epoch: number('epoch'),
    sealedSeq: number('sealed_seq'),
    lastSeq,
    lastNumber: number('last_number'),
  });
  const write = (progress: typeof known, open: boolean): void => {
    known = progress;
    mark.write({ ...progress, open, condemned, unsealedSinceUs });
    mark.writeNote(progress);
  };
  const writeNow = (lastSeq: number, open: boolean): void => {
    unsealedSinceUs = Math.min(newestUs, source.toldSinceUs());
    write(progressOf(lastSeq), open);
  };
  return {
    open: (lastSeq) => writeNow(lastSeq, true),
    committed: (lastSeq, receivedUs) => {
      newestUs = Math.max(newestUs, receivedUs);
      const progress = progressOf(lastSeq);
      if (progress.epoch === known.epoch && progress.sealedSeq === known.sealedSeq) mark.writeNote(progress);
      else writeNow(lastSeq, true);
    },
    // What the database says now is not to be believed.
    condemn: () => {
      condemned = true;
      write(known, true);
    },
    close: (lastSeq) => {
      if (!condemned) writeNow(lastSeq, false);
      mark[Symbol.dispose]();
    },
  };
}
