import type Database from 'better-sqlite3';
import { FirnError } from '../../lake/base/errors.ts';
import type { Meta } from './database.ts';
import type { SealRecord, SegmentRecord } from './wal.ts';

const segmentSql = `INSERT INTO segment (path, signal, class, day, tier, epoch, from_seq, to_seq, rows, bytes,
    min_timestamp_us, max_timestamp_us, min_name, max_name, min_received_us, max_received_us, sealed_us, clock, manifest,
    committed)
  VALUES (@path, @signal, @class, @day, @tier, @epoch, @fromSeq, @toSeq, @rows, @bytes, @minTimestampUs,
    @maxTimestampUs, @minName, @maxName, @minReceivedUs, @maxReceivedUs, @sealedUs, @clock, @manifest, @committed)`;

export type SegmentStatements = ReturnType<typeof segmentStatements>;

/** What writes the table `segment`; every function runs inside the caller's transaction. */
export function segmentStatements(db: Database.Database, meta: Meta) {
  const insertSql = db.prepare(segmentSql);
  const insert = ({ manifest, committed, ...record }: SegmentRecord): void =>
    void insertSql.run({
      ...record,
      manifest: manifest === null ? null : JSON.stringify(manifest),
      committed: Number(committed),
    });
  const remove = db.prepare('DELETE FROM segment WHERE path = ?');
  const forgotten = db.prepare<[string], Forgotten>(
    `SELECT signal, min(max_timestamp_us, sealed_us) AS toUs FROM segment WHERE path = ? AND committed = 1`,
  );
  const removeFree = db.prepare('DELETE FROM segment WHERE path = ? AND (shipment IS NULL OR committed = 1)');
  const release = db.prepare('DELETE FROM batch WHERE seq > ? AND seq <= ?');
  const uploaded = db.prepare('UPDATE segment SET uploaded = 1, upload_state = NULL WHERE path = ?');
  const uploadState = db.prepare('UPDATE segment SET upload_state = ? WHERE path = ?');
  return {
    insert,
    commitSeal: ({ fromSeq, toSeq, segments }: SealRecord): void => {
      const sealedSeq = Number(meta.get('sealed_seq'));
      if (toSeq <= sealedSeq) return; // recorded already
      if (fromSeq !== sealedSeq) throw hole(fromSeq, toSeq, sealedSeq);
      for (const segment of segments) insert(segment);
      release.run(fromSeq, toSeq);
      meta.set('sealed_seq', toSeq);
    },
    replace: (removed: readonly string[], added: readonly SegmentRecord[]): void => {
      for (const path of removed) if (removeFree.run(path).changes === 0) throw taken(path);
      for (const segment of added) insert(segment);
    },
    remove: (paths: readonly string[]): void => {
      for (const path of paths) {
        const gone = forgotten.get(path);
        if (gone !== undefined) raiseFloor(meta, gone);
        remove.run(path);
      }
    },
    saveUpload: (path: string, state: string | null): void => void uploadState.run(state, path),
    markUploaded: (paths: readonly string[]): void => {
      for (const path of paths) uploaded.run(path);
    },
  };
}

/** A local file whose rows the cloud has. */
interface Forgotten {
  readonly signal: string;
  readonly toUs: number;
}

/** Up to here rows of a signal may be in the lake alone. */
export const floorKey = (signal: string): string => `local_floor_us ${signal}`;

function raiseFloor(meta: Meta, { signal, toUs }: Forgotten): void {
  if (toUs > Number(meta.get(floorKey(signal)) ?? Number.NEGATIVE_INFINITY)) meta.set(floorKey(signal), toUs);
}

function taken(path: string): FirnError {
  return new FirnError({
    code: 'conflict',
    operation: 'replace segments',
    subject: path,
    message: `${path} can't be replaced: it is gone, or a shipment names it`,
  });
}

function hole(fromSeq: number, toSeq: number, sealedSeq: number): FirnError {
  return new FirnError({
    code: 'conflict',
    operation: 'commit seal',
    subject: String(toSeq),
    message: `the seal of (${fromSeq}, ${toSeq}] does not follow the last one, to ${sealedSeq}`,
  });
}
