import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { FirnError } from '../../../lake/base/errors.ts';
import {
  finishJob,
  finishMoves,
  type RecoveryJob,
  recordAnomaly,
  recoveryJobs,
  rewriteRecord,
} from './damaged-folder.ts';
import { cutTornTail, inspectLogFiles, type LogFiles, markPath } from './log-files.ts';
import { epochInFiles } from './salvage.ts';
import { openWalMark, type WalMarkFile, type WalNote, type WalProgress } from './wal-mark.ts';

// How the log is opened, whatever has become of its files: never a refusal, never a full scan. What was found is
// recorded (damaged-folder.ts) before SQLite opens anything; run-recovery.ts does the work that it means afterwards.
//
// fresh: nothing was here. clean: all is well. soft: the database can be used, but something that was acknowledged may
// be lost. hard: it was moved aside, and there is a new one. Soft and hard begin a new epoch, so that no number and no
// name of a segment is given twice.

export interface StartOptions {
  /** Path of wal.db; its folder is the data folder. */
  readonly path: string;
  /** Identifies the boot of this machine; empty: not known. */
  readonly bootId: string;
  readonly nowUs: number;
  /** Epoch of a log that begins, unix seconds. */
  readonly newEpoch: number;
  /** The format that `prepare` makes. */
  readonly format: number;
  /** Sets pragmas and makes the tables that are missing; `first` is for a database that has none yet. */
  readonly prepare: (db: Database.Database, first: FirstState) => void;
}

/** How a new database begins. Places in the log go on from the one before, so that none is given twice. */
export interface FirstState {
  readonly epoch: number;
  readonly sealedSeq: number;
}

export interface StartedLog {
  readonly kind: 'fresh' | 'clean' | 'soft' | 'hard';
  readonly reasons: readonly string[];
  readonly db: Database.Database;
  readonly mark: WalMarkFile;
  /** The epoch to begin, with all that it means for shipments; undefined: go on with the one in the database. */
  readonly newEpoch: number | undefined;
}

/** A database of no more than this is looked through at the start: it takes a moment, and finds most damage early. */
const checkedBytesMax = 16 * 1024 * 1024;
/** One that is in doubt is looked through up to this size; a larger one is moved aside instead. */
const doubtfulBytesMax = 32 * 1024 * 1024;
/** More than was ever appended after the last that is known: nobody can say how much of a lost log was lost. */
const unknownBatchesMax = 1_000_000;

export function startLog(options: StartOptions): StartedLog {
  const { path, bootId } = options;
  const dataDir = dirname(path);
  finishMoves(dataDir, path);
  const mark = openWalMark(markPath(path), bootId);
  const files = inspectLogFiles(path, mark.found);
  const recorder = createRecorder(options, dataDir, mark, files);
  const begun = interruptedJob(dataDir, mark, files);
  if (begun !== undefined) return openNew(options, mark, recorder, begun.epoch, begun.record.reasons);
  if (files.unusable.length > 0) return startAgain(options, mark, recorder, files.unusable);
  const db = tryToOpen(options, mark, files, recorder);
  if (Array.isArray(db)) return startAgain(options, mark, recorder, db);
  const epochs = recoveryJobs(dataDir).map((job) => job.epoch);
  const current = progressOf(db).epoch;
  const needed = Math.max(0, ...epochs);
  const newEpoch = needed > current ? needed : recorder.recorded ? current + 1 : undefined;
  const kind = files.fresh ? 'fresh' : newEpoch === undefined ? 'clean' : 'soft';
  return { kind, reasons: recorder.reasons(), db, mark, newEpoch };
}

/** A batch that was committed is behind the tear: SQLite does not read it, but page by page it can be read. */
function whyTorn(path: string, { found, note }: WalMarkFile): string[] {
  const known = Math.max(found?.lastSeq ?? 0, note?.lastSeq ?? 0);
  const db = new Database(path, { readonly: true });
  try {
    const isBehind = formatOf(db) !== undefined && progressOf(db).lastSeq < known;
    return isBehind ? [`wal.db-wal is torn before batch ${known}, which was committed`] : [];
  } finally {
    db.close();
  }
}

/** The opened database, or why it can't be used. */
function tryToOpen(
  options: StartOptions,
  mark: WalMarkFile,
  files: LogFiles,
  recorder: Recorder,
): Database.Database | string[] {
  const doubtful = files.databaseBytes > doubtfulBytesMax && files.doubts.some(({ structure }) => structure);
  if (doubtful) return files.doubts.map(({ reason }) => reason);
  recorder.record(files.doubts.map(({ reason }) => reason));
  let db: Database.Database | undefined;
  try {
    if (files.wal.verdict === 'torn-tail') {
      const torn = whyTorn(options.path, mark);
      if (torn.length > 0) return [...files.doubts.map(({ reason }) => reason), ...torn];
      cutTornTail(options.path, files.wal);
    }
    db = new Database(options.path);
    const format = formatOf(db);
    if (format !== options.format && format !== undefined) {
      if (format === 1) recorder.migrates(progressOfFormat1(db));
      db.close();
      return otherFormat(options, mark, format);
    }
    if (format !== undefined && !hasOurSchema(db, options)) {
      db.close();
      return [...files.doubts.map(({ reason }) => reason), 'the schema in wal.db is damaged'];
    }
    options.prepare(db, { epoch: recorder.nextEpoch(), sealedSeq: 0 });
    const behind = whyBehind(progressOf(db), mark);
    const suspicious = behind.length > 0 || files.doubts.some(({ structure }) => structure);
    const bytesMax = suspicious ? doubtfulBytesMax : checkedBytesMax;
    const broken = structureOf(db, files.databaseBytes, bytesMax, suspicious);
    if (broken !== undefined) {
      db.close();
      return [...files.doubts.map(({ reason }) => reason), ...behind, broken];
    }
    if (behind.length > 0) recorder.record(behind);
    else if (isExact(progressOf(db), mark)) recorder.withdraw();
    releaseSealed(db, mark);
    recorder.keptUntil(newestReceivedUs(db));
    return db;
  } catch (error) {
    db?.close();
    if (!isCorruption(error)) throw error;
    return [...files.doubts.map(({ reason }) => reason), `SQLite can't read it: ${error.message}`];
  }
}

/** Moves the files aside and begins a new database. */
function startAgain(
  options: StartOptions,
  mark: WalMarkFile,
  recorder: Recorder,
  reasons: readonly string[],
): StartedLog {
  const epoch = recorder.moveAside(reasons);
  return openNew(options, mark, recorder, epoch, recorder.reasons());
}

/** The files were moved aside by a start that ended before it had a new database. */
function interruptedJob(dataDir: string, { found }: WalMarkFile, files: LogFiles): RecoveryJob | undefined {
  if (files.databaseBytes > 0 || found === undefined) return undefined;
  return recoveryJobs(dataDir).find(({ epoch, record }) => record.state === 'pending' && epoch > found.epoch);
}

function openNew(
  options: StartOptions,
  mark: WalMarkFile,
  recorder: Recorder,
  epoch: number,
  reasons: readonly string[],
): StartedLog {
  const db = new Database(options.path);
  options.prepare(db, { epoch, sealedSeq: recorder.lastSeq() + unknownBatchesMax });
  return { kind: 'hard', reasons, db, mark, newEpoch: undefined };
}

/** What the mark knows to be on disk and the database does not have. */
function whyBehind(db: WalProgress, mark: WalMarkFile): string[] {
  const { found } = mark;
  if (found === undefined) return [];
  if (db.epoch < found.epoch) return [`wal.db is of epoch ${db.epoch}, wal.mark of ${found.epoch}`];
  const reasons: string[] = [];
  for (const known of [found, mark.note]) {
    if (known === undefined) continue;
    if (db.sealedSeq < known.sealedSeq)
      reasons.push(`wal.db is sealed up to ${db.sealedSeq}, but was up to ${known.sealedSeq}`);
    if (db.lastSeq < known.lastSeq)
      reasons.push(`wal.db ends with batch ${db.lastSeq}, but had batch ${known.lastSeq}`);
    if (db.epoch === known.epoch && db.lastNumber < known.lastNumber)
      reasons.push(`wal.db ends with shipment ${db.lastNumber}, but had shipment ${known.lastNumber}`);
  }
  return [...new Set(reasons)];
}

/** The last commit that was made is the last one that is here: what is torn after it was never acknowledged. */
function isExact(db: WalProgress, { note }: WalMarkFile): boolean {
  return (
    note?.exact === true &&
    note.epoch === db.epoch &&
    note.sealedSeq === db.sealedSeq &&
    note.lastSeq === db.lastSeq &&
    note.lastNumber === db.lastNumber
  );
}

/** Batches that the mark says are in committed files: a lost commit has brought them back. */
function releaseSealed(db: Database.Database, { found }: WalMarkFile): void {
  if (found === undefined || found.sealedSeq <= progressOf(db).sealedSeq) return;
  db.transaction(() => {
    db.prepare('DELETE FROM batch WHERE seq <= ?').run(found.sealedSeq);
    db.prepare(`UPDATE meta SET value = ? WHERE key = 'sealed_seq'`).run(String(found.sealedSeq));
  })();
}

/** What the database says of itself; see schema.ts. */
function progressOf(db: Database.Database): WalProgress {
  const meta = db.prepare<[string], string>('SELECT value FROM meta WHERE key = ?').pluck();
  const number = (key: string): number => Number(meta.get(key) ?? 0);
  const newest = db.prepare<[], number | null>('SELECT max(seq) FROM batch').pluck().get() ?? 0;
  const sealedSeq = number('sealed_seq');
  return {
    epoch: number('epoch'),
    sealedSeq,
    lastSeq: Math.max(sealedSeq, newest),
    lastNumber: number('last_number'),
  };
}

function newestReceivedUs(db: Database.Database): number {
  return db.prepare<[], number>('SELECT received_us FROM batch ORDER BY seq DESC LIMIT 1').pluck().get() ?? 0;
}

function isTailUnknown({ wal, databaseBytes }: LogFiles, note: WalNote | undefined): boolean {
  if (note?.exact) return false;
  return databaseBytes === 0 || (wal.verdict !== 'intact' && wal.verdict !== 'empty');
}

/** Format 1: a seal was a shipment, and SQLite counted the places in the log. */
function progressOfFormat1(db: Database.Database): WalProgress {
  const number = (sql: string): number => db.prepare<[], number | null>(sql).pluck().get() ?? 0;
  return {
    epoch: number(`SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'epoch'`),
    sealedSeq: number('SELECT max(to_seq) FROM shipment'),
    lastSeq: number(`SELECT seq FROM sqlite_sequence WHERE name = 'batch'`),
    lastNumber: number('SELECT max(number) FROM shipment'),
  };
}

/** Undefined: a database without tables. */
function formatOf(db: Database.Database): number | undefined {
  const tables = db.prepare(`SELECT count(*) FROM sqlite_schema WHERE name = 'meta'`).pluck().get();
  if (tables === 0) return undefined;
  return Number(db.prepare(`SELECT value FROM meta WHERE key = 'format'`).pluck().get() ?? Number.NaN);
}

function otherFormat({ path, format: ours }: StartOptions, mark: WalMarkFile, format: number): string[] {
  if (format === 1) return ['wal.db has the older format 1'];
  // A newer Firn would have left a newer mark: with one of ours, the number is not what was written.
  if (mark.found !== undefined || Number.isNaN(format)) return [`wal.db says that its format is ${format}`];
  throw new FirnError({
    code: 'unsupported',
    operation: 'open WAL',
    subject: path,
    message: `${path} has format ${format}, this version of Firn writes format ${ours}`,
    hint: 'run the version of Firn that wrote it',
  });
}

/** The schema is text in the first pages: a bit that turns over there can rename a column. Comments don't matter. */
function hasOurSchema(db: Database.Database, { prepare }: StartOptions): boolean {
  const ours = new Database(':memory:');
  try {
    prepare(ours, { epoch: 1, sealedSeq: 0 });
    return schemaOf(db) === schemaOf(ours);
  } finally {
    ours.close();
  }
}

function schemaOf(db: Database.Database): string {
  const objects = db.prepare<[], { name: string; sql: string | null }>(
    `SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name`,
  );
  const plain = (sql: string | null): string => (sql ?? '').replace(/--.*$/gm, '').replace(/\s+/g, ' ');
  return objects
    .all()
    .map(({ name, sql }) => `${name}: ${plain(sql)}`)
    .join('\n');
}

function structureOf(
  db: Database.Database,
  bytes: number,
  bytesMax: number,
  suspicious: boolean,
): string | undefined {
  if (bytes > bytesMax) return suspicious ? 'it is too large to be looked through at the start' : undefined;
  const found = db.prepare('PRAGMA quick_check(1)').pluck().get();
  return found === 'ok' ? undefined : `its structure is damaged: ${found}`;
}

/** SQLite says that what is stored can't be what was written; a broken schema shows as an error in our statements. */
const isCorruption = (error: unknown): error is Error =>
  error instanceof Error &&
  'code' in error &&
  typeof error.code === 'string' &&
  /^SQLITE_(CORRUPT|NOTADB|FORMAT|ERROR|CONSTRAINT|MISMATCH)/.test(error.code);

interface Recorder {
  readonly recorded: boolean;
  reasons(): readonly string[];
  /** Newest place in the log that is known to have been given. */
  lastSeq(): number;
  /** Later than every epoch that is known to have been used. */
  nextEpoch(): number;
  record(reasons: readonly string[]): void;
  /** The newest batch that is still there was received then. */
  keptUntil(receivedUs: number): void;
  /** What was recorded in this start turns out to be nothing. */
  withdraw(): void;
  /** The log is moved aside only because its format is older. */
  migrates(progress: WalProgress): void;
  /** Returns the epoch that begins. */
  moveAside(reasons: readonly string[]): number;
}

/** Times of files come from a clock that ticks more slowly than the one that stamps rows. */
const fileTimeSlackUs = 1_000_000;

/** Without a mark, the log itself may know a later one. */
function epochAfter(
  { path, newEpoch }: Pick<StartOptions, 'path' | 'newEpoch'>,
  dataDir: string,
  { found, note }: Pick<WalMarkFile, 'found' | 'note'>,
  { segmentEpoch }: LogFiles,
): number {
  const used = recoveryJobs(dataDir).map(({ epoch }) => epoch);
  const marked = found ?? note;
  const inFiles = marked?.epoch ?? epochInFiles({ databasePath: path, walPath: `${path}-wal` });
  return Math.max(newEpoch, Math.max(inFiles, note?.epoch ?? 0, segmentEpoch, ...used) + 1);
}

function createRecorder(
  { path, newEpoch, nowUs }: StartOptions,
  dataDir: string,
  { found, note }: WalMarkFile,
  files: LogFiles,
): Recorder {
  let job: RecoveryJob | undefined;
  let migrated: WalProgress | undefined;
  const reasons: string[] = [];
  const nextEpoch = (): number => epochAfter({ path, newEpoch }, dataDir, { found, note }, files);
  const recordOf = (state: 'moving' | 'pending') => {
    const fromUs = found?.unsealedSinceUs ?? files.segmentUs ?? files.writtenUs ?? nowUs;
    const writtenUs = (files.writtenUs ?? nowUs) + fileTimeSlackUs;
    // Without a real-time clock it may be earlier now than it was then.
    const endUs = nowUs > fromUs ? Math.min(nowUs, writtenUs) : writtenUs;
    return {
      ...{ state, reasons, migration: migrated !== undefined, aside: state === 'moving', fromUs },
      tailUnknown: isTailUnknown(files, note),
      mixed: found?.mixed ?? false,
      oldEpoch: migrated?.epoch ?? found?.epoch ?? note?.epoch ?? files.segmentEpoch,
      sealedSeq: Math.max(migrated?.sealedSeq ?? 0, found?.sealedSeq ?? 0, note?.sealedSeq ?? 0),
      lastSeq: Math.max(migrated?.lastSeq ?? 0, found?.lastSeq ?? 0, note?.lastSeq ?? 0),
      toUs: Math.max(fromUs, endUs),
    };
  };
  const add = (more: readonly string[]): void => {
    for (const reason of more) if (!reasons.includes(reason)) reasons.push(reason);
  };
  const withdraw = (): void => {
    if (job !== undefined) finishJob(dataDir, job, false, { damagedKept: 0, damagedBytesMax: 0 });
    job = undefined;
    reasons.length = 0;
  };
  return {
    get recorded() {
      return job !== undefined;
    },
    reasons: () => reasons,
    lastSeq: () =>
      Math.max(migrated?.lastSeq ?? 0, found?.lastSeq ?? 0, note?.lastSeq ?? 0, files.segmentSeq),
    nextEpoch,
    record: (more) => {
      if (more.length === 0) return;
      const epoch = job?.epoch ?? nextEpoch();
      const before = job;
      add(more);
      job = recordAnomaly(dataDir, epoch, recordOf('pending'));
      if (before !== undefined) finishJob(dataDir, before, false, { damagedKept: 0, damagedBytesMax: 0 });
    },
    keptUntil: (receivedUs) => {
      if (job === undefined || job.record.mixed || receivedUs === 0) return;
      const { record } = job;
      // What the mark said is certain; what files say of the time without one is not.
      if (found !== undefined && receivedUs <= record.fromUs) return;
      job = rewriteRecord(job, { ...record, fromUs: receivedUs, toUs: Math.max(receivedUs, record.toUs) });
    },
    withdraw,
    migrates: (progress) => {
      migrated = progress;
    },
    moveAside: (more) => {
      const before = job;
      const epoch = before?.epoch ?? nextEpoch();
      add(more);
      job = recordAnomaly(dataDir, epoch, recordOf('moving'));
      if (before !== undefined) finishJob(dataDir, before, false, { damagedKept: 0, damagedBytesMax: 0 });
      finishMoves(dataDir, path);
      return epoch;
    },
  };
}
