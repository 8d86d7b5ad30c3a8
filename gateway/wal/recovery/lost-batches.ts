import type { Signal } from '../../../lake/model/batch.ts';
import type { Gap } from '../../../lake/model/gap.ts';
import { classOfSignal, receivedSignals } from '../../../lake/model/stream-class.ts';
import type { RecoveryRecord } from './damaged-folder.ts';
import type { Salvaged } from './salvage.ts';
import type { SeqRange } from './seq-set.ts';
import type { DoubtfulBatch } from './stored-row.ts';

/** Ranges that are told apart; beyond that, those nearest to each other are told as one. */
const lostRangesMax = 100;

/** What a log that was moved aside held and could not be read: as gaps, by what is known of it. */
export function lostBatches(record: RecoveryRecord, afterSeq: number, salvaged: Salvaged): Gap[] {
  const last = Math.max(record.lastSeq, salvaged.found.max, ...salvaged.doubtful.keys());
  const ranges = joinNearest(salvaged.found.missing(afterSeq, last), lostRangesMax);
  const gaps = ranges.flatMap((range) => lostRange(record, range, salvaged));
  if (!record.tailUnknown) return gaps;
  const newest = salvaged.times.at(-1)?.receivedUs ?? record.fromUs;
  return [...gaps, ...unknownLoss(record, record.mixed ? Math.min(newest, record.fromUs) : newest)];
}

/** Nobody knows whether anything is lost: what was received last before the anomaly. */
export function unknownLoss({ reasons, toUs }: RecoveryRecord, fromUs: number): Gap[] {
  const detail = `${reasons.join('; ')}; what was received last may be lost`;
  return receivedSignals.map((signal) => gapOf(signal, fromUs, Math.max(fromUs, toUs), null, detail));
}

function lostRange(record: RecoveryRecord, range: SeqRange, salvaged: Salvaged): Gap[] {
  const known = [...salvaged.doubtful.values()].filter(({ seq }) => seq > range.after && seq <= range.upto);
  const fromUs = salvaged.times.findLast(({ seq }) => seq <= range.after)?.receivedUs ?? record.fromUs;
  const toUs = salvaged.times.find(({ seq }) => seq > range.upto)?.receivedUs ?? record.toUs;
  const ends = record.mixed ? [fromUs, toUs, record.fromUs, record.toUs] : [fromUs, toUs];
  const [start, end] = [Math.min(...ends), Math.max(...ends)];
  const first = range.after + 1;
  const which = first === range.upto ? `batch ${first}` : `batches ${first} to ${range.upto}`;
  const detail = `${record.reasons.join('; ')}; ${which} can't be read`;
  const plausible = known.filter(isPlausible);
  if (plausible.length < range.upto - range.after)
    return receivedSignals.map((signal) => gapOf(signal, start, end, null, detail));
  return [...new Set(plausible.map(({ signal }) => signal))].map((signal) => {
    const rows = plausible.reduce((sum, batch) => sum + (batch.signal === signal ? batch.rows : 0), 0);
    return gapOf(signal as Signal, start, end, rows, detail);
  });
}

const rowsMax = 10_000_000;
const isPlausible = ({ signal, rows }: DoubtfulBatch): boolean =>
  (receivedSignals as readonly string[]).includes(signal) && rows > 0 && rows <= rowsMax;

function gapOf(signal: Signal, fromUs: number, toUs: number, rows: number | null, detail: string): Gap {
  return {
    signal,
    class: classOfSignal(signal),
    kind: 'gap',
    reason: 'damaged-log',
    fromUs,
    toUs,
    rows,
    detail,
  };
}

function joinNearest(ranges: readonly SeqRange[], max: number): SeqRange[] {
  const joined = [...ranges];
  while (joined.length > max) {
    let [nearest, distance] = [1, Number.POSITIVE_INFINITY];
    for (let index = 1; index < joined.length; index++) {
      const space = (joined[index]?.after ?? 0) - (joined[index - 1]?.upto ?? 0);
      if (space < distance) [nearest, distance] = [index, space];
    }
    const [before, behind] = joined.slice(nearest - 1, nearest + 1);
    if (before === undefined || behind === undefined) break;
    joined.splice(nearest - 1, 2, { after: before.after, upto: behind.upto });
  }
  return joined;
}
