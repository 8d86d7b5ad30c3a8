import type { WalMarkFile } from './wal-mark.ts';

/** Writes the mark of a log in use: durably with each seal, and a note of every commit. */
export interface MarkKeeper {
  open(lastSeq: number): void;
  /** After a commit; `receivedUs` of its newest batch (0: none). */
  committed(lastSeq: number, receivedUs: number): void;
  /** Before the commit of what tells of times since `sinceUs` and stands at places up to `uptoSeq` (Infinity: of none): see `WalMark.mixed`. */
  hold(uptoSeq: number, sinceUs: number): void;
  condemn(): void;
  /** Before the database is closed: from then on its -wal may go at any time. */
  close(lastSeq: number): void;
}

/** What the database says of itself. */
export interface MarkSource {
  /** A value of the table meta. */
  meta(key: string): string | undefined;
  /** When the oldest batch was received that is not sealed; undefined: there is none. */
  oldestReceivedUs(): number | undefined;
}

export function createMarkKeeper(mark: WalMarkFile, source: MarkSource, nowUs: number): MarkKeeper {
  let newestUs = nowUs;
  let mixed = mark.found?.mixed ?? false;
  let unsealedSinceUs = mixed ? (mark.found?.unsealedSinceUs ?? nowUs) : nowUs;
  /** What was found is held until all that was there then is sealed. */
  let heldUpto = Number.POSITIVE_INFINITY;
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
    mark.write({ ...progress, open, condemned, unsealedSinceUs, mixed });
    mark.writeNote(progress);
  };
  const writeNow = (lastSeq: number, open: boolean): void => {
    const progress = progressOf(lastSeq);
    if (progress.sealedSeq >= heldUpto) mixed = false;
    const oldestUs = Math.min(newestUs, source.oldestReceivedUs() ?? newestUs);
    unsealedSinceUs = mixed ? Math.min(unsealedSinceUs, oldestUs) : oldestUs;
    write(progress, open);
  };
  return {
    open: (lastSeq) => {
      heldUpto = lastSeq;
      writeNow(lastSeq, true);
    },
    committed: (lastSeq, receivedUs) => {
      newestUs = Math.max(newestUs, receivedUs);
      const progress = progressOf(lastSeq);
      if (progress.epoch === known.epoch && progress.sealedSeq === known.sealedSeq) mark.writeNote(progress);
      else writeNow(lastSeq, true);
    },
    hold: (uptoSeq, sinceUs) => {
      if (sinceUs === Number.POSITIVE_INFINITY) return;
      heldUpto = Math.max(heldUpto, uptoSeq);
      if (mixed && sinceUs >= unsealedSinceUs) return;
      mixed = true;
      unsealedSinceUs = Math.min(unsealedSinceUs, sinceUs);
      // Not what the database says, which is not committed.
      mark.write({ ...known, open: true, condemned, unsealedSinceUs, mixed });
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
