import { dirname } from 'node:path';
import type Database from 'better-sqlite3';
import { FirnError } from '../../lake/base/errors.ts';
import type { ReachFaultPoint } from '../../lake/base/fault-points.ts';
import { alarmTest } from './alarm-streams.ts';
import { batchCrc } from './batch-crc.ts';
import { jobFolder } from './recovery/damaged-folder.ts';
import { createMarkKeeper } from './recovery/mark-keeper.ts';
import { isOfSignal, restoreStatements } from './recovery/restore-statements.ts';
import type { RestoredPart } from './recovery/restored-part.ts';
import { appendPlaces } from './recovery/restored-places.ts';
import { type FirstState, type StartedLog, startLog } from './recovery/start-log.ts';
import { walFormat, walPragmas, walSchemaSql } from './schema.ts';
import { type SegmentStatements, segmentStatements } from './segment-statements.ts';
import { shipmentStatements } from './shipment-statements.ts';
import type { SealRecord } from './wal.ts';
import type { AppendMessage, WalCommand, WalStart, WalState, WorkerOptions } from './wal-messages.ts';

// Every statement that writes wal.db. Synchronous; each function is one transaction, durable when it returns.

export interface WalDatabase {
  /** How it was found. */
  readonly start: WalStart;
  state(): WalState;
  append(requests: readonly AppendMessage[]): void;
  /** Returns what the command returns. */
  run(command: WalCommand): number | undefined;
  close(): void;
}

const metadataSql = `INSERT INTO metadata (name, type, help, unit, version) VALUES (@name, @type, @help, @unit, 1)
  ON CONFLICT (name) DO UPDATE SET type = excluded.type, help = excluded.help, unit = excluded.unit,
    version = version + 1
  WHERE type <> excluded.type OR help <> excluded.help OR unit <> excluded.unit`;

/** Free pages are reused; only when there are more than these (256 MiB) are they given back, bit by bit. */
const freePagesMax = 65_536;
const freePagesReturned = 4_096;
/** After a checkpoint the -wal file is cut to this size. */
const journalBytesMax = 64 * 1024 * 1024;

export function openDatabase(options: WorkerOptions, reach: ReachFaultPoint): WalDatabase {
  const started = startLog({
    path: options.path,
    bootId: options.boot.bootId === 'unknown' ? '' : options.boot.bootId,
    nowUs: options.nowUs,
    newEpoch: options.newEpoch,
    format: walFormat,
    prepare: (db, first) => initialise(db, options, first),
  });
  try {
    return databaseOf(started, options, reach);
  } catch (error) {
    started.db.close();
    started.mark[Symbol.dispose]();
    throw error;
  }
}

function databaseOf(started: StartedLog, options: WorkerOptions, reach: ReachFaultPoint): WalDatabase {
  const { db, newEpoch } = started;
  const meta = metaOf(db);
  let lastSeq = Math.max(Number(meta.get('sealed_seq')), numberOf(db, 'SELECT max(seq) FROM batch'));
  const boots = bootsOf(db, options);
  const insertRows = prepareAppend(db, options, () => boots.current);
  const source = { meta: meta.get, oldestReceivedUs: oldestOf(db) };
  const keepMark = createMarkKeeper(started.mark, source, options.nowUs);
  const restored = restoreStatements(db, meta, (seq, series) => insertRows(seq, series));
  /** One transaction of `write`, of what recovery brings back, and of the rows that belong to it. */
  const write = <T>(work: () => T, messages: readonly AppendMessage[] = [], part?: RestoredPart): T => {
    const result = db.transaction(() => {
      const value = work();
      // Only a commit moves the counter: what is rolled back gives its places back.
      const before = part === undefined ? lastSeq : restored(part, lastSeq);
      const newestSeq = messages.reduce((seq, message) => insertRows(seq + 1, message), before);
      keepMark.hold(newestSeq, heldSince(messages, part));
      reach('wal.before-commit');
      return { value, newestSeq };
    })();
    lastSeq = result.newestSeq;
    keepMark.committed(lastSeq, messages.at(-1)?.receivedUs ?? 0);
    reach('wal.committed');
    return result.value;
  };
  const segments = segmentStatements(db, meta);
  const shipments = shipmentStatements(db, meta);
  if (newEpoch !== undefined) write(() => shipments.beginEpoch(newEpoch));
  keepMark.open(lastSeq);
  return {
    start: { kind: started.kind, reasons: started.reasons },
    state: () => ({ epoch: Number(meta.get('epoch')), lastSeq }),
    append: (requests) => write(() => undefined, requests),
    run: (command) => {
      switch (command.kind) {
        case 'commitSeal':
          write(() => commitSeal(segments, command.seal, lastSeq, options.path), command.gaps);
          return void returnFreePages(db);
        case 'setClock':
          return void write(() => boots.set(command.clock, command.offsetUs));
        case 'compose':
          return write(() => shipments.compose(command.plan));
        case 'amendShipment':
        case 'applyReceipt':
          return void write(() => changeShipments(shipments, command), command.gaps);
        case 'markShipped':
          return void write(() => shipments.markShipped(command.number, command.shippedUs, command.spent));
        case 'beginEpoch':
          return void write(() => shipments.beginEpoch(command.epoch));
        case 'replaceSegments':
        case 'removeSegments':
        case 'saveUpload':
        case 'markUploaded':
          return void write(() => changeSegments(segments, command), 'gaps' in command ? command.gaps : []);
        case 'restore': {
          const first = lastSeq + 1;
          write(() => undefined, command.gaps, command.part);
          const places = { epoch: Number(meta.get('epoch')), first };
          return void (notePlaces(options.path, command.part, places) && write(boots.renew));
        }
        case 'condemn':
          return void keepMark.condemn();
        default:
          return undefined; // flush, close
      }
    },
    close: () => {
      keepMark.close(lastSeq);
      db.close();
    },
  };
}

/** Before the next command, which may be the seal of what was restored. False: no batches were. */
function notePlaces(path: string, part: RestoredPart, places: { epoch: number; first: number }): boolean {
  const seqs = (part.batches ?? []).filter(isOfSignal).map(({ seq }) => seq);
  if (seqs.length > 0) appendPlaces(jobFolder(dirname(path), part.job), { ...places, seqs });
  return seqs.length > 0;
}

/** Since when what is written tells of something, where that may be before what stands before it was received; Infinity: it does not. */
function heldSince(messages: readonly AppendMessage[], part: RestoredPart | undefined): number {
  let since = Number.POSITIVE_INFINITY;
  for (const { sinceUs } of messages) since = Math.min(since, sinceUs ?? since);
  for (const { receivedUs } of part?.batches ?? []) since = Math.min(since, receivedUs);
  return since;
}

function oldestOf(db: Database.Database): () => number | undefined {
  const oldest = db.prepare<[], number>('SELECT received_us FROM batch ORDER BY seq LIMIT 1').pluck();
  return () => oldest.get();
}

function commitSeal(segments: SegmentStatements, seal: SealRecord, lastSeq: number, path: string): void {
  segments.commitSeal(seal);
  if (seal.toSeq > lastSeq) throw beyondEnd(path, seal.toSeq, lastSeq);
}

/** A damaged page gave a batch a place that was never given: what comes to stand there would count as sealed. */
function beyondEnd(path: string, toSeq: number, lastSeq: number): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'commit seal',
    subject: path,
    message: `a seal up to batch ${toSeq} of a log that ends with batch ${lastSeq}`,
  });
}

function changeShipments(
  shipments: ReturnType<typeof shipmentStatements>,
  command: WalCommand & { kind: 'amendShipment' | 'applyReceipt' },
): void {
  if (command.kind === 'amendShipment') shipments.amend(command.number, command.without);
  else shipments.applyReceipt(command.receipt);
}

function changeSegments(
  segments: SegmentStatements,
  command: WalCommand & { kind: 'replaceSegments' | 'removeSegments' | 'saveUpload' | 'markUploaded' },
): void {
  if (command.kind === 'removeSegments') segments.remove(command.paths);
  else if (command.kind === 'replaceSegments') segments.replace(command.removed, command.added);
  else if (command.kind === 'saveUpload') segments.saveUpload(command.path, command.state);
  else segments.markUploaded(command.paths);
}

/** Stores a message, its rows as batch `seq`; returns the newest seq, the one before when there are no rows. */
type InsertBatch = (seq: number, message: AppendMessage) => number;

function prepareAppend(
  db: Database.Database,
  { alarmSelectors }: WorkerOptions,
  boot: () => number,
): InsertBatch {
  const insertBatch = db.prepare(
    `INSERT INTO batch (seq, signal, rows, received_us, mono_us, boot, crc, payload)
     VALUES (@seq, @signal, @rows, @receivedUs, @monoUs, @boot, @crc, @payload)`,
  );
  const knownSeries = db.prepare<[bigint], number>('SELECT 1 FROM series WHERE id = ?').pluck();
  const insertSeries = db.prepare('INSERT INTO series (id, labels, alarm) VALUES (?, ?, ?)');
  const upsertMetadata = db.prepare(metadataSql);
  const isAlarm = alarmTest(alarmSelectors);
  return (seq, { signal, rows, receivedUs, monoUs, payload, series, metadata }) => {
    for (const { id, labels } of series)
      if (knownSeries.get(id) === undefined) insertSeries.run(id, labels, Number(isAlarm(labels)));
    for (const entry of metadata) upsertMetadata.run(entry);
    if (rows === 0) return seq - 1;
    const batch = { seq, signal, rows, receivedUs, monoUs, boot: boot(), payload };
    insertBatch.run({ ...batch, crc: batchCrc(batch) });
    return seq;
  };
}

/** The stretches of time with one clock; the newest is where appends go. */
function bootsOf(db: Database.Database, { boot }: WorkerOptions) {
  const insert = db.prepare('INSERT INTO boot (boot_id, clock) VALUES (?, ?)');
  const correct = db.prepare(
    `UPDATE boot SET clock = iif(@offsetUs = 0, 'trusted', 'corrected'), offset_us = offset_us + @offsetUs
     WHERE boot_id = @bootId AND clock = 'untrusted'`,
  );
  // The boots of batches ascend with their places, so the oldest batches say which are needed (more than one of them,
  // because one may be damaged). Looking at all would make a start on a large log slow.
  const unused = db.prepare(`DELETE FROM boot WHERE id < @current AND id < coalesce(
    (SELECT min(boot) FROM (SELECT boot FROM batch ORDER BY seq LIMIT 100)), @current)`);
  const add = (clock: string): number => Number(insert.run(boot.bootId, clock).lastInsertRowid);
  let clock: string = boot.clock;
  const boots = {
    current: add(clock),
    /** What recovery has brought back has later boots than the current one. */
    renew: (): void => {
      boots.current = add(clock);
    },
    set: (quality: string, offsetUs: number | undefined): void => {
      clock = quality;
      if (offsetUs !== undefined) correct.run({ offsetUs, bootId: boot.bootId });
      boots.current = add(clock);
      unused.run({ current: boots.current });
    },
  };
  unused.run({ current: boots.current });
  return boots;
}

export type Meta = ReturnType<typeof metaOf>;

function metaOf(db: Database.Database) {
  const get = db.prepare<[string], string>('SELECT value FROM meta WHERE key = ?').pluck();
  const set = db.prepare(
    'INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
  );
  return {
    get: (key: string): string | undefined => get.get(key),
    set: (key: string, value: string | number): void => void set.run(key, String(value)),
  };
}

/** Sets pragmas, makes the tables. */
function initialise(db: Database.Database, options: WorkerOptions, first: FirstState): void {
  // Before the first table is made, or auto_vacuum has no effect: journal_mode = WAL writes the header.
  const pragmas = [...walPragmas].sort((a, b) => Number(b.startsWith('auto')) - Number(a.startsWith('auto')));
  for (const pragma of pragmas) db.pragma(pragma);
  db.pragma(`journal_size_limit = ${journalBytesMax}`);
  if (options.databaseBytesMax > 0) {
    const pageBytes = db.pragma('page_size', { simple: true }) as number;
    db.pragma(`max_page_count = ${Math.ceil(options.databaseBytesMax / pageBytes)}`);
  }
  db.transaction(() => {
    db.exec(walSchemaSql);
    const meta = metaOf(db);
    meta.set('format', walFormat);
    if (meta.get('epoch') === undefined) meta.set('epoch', first.epoch);
    if (meta.get('sealed_seq') === undefined) meta.set('sealed_seq', first.sealedSeq);
    classifySeries(db, meta, options.alarmSelectors);
  })();
}

/** Looks at every series again, but only when other streams are alarms than before. */
function classifySeries(db: Database.Database, meta: Meta, selectors: readonly string[]): void {
  const text = JSON.stringify(selectors);
  if (meta.get('alarm_selectors') === text) return;
  const isAlarm = alarmTest(selectors);
  db.function('is_alarm', { deterministic: true }, (labels) => Number(isAlarm(String(labels))));
  db.exec('UPDATE series SET alarm = is_alarm(labels)');
  meta.set('alarm_selectors', text);
}

function numberOf(db: Database.Database, sql: string): number {
  return db.prepare<[], number | null>(sql).pluck().get() ?? 0;
}

function returnFreePages(db: Database.Database): void {
  const free = db.pragma('freelist_count', { simple: true }) as number;
  if (free > freePagesMax) db.pragma(`incremental_vacuum(${freePagesReturned})`);
}
