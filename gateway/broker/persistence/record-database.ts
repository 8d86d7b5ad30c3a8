import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import Database from 'better-sqlite3';
import { messageOf } from '../../../lake/base/errors.ts';
import type { RecordReply, RecordRequest, RecordWorkerOptions, StoredRecord } from './record-messages.ts';

// broker.db: what the broker must still know after a power cut. One table of records; their keys and contents are made in
// records.ts. WAL mode with synchronous FULL: a commit is on the disk when it returns.

/** Another one when the records change so that an older Firn must not read them. */
const format = 1;
/** Databases that were put aside and are kept for a person to look at; older ones are removed. */
const damagedKept = 2;

export interface RecordDatabase extends Disposable {
  commit(puts: readonly StoredRecord[], deletes: readonly string[]): void;
  /** These are all there is. */
  replace(records: readonly StoredRecord[]): void;
  /** All records, in the order of their keys. */
  all(): StoredRecord[];
}

/** Opens broker.db, or makes it. Throws what SQLite throws, and for a file of another format. */
export function openRecordDatabase(path: string): RecordDatabase {
  const db = new Database(path, { timeout: 5000 });
  try {
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('journal_size_limit = 16777216');
    const found = db.pragma('user_version', { simple: true });
    if (found !== 0 && found !== format)
      throw new Error(`broker.db has format ${found}, this Firn knows ${format}`);
    db.exec(
      'CREATE TABLE IF NOT EXISTS record (key TEXT PRIMARY KEY, payload ANY, meta TEXT NOT NULL) STRICT',
    );
    db.pragma(`user_version = ${format}`);
    return databaseOf(db);
  } catch (error) {
    db.close();
    throw error;
  }
}

function databaseOf(db: Database.Database): RecordDatabase {
  const put = db.prepare<[string, Uint8Array | string | null, string]>(
    'INSERT INTO record (key, payload, meta) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET payload = excluded.payload, meta = excluded.meta',
  );
  const remove = db.prepare<[string]>('DELETE FROM record WHERE key = ?');
  const all = db.prepare<[], StoredRecord>('SELECT key, payload, meta FROM record ORDER BY key');
  const commit = db.transaction((puts: readonly StoredRecord[], deletes: readonly string[]) => {
    for (const key of deletes) remove.run(key);
    for (const { key, payload, meta } of puts) put.run(key, payload, meta);
  });
  const replace = db.transaction((records: readonly StoredRecord[]) => {
    db.exec('DELETE FROM record');
    commit(records, []);
  });
  return {
    commit: (puts, deletes) => commit.immediate(puts, deletes),
    replace: (records) => replace.immediate(records),
    all: () => all.all(),
    [Symbol.dispose]: () => void db.close(),
  };
}

/** SQLite says that the file is damaged, or is no database; or it is of a format that is not known here. */
export const isDamage = (error: unknown): boolean =>
  error instanceof Error &&
  (/broker\.db has format/.test(error.message) ||
    ('code' in error && /^SQLITE_(CORRUPT|NOTADB)/.test(String(error.code))));

/** Moves a database that can't be used into `<folder>/broker-<n>`, and returns that. */
export function putAside({ path, damagedFolder }: RecordWorkerOptions): string {
  mkdirSync(damagedFolder, { recursive: true });
  const numbers = readdirSync(damagedFolder)
    .map((name) => Number(/^broker-(\d+)$/.exec(name)?.[1] ?? 0))
    .filter((number) => number > 0)
    .sort((a, b) => a - b);
  const folder = join(damagedFolder, `broker-${(numbers.at(-1) ?? 0) + 1}`);
  mkdirSync(folder);
  for (const suffix of ['', '-wal', '-shm'])
    if (existsSync(path + suffix)) renameSync(path + suffix, join(folder, basename(path) + suffix));
  for (const number of numbers.slice(0, Math.max(0, numbers.length + 1 - damagedKept)))
    rmSync(join(damagedFolder, `broker-${number}`), { recursive: true, force: true });
  return folder;
}

/** The owner's side: does one request after the other. A commit that fails leaves the records as they were. */
export function createRecordOwner(options: RecordWorkerOptions) {
  let database: RecordDatabase | undefined;
  const opened = (): RecordDatabase => {
    database ??= openRecordDatabase(options.path);
    return database;
  };
  const close = (): void => {
    database?.[Symbol.dispose]();
    database = undefined;
  };
  /** The file is not needed any more: when it is damaged, another one takes its place. */
  const rebuild = (records: readonly StoredRecord[]): void => {
    try {
      opened().replace(records);
    } catch (error) {
      close();
      if (!isDamage(error)) throw error;
      putAside(options);
      opened().replace(records);
    }
  };
  const run = (request: RecordRequest): void => {
    if (request.kind === 'close') close();
    else if (request.kind === 'commit') opened().commit(request.puts, request.deletes);
    else rebuild(request.puts);
  };
  return (request: RecordRequest): RecordReply => {
    try {
      run(request);
      return { ok: true };
    } catch (error) {
      return { ok: false, error: messageOf(error), damaged: isDamage(error) };
    }
  };
}
