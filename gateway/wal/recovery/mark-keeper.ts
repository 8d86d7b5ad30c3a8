import type { WalMarkFile } from './wal-mark.ts';

/** Writes the mark of a log in use: durably with each seal, and a note of every commit. */
export interface MarkKeeper {
  open(lastSeq: number): void;
  /** After a commit; `receivedUs` of its newest batch (0: none). */
  committed(lastSeq: number, receivedUs: number): void;
  condemn(lastSeq: number): undefined;
  /** Before the database is closed: from then on its -wal may go at any time. */
  close(lastSeq: number): void;
}

export function createMarkKeeper(
  mark: WalMarkFile,
  meta: { get(key: string): string | undefined },
  nowUs: number,
): MarkKeeper {
  let newestUs = nowUs;
  let [epoch, sealedSeq] = [0, 0];
  const number = (key: string): number => Number(meta.get(key) ?? 0);
  const progressOf = (lastSeq: number) => ({
    epoch: number('epoch'),
    sealedSeq: number('sealed_seq'),
    lastSeq,
    lastNumber: number('last_number'),
  });
  const write = (lastSeq: number, open: boolean, condemned = false): void => {
    const progress = progressOf(lastSeq);
    ({ epoch, sealedSeq } = progress);
    mark.write({ ...progress, open, condemned, writtenUs: newestUs });
    mark.writeNote(progress);
  };
  return {
    open: (lastSeq) => write(lastSeq, true),
    committed: (lastSeq, receivedUs) => {
      newestUs = Math.max(newestUs, receivedUs);
      const progress = progressOf(lastSeq);
      if (progress.epoch === epoch && progress.sealedSeq === sealedSeq) mark.writeNote(progress);
      else write(lastSeq, true);
    },
    condemn: (lastSeq) => void write(lastSeq, true, true),
    close: (lastSeq) => {
      write(lastSeq, false);
      mark[Symbol.dispose]();
    },
  };
}
