import Database from 'better-sqlite3';
import { signals as allSignals, type Signal } from '../../lake/model/batch.ts';
import type { SealRequest } from './seal-range.ts';

/** A part of the tail that is sealed at once: (fromSeq, toSeq], all of one clock. */
export interface SealRange {
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly rows: number;
  /** The `boot` of its batches. */
  readonly boot: number;
  readonly signals: readonly Signal[];
  /** Batches that are missing in it (of several in a row the first), and those of a signal that does not exist. */
  readonly unknown: readonly number[];
  /** Limits ended it. */
  readonly full: boolean;
  /** There are batches after it. */
  readonly more: boolean;
}

export interface SealPlanner extends Disposable {
  /** The oldest part of the tail; undefined when there is none, or when it has to wait for the true time. */
  plan(limits: SealRequest): SealRange | undefined;
}

interface BatchSize {
  readonly seq: number;
  readonly signal: string;
  readonly rows: number;
  readonly bytes: number;
  readonly boot: number;
  readonly monoUs: number;
  /** Its clock is not to be trusted yet, and may still be corrected: that needs the boot that it was recorded in. */
  readonly waiting: 0 | 1;
}

const isSignal = (text: string): text is Signal => (allSignals as readonly string[]).includes(text);

/** Looks only at the sizes of batches, never at their content. */
export function openSealPlanner(walPath: string): SealPlanner {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  const sealed = db
    .prepare<[], number>(`SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'sealed_seq'`)
    .pluck();
  const sizes = db.prepare<[number], BatchSize>(
    `SELECT seq, signal, rows, length(payload) AS bytes, boot, mono_us AS monoUs,
       coalesce(clock = 'untrusted' AND boot_id = (SELECT boot_id FROM boot ORDER BY id DESC LIMIT 1), 0) AS waiting
     FROM batch LEFT JOIN boot ON boot.id = boot WHERE seq > ? ORDER BY seq`,
  );
  return {
    plan: ({ sealRowsMax, sealBytesMax, holdUntrustedSinceMonoUs }) => {
      const fromSeq = sealed.get() ?? 0;
      const signals = new Set<Signal>();
      const unknown: number[] = [];
      let expected = fromSeq + 1;
      let [toSeq, rows, bytes, boot, full, more, held] = [fromSeq, 0, 0, 0, false, false, false];
      for (const batch of sizes.iterate(fromSeq)) {
        const first = toSeq === fromSeq;
        if (first) held = batch.waiting === 1 && batch.monoUs > holdUntrustedSinceMonoUs;
        full = !first && (rows + batch.rows > sealRowsMax || bytes + batch.bytes > sealBytesMax);
        more = full || (!first && batch.boot !== boot);
        if (more) break;
        toSeq = batch.seq;
        // Places in the log follow one another.
        if (batch.seq > expected) unknown.push(expected);
        expected = batch.seq + 1;
        if (isSignal(batch.signal)) signals.add(batch.signal);
        else unknown.push(batch.seq);
        rows += batch.rows;
        bytes += batch.bytes;
        boot = batch.boot;
      }
      if (held && !full) return undefined;
      if (toSeq === fromSeq) return undefined;
      return { fromSeq, toSeq, rows, boot, signals: [...signals], unknown, full, more };
    },
    [Symbol.dispose]: () => void db.close(),
  };
}
