import type { Gap } from '../../lake/model/gap.ts';
import { classOfSignal, receivedSignals } from '../../lake/model/stream-class.ts';
import type { SkippedBatch } from '../wal/intact-batches.ts';

/** What is missing because batches were damaged in the log: one gap a signal and reason. Times are those of receipt. */
export function gapsOfSkipped(skipped: readonly SkippedBatch[]): Gap[] {
  const groups = Map.groupBy(skipped, ({ signal, reason }) => `${signal} ${kindOf(reason)}`);
  return [...groups.values()].flatMap((batches) => {
    const [first] = batches;
    if (first === undefined) return [];
    const { reason } = first;
    const rows = batches.every((batch) => batch.rows > 0)
      ? batches.reduce((sum, batch) => sum + batch.rows, 0)
      : null;
    const seqs = `${batches.length} batches of the log from seq ${first.seq} to ${batches.at(-1)?.seq}: ${reason}`;
    const may = first.signal === undefined ? receivedSignals : [first.signal];
    return may.map((signal): Gap => {
      const fromUs = Math.min(...batches.map((batch) => batch.fromUs));
      const toUs = Math.max(...batches.map((batch) => batch.toUs));
      const times = { fromUs, toUs };
      return {
        ...times,
        signal,
        class: classOfSignal(signal),
        kind: 'gap',
        reason: 'wal-damaged',
        rows,
        detail: seqs,
      };
    });
  });
}

/** Messages of the same trouble differ in their numbers. */
const kindOf = (reason: string): string => reason.replace(/\d+/g, 'N');
