import Database from 'better-sqlite3';
import type { Logger } from '../../lake/base/log.ts';
import type { BirthStore } from '../../lake/receive/sparkplug/edge-nodes.ts';

// sparkplug.db: the births of Sparkplug edge nodes, so that aliases are known after a restart.

/** Another one when births are written so that an older Firn must not read them. */
const format = 1;
/** Births that come within this time are written at once. */
const collectMs = 100;

/** Nothing is lost with the file: edge nodes are asked for their births again. A damaged one is made anew. */
export function openSparkplugStore(path: string, logger: Logger): BirthStore & Disposable {
  let db: Database.Database;
  try {
    db = openDatabase(path);
  } catch (error) {
    logger.warn('sparkplug.db can not be read, edge nodes will be asked for their births', { error });
    db = openDatabase(':memory:');
  }
  const all = db.prepare<[], { key: string; birth: string }>('SELECT key, birth FROM birth ORDER BY key');
  const put = db.prepare<[string, string]>('INSERT OR REPLACE INTO birth (key, birth) VALUES (?, ?)');
  const remove = db.prepare<[string]>('DELETE FROM birth WHERE key = ?');
  let changes = new Map<string, string | undefined>();
  let timer: NodeJS.Timeout | undefined;
  const write = db.transaction((all: ReadonlyMap<string, string | undefined>) => {
    for (const [key, birth] of all) birth === undefined ? remove.run(key) : put.run(key, birth);
  });
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    const taken = changes;
    changes = new Map();
    try {
      if (taken.size > 0) write.immediate(taken);
    } catch (error) {
      logger.warn('births of Sparkplug edge nodes are not kept', { error });
    }
  };
  const change = (key: string, birth: string | undefined): void => {
    changes.set(key, birth);
    timer ??= setTimeout(flush, collectMs);
  };
  return {
    load: () => all.all().map(({ key, birth }) => [key, birth] as const),
    save: change,
    remove: (key) => change(key, undefined),
    [Symbol.dispose]: () => {
      flush();
      db.close();
    },
  };
}

function openDatabase(path: string): Database.Database {
  const db = new Database(path, { timeout: 5000 });
  try {
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    const found = db.pragma('user_version', { simple: true });
    if (found !== 0 && found !== format) throw new Error(`it has format ${found}, this Firn knows ${format}`);
    db.exec(
      'CREATE TABLE IF NOT EXISTS birth (key TEXT PRIMARY KEY, birth TEXT NOT NULL) STRICT, WITHOUT ROWID',
    );
    db.pragma(`user_version = ${format}`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
