import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inspectWal } from './inspect-wal.ts';
import { addToChecksum, frameHeaderBytes, walHeaderBytes, wordsOf } from './wal-frames.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'firn-inspect-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const inspect = (path: string, databaseBytes = 0) => inspectWal(path, databaseBytes);
const frameBytes = frameHeaderBytes + 4096;

/** A `-wal` file as SQLite leaves it after so many commits of about three frames each; its path. */
function walOf(commits: number, afterRestart = 0): string {
  const path = join(folder, 'x.db');
  const db = new Database(path);
  for (const pragma of ['journal_mode = WAL', 'synchronous = OFF', 'wal_autocheckpoint = 0'])
    db.pragma(pragma);
  db.exec('CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB)');
  const insert = db.prepare('INSERT INTO t (b) VALUES (randomblob(9000))');
  for (let n = 1; n < commits; n++) insert.run();
  if (afterRestart > 0) {
    db.pragma('wal_checkpoint(RESTART)');
    for (let n = 0; n < afterRestart; n++) insert.run();
  }
  const copy = join(folder, 'copy-wal');
  copyFileSync(path, join(folder, 'copy.db'));
  copyFileSync(`${path}-wal`, copy);
  db.close();
  return copy;
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}

/** Frame numbers, from 0, that end a commit. */
function commitFrames(path: string): number[] {
  const bytes = readFileSync(path);
  const found: number[] = [];
  for (let frame = 0; walHeaderBytes + frame * frameBytes < bytes.byteLength; frame++)
    if (bytes.readUInt32BE(walHeaderBytes + frame * frameBytes + 4) !== 0) found.push(frame);
  return found;
}

const at = (frame: number, offset = 100): number => walHeaderBytes + frame * frameBytes + offset;

test('a file as SQLite writes it is intact, and every commit is seen', () => {
  const path = walOf(20);
  const frames = (statSync(path).size - walHeaderBytes) / frameBytes;
  expect(inspect(path)).toEqual({
    ...{ verdict: 'intact', reason: undefined, commits: 20, frames, lostFrames: 0 },
    committedEndByte: statSync(path).size,
    missingPages: 0,
  });
});

test('none, an empty one, and one cut inside its header', () => {
  const path = walOf(3);
  expect(inspect(join(folder, 'none'))).toMatchObject({ verdict: 'absent' });
  truncateSync(path, 17);
  expect(inspect(path)).toMatchObject({ verdict: 'torn-tail' });
  truncateSync(path, 0);
  expect(inspect(path)).toMatchObject({ verdict: 'empty' });
});

test('frames of an older generation after the end are normal', () => {
  const path = walOf(20, 2);
  const found = inspect(path);
  expect(found).toMatchObject({ verdict: 'intact', commits: 2, lostFrames: 0 });
  expect(found.committedEndByte).toBeLessThan(statSync(path).size);
});

test('pages that neither the database nor its log holds are counted', () => {
  const path = walOf(20, 20);
  const databaseBytes = statSync(join(folder, 'copy.db')).size;
  expect(inspect(path, databaseBytes)).toMatchObject({ verdict: 'intact', missingPages: 0 });
  expect(inspect(path, databaseBytes - 5 * 4096).missingPages).toBeGreaterThan(0);
  expect(inspect(path).missingPages).toBeGreaterThan(20);
});

test('damage in the last commit is a torn tail, damage before it is more than that', () => {
  const path = walOf(6);
  const original = readFileSync(path);
  const ends = commitFrames(path);
  const last = ends.at(-1) ?? 0;
  const beforeLast = ends.at(-2) ?? 0;
  for (let frame = 0; frame <= last; frame++) {
    for (const offset of [0, 5, 9, 17, 24, 4000]) {
      writeFileSync(path, original);
      flip(path, at(frame, offset));
      // Without its salt, the very last frame looks as if it were of an older generation.
      if (frame === last && offset === 9) continue;
      // A flag that says falsely that a commit ends there makes two of one.
      const two = offset === 5 && frame < last;
      const verdict = frame > beforeLast && !two ? 'torn-tail' : 'damaged';
      const good = ends.filter((end) => end < frame);
      const committedEndByte = at((good.at(-1) ?? -1) + 1, 0);
      expect([frame, offset, inspect(path)]).toMatchObject([
        ...[frame, offset, { verdict, commits: good.length, committedEndByte }],
      ]);
    }
  }
});

test('a file cut at any place is torn there, except where a commit ends', () => {
  const path = walOf(4);
  const original = readFileSync(path);
  const ends = commitFrames(path);
  for (let length = original.byteLength; length > walHeaderBytes; length -= 1030) {
    writeFileSync(path, original.subarray(0, length));
    const clean = ends.some((end) => at(end + 1, 0) === length);
    expect([length, inspect(path).verdict]).toEqual([length, clean ? 'intact' : 'torn-tail']);
  }
});

test('a damaged header over frames is damage', () => {
  const path = walOf(3);
  for (const offset of [0, 5, 9, 13, 17, 22, 25, 31]) {
    const original = readFileSync(path);
    flip(path, offset);
    expect([offset, inspect(path).verdict]).toEqual([offset, 'damaged']);
    writeFileSync(path, original);
  }
});

test('big-endian checksums are read too', () => {
  const path = walOf(5);
  const bytes = new Uint8Array(readFileSync(path));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x377f0683);
  const sum = { s0: 0, s1: 0 };
  const add = (start: number, end: number): void =>
    addToChecksum(sum, wordsOf(bytes), start / 4, end / 4, true);
  const store = (offset: number): void => {
    view.setInt32(offset, sum.s0);
    view.setInt32(offset + 4, sum.s1);
  };
  add(0, 24);
  store(24);
  for (let start = walHeaderBytes; start < bytes.byteLength; start += frameBytes) {
    add(start, start + 8);
    add(start + 24, start + frameBytes);
    store(start + 16);
  }
  writeFileSync(path, bytes);
  expect(inspect(path)).toMatchObject({ verdict: 'intact', commits: 5 });
  // SQLite agrees that this is a good file.
  const database = join(folder, 'x.db');
  const rows = (): number =>
    new Database(database).prepare<[], number>('SELECT count(*) FROM t').pluck().get() ?? 0;
  const before = rows();
  copyFileSync(path, `${database}-wal`);
  expect(rows()).toBe(before);
});

test('64 MiB are read', () => {
  const path = walOf(5500);
  expect(statSync(path).size).toBeGreaterThan(64 * 1024 * 1024);
  expect(inspect(path)).toMatchObject({ verdict: 'intact', commits: 5500 });
});
