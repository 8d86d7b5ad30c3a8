import type Database from 'better-sqlite3';
import { signals } from '../../../lake/model/batch.ts';
import { batchCrc } from '../batch-crc.ts';
import { segmentStatements } from '../segment-statements.ts';
import type { AppendMessage } from '../wal-messages.ts';
import type { RestoredBatch, RestoredPart } from './restored-part.ts';
import { jobKey } from './salvage.ts';

/** Stores a part inside the caller's transaction; returns the newest place in the log. */
export type Restore = (part: RestoredPart, lastSeq: number) => number;

export function restoreStatements(
  db: Database.Database,
  meta: Parameters<typeof segmentStatements>[1],
  /** Stores the series and descriptions of a message without rows. */
  describe: (seq: number, message: AppendMessage) => unknown,
): Restore {
  const insertBatch = db.prepare(
    `INSERT INTO batch (seq, signal, rows, received_us, mono_us, boot, crc, payload)
     VALUES (@seq, @signal, @rows, @receivedUs, @monoUs, @boot, @crc, @payload)`,
  );
  const insertBoot = db.prepare('INSERT INTO boot (boot_id, clock, offset_us) VALUES (?, ?, ?)');
  const release = db.prepare('DELETE FROM batch WHERE seq <= ?');
  const named = db.prepare<[string], number>('SELECT 1 FROM segment WHERE path = ?').pluck();
  const segments = segmentStatements(db, meta);
  return (part, lastSeq) => {
    const { series = [], metadata = [], batches = [], addedSegments = [], sealedSeq } = part;
    const seq = Math.max(lastSeq, sealedSeq ?? 0);
    if (series.length + metadata.length > 0) describe(seq + 1, descriptions(series, metadata));
    const bootOf = createBoots(insertBoot);
    const known = batches.filter(isOfSignal);
    for (const [index, { boot, monoUs, ...batch }] of known.entries()) {
      const row = { ...batch, seq: seq + 1 + index, monoUs: monoUs ?? 0, boot: bootOf(boot, monoUs) };
      insertBatch.run({ ...row, crc: batchCrc(row) });
    }
    segments.remove(part.removedSegments ?? []);
    for (const segment of addedSegments) if (named.get(segment.path) === undefined) segments.insert(segment);
    if (sealedSeq !== undefined && sealedSeq > Number(meta.get('sealed_seq'))) {
      release.run(sealedSeq);
      meta.set('sealed_seq', sealedSeq);
    }
    meta.set(`${jobKey}${part.job}`, part.cursor);
    return seq + known.length;
  };
}

/** False: a damaged page made up the signal. */
export const isOfSignal = ({ signal }: RestoredBatch): boolean =>
  (signals as readonly string[]).includes(signal);

function descriptions(series: AppendMessage['series'], metadata: AppendMessage['metadata']): AppendMessage {
  const empty = { kind: 'append', signal: 'metrics', rows: 0, receivedUs: 0, monoUs: 0 } as const;
  return { ...empty, payload: new Uint8Array(0), series, metadata };
}

/** Rows of `boot` for one part; they are not used again, because one that no batch needs may be removed meanwhile. */
function createBoots(insert: Database.Statement) {
  const ids = new Map<string, number>();
  return (boot: RestoredBatch['boot'], monoUs: number | null): number => {
    // Format 1 believed its clock; where the second says nothing any more, nobody knows.
    const { bootId, clock, offsetUs } = boot ?? {
      ...{ bootId: 'lost', offsetUs: 0 },
      clock: monoUs === null ? 'trusted' : 'untrusted',
    };
    const key = `${bootId} ${clock} ${offsetUs}`;
    const id = ids.get(key) ?? Number(insert.run(bootId, clock, offsetUs).lastInsertRowid);
    ids.set(key, id);
    return id;
  };
}
