import { crc32 } from 'node:zlib';
import Database from 'better-sqlite3';
import { FirnError } from '../../lake/base/errors.ts';
import { printManifest1 } from '../../lake/model/manifest.ts';
import { walFormat, walPragmas, walSchemaSql } from './schema.ts';
import type { SealRecord, SegmentRecord } from './wal.ts';
import type { AppendRequest, WalCommand, WorkerOptions } from './wal-messages.ts';

// Every statement that writes wal.db. Synchronous; each function is one transaction, durable when it returns.

export interface WalDatabase {
  readonly epoch: number;
  lastSeq(): number;
  append(requests: readonly AppendRequest[]): void;
  run(command: WalCommand): void;
  close(): void;
}

const metadataSql = `INSERT INTO metadata (name, type, help, unit, version) VALUES (@name, @type, @help, @unit, 1)
  ON CONFLICT (name) DO UPDATE SET type = excluded.type, help = excluded.help, unit = excluded.unit,
    version = version + 1
  WHERE type <> excluded.type OR help <> excluded.help OR unit <> excluded.unit`;

const segmentSql = `INSERT INTO segment (path, signal, day, shipment, tier, rows, bytes, min_timestamp_us,
    max_timestamp_us, min_name, max_name)
  VALUES (@path, @signal, @day, @shipment, @tier, @rows, @bytes, @minTimestampUs, @maxTimestampUs, @minName, @maxName)`;

/** Free pages are reused; only when there are more than these (256 MiB) are they given back, bit by bit. */
const freePagesMax = 65_536;
const freePagesReturned = 4_096;
/** After a checkpoint the -wal file is cut to this size. */
const journalBytesMax = 64 * 1024 * 1024;

export function openDatabase(options: WorkerOptions): WalDatabase {
  const db = new Database(options.path);
  const epoch = initialise(db, options);

  const insertBatch = db.prepare(
    'INSERT INTO batch (signal, rows, received_us, crc, payload) VALUES (?, ?, ?, ?, ?)',
  );
  const insertSeries = db.prepare('INSERT OR IGNORE INTO series (id, labels) VALUES (?, ?)');
  const upsertMetadata = db.prepare(metadataSql);
  const append = db.transaction((requests: readonly AppendRequest[]) => {
    for (const { signal, rows, receivedUs, payload, series, metadata } of requests) {
      for (const { id, labels } of series) insertSeries.run(id, labels);
      for (const entry of metadata) upsertMetadata.run(entry);
      if (rows > 0) insertBatch.run(signal, rows, receivedUs, crc32(payload), payload);
    }
  });

  const insertSegment = db.prepare(segmentSql);
  const deleteSegment = db.prepare('DELETE FROM segment WHERE path = ?');
  const replaceSegments = db.transaction((removed: readonly string[], added: SegmentRecord) => {
    for (const path of removed) deleteSegment.run(path);
    insertSegment.run(added);
  });
  const removeSegments = db.transaction((paths: readonly string[]) => {
    for (const path of paths) deleteSegment.run(path);
  });
  const shipped = db.prepare(
    `UPDATE shipment SET state = 'shipped', shipped_us = ? WHERE number = ? AND state = 'sealed'`,
  );
  const forgetShipped = db.prepare(`DELETE FROM shipment WHERE state = 'shipped' AND number <= ?`);
  const markShipped = db.transaction((number: number, shippedUs: number) => {
    shipped.run(shippedUs, number);
    forgetShipped.run(number - shippedKept);
  });
  const commitSeal = prepareSeal(db, insertSegment);
  const lastSeq = db
    .prepare<[], number>(`SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'batch'`)
    .pluck();

  return {
    epoch,
    append,
    lastSeq: () => lastSeq.get() ?? 0,
    run: (command) => {
      switch (command.kind) {
        case 'commitSeal':
          commitSeal(command.seal);
          return returnFreePages(db);
        case 'markShipped':
          return markShipped(command.number, command.shippedUs);
        case 'replaceSegments':
          return replaceSegments(command.removed, command.added);
        case 'removeSegments':
          return removeSegments(command.paths);
      }
    },
    close: () => void db.close(),
  };
}

/**
 * Shipped shipments that are remembered; a row holds its whole manifest, and there is one every few seconds. The newest
 * says where the tail begins and is never far from the last one shipped.
 */
const shippedKept = 100;

/** Sets pragmas, makes the tables, checks the format; returns the epoch. */
function initialise(db: Database.Database, options: WorkerOptions): number {
  // Before the first table is made, or auto_vacuum has no effect: journal_mode = WAL writes the header.
  const pragmas = [...walPragmas].sort((a, b) => Number(b.startsWith('auto')) - Number(a.startsWith('auto')));
  for (const pragma of pragmas) db.pragma(pragma);
  db.pragma(`journal_size_limit = ${journalBytesMax}`);
  if (options.databaseBytesMax > 0) {
    const pageBytes = db.pragma('page_size', { simple: true }) as number;
    db.pragma(`max_page_count = ${Math.ceil(options.databaseBytesMax / pageBytes)}`);
  }
  return db.transaction(() => {
    db.exec(walSchemaSql);
    const set = db.prepare('INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)');
    set.run('format', String(walFormat));
    set.run('epoch', String(options.newEpoch));
    const get = db.prepare<[string], string>('SELECT value FROM meta WHERE key = ?').pluck();
    const format = Number(get.get('format'));
    if (format !== walFormat) throw otherFormat(options.path, format);
    return Number(get.get('epoch'));
  })();
}

function prepareSeal(db: Database.Database, insertSegment: Database.Statement): (seal: SealRecord) => void {
  const newest = db.prepare<[], { number: number; toSeq: number }>(
    'SELECT number, to_seq AS toSeq FROM shipment ORDER BY number DESC LIMIT 1',
  );
  const insert = db.prepare(
    `INSERT INTO shipment (number, from_seq, to_seq, sealed_us, manifest, state) VALUES (?, ?, ?, ?, ?, 'sealed')`,
  );
  const release = db.prepare('DELETE FROM batch WHERE seq > ? AND seq <= ?');
  const shippedVersion = db.prepare(
    'UPDATE metadata SET shipped_version = max(shipped_version, @version) WHERE name = @name',
  );
  return db.transaction(({ manifest, segments, metadataVersions }: SealRecord) => {
    const last = newest.get() ?? { number: 0, toSeq: 0 };
    if (manifest.number <= last.number) return; // recorded already
    if (manifest.number !== last.number + 1 || manifest.fromSeq !== last.toSeq)
      throw hole(manifest.number, manifest.fromSeq, last);
    const { number, fromSeq, toSeq, sealedUs } = manifest;
    insert.run(number, fromSeq, toSeq, sealedUs, printManifest1(manifest));
    for (const segment of segments) insertSegment.run(segment);
    release.run(fromSeq, toSeq);
    for (const [name, version] of metadataVersions) shippedVersion.run({ name, version });
  });
}

function returnFreePages(db: Database.Database): void {
  const free = db.pragma('freelist_count', { simple: true }) as number;
  if (free > freePagesMax) db.pragma(`incremental_vacuum(${freePagesReturned})`);
}

function hole(number: number, fromSeq: number, last: { number: number; toSeq: number }): FirnError {
  return new FirnError({
    code: 'conflict',
    operation: 'commit seal',
    subject: String(number),
    message: `shipment ${number} from seq ${fromSeq} does not follow shipment ${last.number} to seq ${last.toSeq}`,
  });
}

function otherFormat(path: string, format: number): FirnError {
  return new FirnError({
    code: 'unsupported',
    operation: 'open WAL',
    subject: path,
    message: `${path} has format ${format}, this version of Firn writes format ${walFormat}`,
    hint: 'run the version of Firn that wrote it',
  });
}
