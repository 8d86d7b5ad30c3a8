import Database from 'better-sqlite3';
import { type Signal, signals } from '../../lake/model/batch.ts';
import { type PendingRange, pendingRangesMax, type ShippingProgress } from '../../lake/model/progress.ts';

/** How far a gateway has shipped, as its manifests say it. */
export interface ProgressReader extends Disposable {
  /** What will hold when these segments are shipped too. */
  progress(nowUs: number, shipping: readonly string[]): ShippingProgress;
}

interface Waiting extends PendingRange {
  readonly path: string;
  readonly signal: Signal;
  readonly receivedUs: number;
}

export function openProgressReader(walPath: string): ProgressReader {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  const waiting = db.prepare<[], Waiting>(
    `SELECT path, signal, min_received_us AS receivedUs, min_timestamp_us AS fromUs, max_timestamp_us AS toUs, rows, bytes
     FROM segment WHERE shipment IS NULL AND committed = 0 AND refused IS NULL ORDER BY min_timestamp_us`,
  );
  const tail = db.prepare<[], { signal: Signal; receivedUs: number }>(
    `SELECT signal, min(received_us + coalesce(offset_us, 0)) AS receivedUs
     FROM batch LEFT JOIN boot ON boot.id = boot GROUP BY signal`,
  );
  const known = db.prepare<[], Signal>('SELECT DISTINCT signal FROM segment').pluck();
  const all = db.transaction(() => ({ files: waiting.all(), open: tail.all(), known: new Set(known.all()) }));
  return {
    progress: (nowUs, shipping) => {
      const moment = all();
      const going = new Set(shipping);
      const progress: { -readonly [S in Signal]?: ShippingProgress[S] } = {};
      for (const signal of signals) {
        const files = moment.files.filter((file) => file.signal === signal && !going.has(file.path));
        const openUs = moment.open.find((each) => each.signal === signal)?.receivedUs;
        if (openUs === undefined && !moment.known.has(signal)) continue;
        const headUs = Math.min(nowUs, openUs ?? nowUs);
        const watermarkUs = files.reduce((least, { receivedUs }) => Math.min(least, receivedUs), headUs);
        progress[signal] = { headUs, watermarkUs, pending: mergeRanges(files, pendingRangesMax) };
      }
      return progress;
    },
    [Symbol.dispose]: () => void db.close(),
  };
}

/** At most `max` ranges that cover all of these, which are in order of `fromUs`: the nearest neighbours become one. */
export function mergeRanges(ranges: readonly PendingRange[], max: number): PendingRange[] {
  const merged: PendingRange[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last !== undefined && range.fromUs <= last.toUs) merged[merged.length - 1] = join(last, range);
    else merged.push({ fromUs: range.fromUs, toUs: range.toUs, rows: range.rows, bytes: range.bytes });
  }
  if (merged.length <= max) return merged;
  const distances = merged.slice(1).map(({ fromUs }, index) => fromUs - (merged[index]?.toUs ?? 0));
  // The widest distances stay; whatever is nearer is drawn together.
  const kept = new Set(
    [...distances.keys()].sort((a, b) => (distances[b] ?? 0) - (distances[a] ?? 0)).slice(0, max - 1),
  );
  const result: PendingRange[] = [];
  merged.forEach((range, index) => {
    const last = result.at(-1);
    if (last === undefined || kept.has(index - 1)) result.push(range);
    else result[result.length - 1] = join(last, range);
  });
  return result;
}

const join = (a: PendingRange, b: PendingRange): PendingRange => ({
  fromUs: Math.min(a.fromUs, b.fromUs),
  toUs: Math.max(a.toUs, b.toUs),
  rows: a.rows + b.rows,
  bytes: a.bytes + b.bytes,
});
