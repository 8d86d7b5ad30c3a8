import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { labelsJson } from '../../../lake/model/labels.ts';
import { seriesId } from '../../../lake/model/series-id.ts';
import {
  type DamagedFiles,
  type Salvaged,
  type SalvageStep,
  type Survey,
  salvageBatches,
  surveyDamaged,
} from './salvage.ts';
import type { SalvagedBatch } from './stored-row.ts';
import { frameHeaderBytes, walHeaderBytes } from './wal-frames.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'firn-salvage-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The tables that matter, as the first and the second version of Firn make them. */
const schemas = {
  1: `CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE batch (seq INTEGER PRIMARY KEY AUTOINCREMENT, signal TEXT NOT NULL, rows INTEGER NOT NULL,
      received_us INTEGER NOT NULL, crc INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;
    CREATE TABLE series (id INTEGER PRIMARY KEY, labels TEXT NOT NULL) STRICT;`,
  2: `CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE boot (id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, clock TEXT NOT NULL,
      offset_us INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE batch (seq INTEGER PRIMARY KEY, signal TEXT NOT NULL, rows INTEGER NOT NULL,
      received_us INTEGER NOT NULL, mono_us INTEGER NOT NULL, boot INTEGER NOT NULL, crc INTEGER NOT NULL,
      payload BLOB NOT NULL) STRICT;
    CREATE TABLE series (id INTEGER PRIMARY KEY, labels TEXT NOT NULL, alarm INTEGER NOT NULL) STRICT;
    INSERT INTO boot VALUES (1, 'a boot', 'untrusted', 0), (2, 'a boot', 'trusted', -5000000000000);`,
} as const;

const metadataSql = `CREATE TABLE metadata (name TEXT PRIMARY KEY, type TEXT NOT NULL, help TEXT NOT NULL,
  unit TEXT NOT NULL, version INTEGER NOT NULL, shipped_version INTEGER NOT NULL DEFAULT 0) STRICT;
  INSERT INTO metadata VALUES ('up', 'gauge', 'Is it up?', '', 1, 0);`;

const receivedUs = (seq: number): number => 1_800_000_000_000_000 + seq * 1_000_000;
const labelsOf = (seq: number): string => labelsJson([['n', String(seq)]]);
/** From a few bytes to a few pages. */
const payloadBytes = (seq: number): number => [40, 900, 5000, 20_000, 64_000][seq % 5] ?? 0;
const payloads = new Map<number, Uint8Array>();
function payloadOf(seq: number): Uint8Array {
  const known = payloads.get(seq);
  if (known !== undefined) return known;
  const payload = Uint8Array.from({ length: payloadBytes(seq) }, (_, index) => (index * 7 + seq) & 0xff);
  payloads.set(seq, payload);
  return payload;
}

interface Made extends DamagedFiles {
  readonly batches: number;
}

/** A database with so many batches, a half of them in the `-wal` file still; then those up to `sealed` are deleted. */
function make(format: 1 | 2, batches: number, sealed = 0): Made {
  const databasePath = join(folder, 'wal.db');
  const db = new Database(databasePath);
  const pragmas = [
    'auto_vacuum = INCREMENTAL',
    'journal_mode = WAL',
    'synchronous = OFF',
    'wal_autocheckpoint = 0',
  ];
  for (const pragma of pragmas) db.pragma(pragma);
  db.exec(schemas[format] + metadataSql);
  db.exec(
    `INSERT INTO meta VALUES ('format', '${format}'), ('epoch', '1700000000'), ('sealed_seq', '${sealed}')`,
  );
  const series = db.prepare(`INSERT INTO series VALUES (?, ?${format === 2 ? ', 0' : ''})`);
  const batch = db.prepare(`INSERT INTO batch VALUES (${'?, '.repeat(format === 1 ? 5 : 7)}?)`);
  for (let seq = 1; seq <= batches; seq++) {
    const payload = payloadOf(seq);
    const head = [seq, 'metrics', 3, receivedUs(seq)] as const;
    series.run(seriesId(labelsOf(seq)), labelsOf(seq));
    if (format === 1) batch.run(...head, crc32(payload), payload);
    else {
      const numbers = new Uint8Array(Float64Array.of(seq, 3, receivedUs(seq), seq * 10, 2).buffer);
      batch.run(...head, seq * 10, 2, crc32(payload, crc32('metrics', crc32(numbers))), payload);
    }
    if (seq === batches >> 1) db.pragma('wal_checkpoint(RESTART)');
  }
  db.prepare('DELETE FROM batch WHERE seq <= ?').run(sealed);
  const to = { databasePath: join(folder, 'damaged.db'), walPath: join(folder, 'damaged.db-wal') };
  copyFileSync(databasePath, to.databasePath);
  copyFileSync(`${databasePath}-wal`, to.walPath);
  db.close();
  return { ...to, batches };
}

function drain<R>(steps: Generator<SalvageStep, R, undefined>): { steps: SalvageStep[]; result: R } {
  const all: SalvageStep[] = [];
  for (;;) {
    const next = steps.next();
    if (next.done) return { steps: all, result: next.value };
    all.push(next.value);
  }
}

const survey = (files: DamagedFiles): { steps: SalvageStep[]; result: Survey } =>
  drain(surveyDamaged(files, { range: { after: 10, upto: 20 }, lastSeq: 0 }));

function salvage(
  files: DamagedFiles,
  afterSeq = 0,
  cursor = 0,
): { batches: SalvagedBatch[]; result: Salvaged } {
  const options = {
    wanted: (seq: number) => seq > afterSeq,
    cursor,
    sealedInRange: undefined,
    isStored: () => false,
    lastSeq: 0,
  };
  const { steps, result } = drain(salvageBatches(files, options));
  return { batches: steps.flatMap(({ batches }) => batches), result };
}

const seqs = (batches: readonly SalvagedBatch[]): number[] =>
  batches.map(({ seq }) => seq).sort((a, b) => a - b);
const upTo = (last: number, first = 1): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

test.each([1, 2] as const)('everything of an undamaged database of format %i is found once', (format) => {
  const files = make(format, 60);
  const found = survey(files);
  expect(new Set(found.steps.flatMap(({ series }) => series).map(({ labels }) => labels))).toEqual(
    new Set(upTo(60).map(labelsOf)),
  );
  expect(found.steps.flatMap(({ metadata }) => metadata)[0]).toEqual({
    ...{ name: 'up', type: 'gauge', help: 'Is it up?', unit: '' },
  });
  expect(found.result).toMatchObject({ format, epoch: 1_700_000_000, sealedSeq: 0 });
  expect(found.result.rowsInRange).toEqual(new Map([['metrics', 30]]));
  const boot = { id: 2, bootId: 'a boot', clock: 'trusted', offsetUs: -5_000_000_000_000 };
  expect(found.result.boots.get(2)).toEqual(format === 2 ? boot : undefined);
  const { batches, result } = salvage(files);
  expect(seqs(batches)).toEqual(upTo(60));
  for (const batch of batches) {
    const { seq } = batch;
    const clock = format === 1 ? { monoUs: null, boot: null } : { monoUs: seq * 10, boot: 2 };
    expect(batch).toEqual({
      ...{ seq, signal: 'metrics', rows: 3, receivedUs: receivedUs(seq), payload: payloadOf(seq), ...clock },
    });
  }
  expect(result.found.missing(0, 60)).toEqual([]);
});

test('what was sealed and deleted is not wanted; nothing else is lost by it', () => {
  const files = make(2, 60, 33);
  expect(seqs(salvage(files, 33).batches)).toEqual(upTo(60, 34));
});

test.each(['databasePath', 'walPath'] as const)(
  'without the file of %s the other gives what it has',
  (gone) => {
    const files = make(2, 60);
    rmSync(files[gone]);
    // The page that the last rows of the first half stand on was written again, and is in both; one more is left behind
    // the end of the newer half.
    const expected = gone === 'databasePath' ? upTo(60, 29) : upTo(30);
    // A row whose pages are partly in the other file is gone with it.
    const found = seqs(salvage(files).batches);
    expect(found.filter((seq) => !expected.includes(seq))).toEqual([]);
    expect(found.length).toBeGreaterThan(expected.length - 3);
    rmSync(gone === 'walPath' ? files.databasePath : files.walPath);
    expect(salvage(files).batches).toEqual([]);
  },
);

/** Which batches stand (partly) in which bytes of a file: found by their own bytes, with no help of the code under test. */
function touched(
  path: string,
  start: number,
  end: number,
  pageOf: (at: number) => [number, number],
): Set<number> {
  const bytes = readFileSync(path);
  const found = new Set<number>();
  for (let at = start; at < end; ) {
    const [from, to] = pageOf(at);
    for (const seq of upTo(60)) {
      const payload = payloadOf(seq);
      for (let piece = 0; piece < payload.length; piece += 500) {
        const sample = payload.subarray(piece, Math.min(piece + 40, payload.length));
        if (bytes.subarray(from, to).includes(Buffer.from(sample))) found.add(seq);
      }
    }
    at = to;
  }
  return found;
}

const kinds = ['database', 'wal'] as const;

test.each(kinds)('a damaged page of the %s costs the batches on it and no other', (kind) => {
  const files = make(2, 60);
  const path = kind === 'database' ? files.databasePath : files.walPath;
  const original = readFileSync(path);
  const [head, unit] = kind === 'database' ? [0, 4096] : [walHeaderBytes, 4096 + frameHeaderBytes];
  const pages = (original.byteLength - head) / unit;
  let lost = 0;
  for (let page = 0; page < pages; page += 3) {
    const start = head + page * unit;
    const bytes = Buffer.from(original);
    bytes.fill(0xa5, start, start + unit);
    writeFileSync(path, bytes);
    const found = new Set(seqs(salvage(files).batches));
    const missing = upTo(60).filter((seq) => !found.has(seq));
    if (missing.length > 0) {
      writeFileSync(path, original);
      const may = touched(path, start, start + unit, () => [start, start + unit]);
      expect([page, missing.filter((seq) => !may.has(seq))]).toEqual([page, []]);
    }
    lost += missing.length;
  }
  expect(lost).toBeGreaterThan(5);
});

test('a flipped bit is never taken for data, and the head of a damaged batch is still told', () => {
  const files = make(2, 60);
  const original = readFileSync(files.databasePath);
  let doubtful = 0;
  for (let at = 4096; at < original.byteLength; at += 3777) {
    const bytes = Buffer.from(original);
    bytes[at] = (bytes[at] ?? 0) ^ 4;
    writeFileSync(files.databasePath, bytes);
    const { batches, result } = salvage(files);
    for (const { seq, payload, rows } of batches) {
      expect(rows).toBe(3);
      expect(Buffer.compare(payload, payloadOf(seq))).toBe(0);
    }
    const missing = upTo(60).filter((seq) => !result.found.has(seq));
    for (const seq of missing) if (result.doubtful.has(seq)) doubtful++;
  }
  expect(doubtful).toBeGreaterThan(20);
});

test('work that was interrupted goes on after the last step that was stored', () => {
  const files = make(2, 200);
  const options = {
    wanted: () => true,
    cursor: 0,
    sealedInRange: undefined,
    isStored: () => false,
    lastSeq: 0,
  };
  const { steps } = drain(salvageBatches(files, options));
  expect(steps.length).toBeGreaterThan(3);
  for (let stored = 1; stored < steps.length; stored++) {
    const before = steps.slice(0, stored);
    const { batches, result } = salvage(files, 0, before.at(-1)?.cursor);
    expect(seqs([...before.flatMap((step) => step.batches), ...batches])).toEqual(upTo(200));
    expect(result.found.missing(0, 200)).toEqual([]);
  }
});

test('signals of a range that are in segment files are left out', () => {
  const files = make(1, 60);
  const sealedInRange = { range: { after: 10, upto: 20 }, signals: new Set(['metrics', 'logs']) };
  const { steps, result } = drain(
    salvageBatches(files, {
      wanted: (seq) => seq > 10,
      cursor: 0,
      sealedInRange,
      isStored: () => false,
      lastSeq: 0,
    }),
  );
  expect(seqs(steps.flatMap(({ batches }) => batches))).toEqual(upTo(60, 21));
  expect(result.found.missing(10, 60)).toEqual([]);
});

test('the files are not written', () => {
  const files = make(2, 60);
  const before = [files.databasePath, files.walPath].map((path) => statSync(path).mtimeMs);
  salvage(files);
  survey(files);
  expect([files.databasePath, files.walPath].map((path) => statSync(path).mtimeMs)).toEqual(before);
  expect(existsSync(`${files.databasePath}-shm`)).toBe(false);
});
