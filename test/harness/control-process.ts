import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';

// What the volatile disk is tried out with: a process that writes with or without flushing, and tells its parent what
// it believes to be written.
// usage: control-process.ts sqlite PATH FULL|OFF, or control-process.ts flushed|plain PATH

const [kind = '', path = '', synchronous = ''] = process.argv.slice(2);

function flush(file: string): void {
  const descriptor = openSync(file, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}

if (kind === 'sqlite') {
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma(`synchronous = ${synchronous}`);
  db.exec('CREATE TABLE row (n INTEGER PRIMARY KEY)');
  const insert = db.prepare('INSERT INTO row VALUES (?)');
  const next = (n: number): void => {
    insert.run(n);
    process.send?.(n);
    setImmediate(next, n + 1);
  };
  next(1);
} else {
  const file = openSync(path, 'w');
  writeSync(file, 'written');
  closeSync(file);
  if (kind === 'flushed') for (const each of [path, dirname(path)]) flush(each);
  process.send?.('written');
  setInterval(() => undefined, 1000);
}
