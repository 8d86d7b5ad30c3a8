import { chmodSync, chownSync, closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { type AuditLine, auditLinesMax } from '../../lake/audit/audit-line.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';

// security.db: local users, and the audit log. A change of a user and its line are one transaction, whoever makes it: the
// gateway, or a command beside it. The database itself keeps lines as they are.

export const securityFolder = (dataDir: string): string => join(dataDir, 'security');
const securityDatabasePath = (dataDir: string): string => join(securityFolder(dataDir), 'security.db');

/** Lines that are kept; each that is added beyond it takes the oldest away. */
const keptLinesMax = 100_000;

const schema = `
CREATE TABLE IF NOT EXISTS user (
  name TEXT PRIMARY KEY, roles TEXT NOT NULL, verifier TEXT NOT NULL, changed_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, address TEXT NOT NULL,
  action TEXT NOT NULL, subject TEXT NOT NULL, result TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS audit_keeps_update BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_keeps_delete BEFORE DELETE ON audit
  WHEN old.id > (SELECT max(id) FROM audit) - ${keptLinesMax}
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_is_bounded AFTER INSERT ON audit
  BEGIN DELETE FROM audit WHERE id <= new.id - ${keptLinesMax}; END;
`;

interface UserRow {
  readonly name: string;
  /** JSON: an array of roles. */
  readonly roles: string;
  /** As PostgreSQL prints it. */
  readonly verifier: string;
}

/** Who did what; the time is added. */
export interface AuditEntry extends Pick<AuditLine, 'actor' | 'address' | 'action' | 'subject'> {
  readonly result: 'done' | 'refused';
  readonly detail?: object;
}

export interface SecurityDatabase extends Disposable {
  /** Another number when another process has changed something. */
  version(): number;
  users(): UserRow[];
  putUser(user: UserRow, nowMs: number): void;
  /** False: there is none of that name. */
  removeUser(name: string): boolean;
  addLine(entry: AuditEntry, nowMs: number): void;
  /** The newest `auditLinesMax`, the newest first. */
  lines(): Omit<AuditLine, 'tenant'>[];
  inTransaction<T>(work: () => T): T;
}

/**
 * Opens or makes it, readable by its owner alone. `durable`: a change is on the disk when it returns; otherwise a power cut
 * may take the last lines of the log. Throws FirnError `corrupt`.
 */
export function openSecurityDatabase(dataDir: string, durable: 'durable' | 'soon'): SecurityDatabase {
  const path = securityDatabasePath(dataDir);
  makeFile(path);
  try {
    const db = new Database(path, { timeout: 5_000 });
    db.pragma('journal_mode = WAL');
    db.pragma(`synchronous = ${durable === 'durable' ? 'FULL' : 'NORMAL'}`);
    db.exec(schema);
    return databaseOf(db);
  } catch (cause) {
    throw new FirnError({
      ...{ code: 'corrupt', operation: 'open users and audit log', subject: path, cause },
      message: `${path} can't be read: ${messageOf(cause)}`,
      hint: 'restore it from a backup, or move it away: a new one is made, without its users and its audit log',
    });
  }
}

/** Made by root for the user who owns the folder, it becomes that user's; SQLite gives its own files the same owner. */
function makeFile(path: string): void {
  const folder = dirname(path);
  const above = statSync(dirname(folder));
  const give = (made: string): void => {
    if (process.getuid?.() === 0) chownSync(made, above.uid, above.gid);
  };
  if (!existsSync(folder)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    give(folder);
  }
  if (existsSync(path)) chmodSync(path, 0o600);
  else {
    closeSync(openSync(path, 'a', 0o600));
    give(path);
  }
}

function databaseOf(db: Database.Database): SecurityDatabase {
  const users = db.prepare<[], UserRow>('SELECT name, roles, verifier FROM user ORDER BY name');
  const put = db.prepare('INSERT OR REPLACE INTO user VALUES (?, ?, ?, ?)');
  const remove = db.prepare('DELETE FROM user WHERE name = ?');
  const add = db.prepare(
    'INSERT INTO audit (at_ms, actor, address, action, subject, result, detail) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  type LineRow = Omit<AuditLine, 'detail' | 'tenant'> & { readonly detail: string };
  const lines = db.prepare<[number], LineRow>(
    `SELECT id, at_ms AS "atMs", actor, address, action, subject, result, detail FROM audit
     ORDER BY id DESC LIMIT ?`,
  );
  return {
    version: () => db.pragma('data_version', { simple: true }) as number,
    users: () => users.all(),
    putUser: ({ name, roles, verifier }, nowMs) => void put.run(name, roles, verifier, Math.round(nowMs)),
    removeUser: (name) => remove.run(name).changes > 0,
    addLine: ({ actor, address, action, subject, result, detail = {} }, nowMs) =>
      void add.run(Math.round(nowMs), actor, address, action, subject, result, JSON.stringify(detail)),
    lines: () =>
      lines.all(auditLinesMax).map((row) => ({ ...row, detail: JSON.parse(row.detail) as unknown })),
    inTransaction: (work) => db.transaction(work).immediate(),
    [Symbol.dispose]: () => void db.close(),
  };
}
