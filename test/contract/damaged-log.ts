import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import Database from 'better-sqlite3';
import { openRangeSealer, type SealRequest } from '../../gateway/seal/seal-range.ts';
import { gapsOfSkipped } from '../../gateway/seal/skipped-gaps.ts';
import { inThreadPort } from '../../gateway/wal/in-thread-port.ts';
import { openWal } from '../../gateway/wal/open-wal.ts';
import { openWalReader } from '../../gateway/wal/reader.ts';
import { startRecovery } from '../../gateway/wal/recovery/run-recovery.ts';
import { frameHeaderBytes, walHeaderBytes } from '../../gateway/wal/recovery/wal-frames.ts';
import type { Wal } from '../../gateway/wal/wal.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { hasCode } from '../../lake/base/errors.ts';
import { noFaults } from '../../lake/base/fault-points.ts';
import { createLogger } from '../../lake/base/log.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { labelsJson } from '../../lake/model/labels.ts';
import { seriesId } from '../../lake/model/series-id.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { gapsBatch } from '../../lake/receive/gaps-builder.ts';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';

// A gateway's log and segments as the real writer and the real sealer leave them when the power goes, damage to it, and
// what a gateway that starts on it afterwards has.

const identity = { tenant: tenantId('demo'), site: siteId('plant'), gateway: gatewayId('gw') };
const startMs = 1_800_000_000_000;

/** One batch of the site: rows that nobody else has, and when it was acknowledged. */
interface Sent {
  readonly seq: number;
  readonly signal: 'metrics' | 'logs';
  /** One text a row: the value, or the line. */
  readonly rows: readonly string[];
  readonly receivedUs: number;
  /** Of its rows, within a second. */
  readonly dataUs: number;
  /** Bytes that only this batch's row has, wherever it is stored. */
  readonly fingerprints: readonly Buffer[];
}

export interface Site {
  readonly folder: string;
  readonly sent: readonly Sent[];
  readonly epoch: number;
  /** Rows of batches up to it are in segments. */
  readonly sealedSeq: number;
}

export interface SiteShape {
  readonly batches: number;
  /** A seal after each of these. */
  readonly sealAfter: readonly number[];
  /** The -wal file begins again after it, or after each of these. */
  readonly checkpointAfter: number | readonly number[];
  /** Closed in order; otherwise it is as it stands when the power goes. */
  readonly closed: boolean;
  /** Rows of a batch; from one to a few pages of them when absent. */
  readonly rowsOf?: (seq: number) => number;
  /** So many batches share a commit. */
  readonly batchesOfCommit?: number;
  /** Of the database; what SQLite makes when absent. */
  readonly pageBytes?: number;
  /** Pages that seals have freed are given back after each, so that others move to their places. */
  readonly givesPagesBack?: boolean;
}

interface Opened extends AsyncDisposable {
  readonly wal: Wal;
  seal(): Promise<void>;
}

async function open(folder: string, bootId: string, nowMs?: number): Promise<Opened> {
  const path = join(folder, 'wal.db');
  const boot = { bootId, clock: 'trusted' } as const;
  const startPort = (options: Parameters<typeof inThreadPort>[0]) => inThreadPort(options, noFaults);
  const wal = await openWal({
    path,
    clock: { ...systemClock, nowMs: () => nowMs ?? Date.now() },
    boot,
    startPort,
    commitIntervalMs: 0,
  });
  const request = (): SealRequest => ({
    ...{
      epoch: wal.epoch,
      sealRowsMax: 1e6,
      sealBytesMax: 1e9,
      onlyWhenFull: false,
      nowUs: Date.now() * 1000,
    },
    holdUntrustedSinceMonoUs: Number.MAX_SAFE_INTEGER,
  });
  return {
    wal,
    seal: async () => {
      await using range = openRangeSealer(path, folder, identity, openParquetjsWriter());
      for (;;) {
        const { seal, skipped } = await range.seal(request());
        if (seal === undefined) return;
        const gaps = gapsOfSkipped(skipped);
        await wal.commitSeal(seal, gaps.length === 0 ? [] : [gapsBatch(gaps, identity.gateway)]);
      }
    },
    [Symbol.asyncDispose]: () => wal[Symbol.asyncDispose](),
  };
}

const dataUs = (seq: number): number => startMs * 1000 + seq * 1_000_000;

const usualRows = (seq: number): number => [1, 5, 40, 300, 900][seq % 5] ?? 1;

/** From one row to a few pages, if nothing else is asked for; now and then logs. */
function batchOf(seq: number, count = usualRows(seq)): { batch: Batch; rows: string[] } {
  const labels = labelsJson([
    ['__name__', seq % 4 === 0 ? 'lines' : 'level'],
    ['batch', `of-seq-${seq}`],
  ]);
  const id = seriesId(labels);
  const ids = new BigInt64Array(count).fill(id);
  const times = BigInt64Array.from({ length: count }, (_, n) => BigInt(dataUs(seq) + n));
  const series = [{ id, labels }];
  if (seq % 4 === 0) {
    const line = Array.from({ length: count }, (_, n) => `line ${n} of batch ${seq}`);
    const none = line.map(() => null);
    const columns = { attributes: none, severity: none, traceId: none, spanId: none };
    const timestampNs = times.map((us) => us * 1000n);
    const batch: Batch = {
      signal: 'logs',
      rows: count,
      streamId: ids,
      timestampNs,
      line,
      ...columns,
      series,
    };
    return { batch, rows: line };
  }
  const value = Float64Array.from({ length: count }, (_, n) => seq * 10_000 + n);
  const batch: Batch = {
    ...{ signal: 'metrics', rows: count, seriesId: ids, timestampUs: times, value, series, metadata: [] },
  };
  return { batch, rows: [...value].map(String) };
}

/** The files of a seal that was never committed, and the log as it stood then. */
export async function sealWithoutCommit(folder: string): Promise<void> {
  const work = `${folder}-work`;
  rmSync(work, { recursive: true, force: true });
  cpSync(folder, work, { recursive: true, preserveTimestamps: true });
  await using opened = await open(work, 'boot 1');
  await using range = openRangeSealer(opened.wal.path, work, identity, openParquetjsWriter());
  await range.seal({
    ...{ epoch: opened.wal.epoch, sealRowsMax: 1e6, sealBytesMax: 1e9, onlyWhenFull: false, nowUs: 1 },
    holdUntrustedSinceMonoUs: Number.MAX_SAFE_INTEGER,
  });
  cpSync(work, folder, { recursive: true, preserveTimestamps: true });
  rmSync(join(folder, 'wal.db-shm'), { force: true });
}

export async function makeSite(folder: string, shape: SiteShape): Promise<Site> {
  const work = join(folder, 'work');
  mkdirSync(work, { recursive: true });
  const path = join(work, 'wal.db');
  if (shape.pageBytes !== undefined) withPages(path, shape.pageBytes);
  const opened = await open(work, 'boot 1');
  const sent: Sent[] = [];
  const checkpoints = [shape.checkpointAfter].flat();
  const { batchesOfCommit: together = 1 } = shape;
  for (let first = 1; first <= shape.batches; first += together) {
    const seqs = Array.from({ length: together }, (_, index) => first + index);
    const batches = seqs.map((seq) => batchOf(seq, shape.rowsOf?.(seq)));
    await Promise.all(batches.map(({ batch }) => opened.wal.append(batch)));
    for (const [index, { batch, rows }] of batches.entries())
      sent.push(sentOf(path, first + index, batch.signal as Sent['signal'], rows));
    if (seqs.some((seq) => shape.sealAfter.includes(seq))) {
      await opened.seal();
      if (shape.givesPagesBack) edit(work, 'PRAGMA incremental_vacuum');
    }
    if (seqs.some((seq) => checkpoints.includes(seq))) checkpoint(path);
  }
  const { epoch } = opened.wal;
  const site = join(folder, 'site');
  if (shape.closed) await opened[Symbol.asyncDispose]();
  cpSync(work, site, { recursive: true, preserveTimestamps: true });
  rmSync(join(site, 'wal.db-shm'), { force: true });
  if (!shape.closed) await opened[Symbol.asyncDispose]();
  const sealedSeq = Math.max(0, ...shape.sealAfter.map((seq) => Math.ceil(seq / together) * together));
  return { folder: site, sent, epoch, sealedSeq };
}

/** An empty database whose pages are of this size. */
function withPages(path: string, bytes: number): void {
  const db = new Database(path);
  db.pragma(`page_size = ${bytes}`);
  db.pragma('auto_vacuum = INCREMENTAL');
  db.exec('VACUUM');
  db.close();
}

function sentOf(path: string, seq: number, signal: Sent['signal'], rows: readonly string[]): Sent {
  const { payload, receivedUs } = storedBatch(path, seq);
  return { seq, signal, rows, receivedUs, dataUs: dataUs(seq), fingerprints: fingerprintsOf(seq, payload) };
}

function checkpoint(path: string): void {
  const db = new Database(path);
  db.pragma('wal_checkpoint(RESTART)');
  db.close();
}

function storedBatch(path: string, seq: number): { payload: Buffer; receivedUs: number } {
  const db = new Database(path, { readonly: true });
  const sql = 'SELECT payload, received_us AS receivedUs FROM batch WHERE seq = ?';
  const row = db.prepare<[number], { payload: Buffer; receivedUs: number }>(sql).get(seq);
  db.close();
  if (row === undefined) throw new Error(`no batch ${seq}`);
  return row;
}

/** Pieces of a batch's payload and its labels, as they are stored. */
function fingerprintsOf(seq: number, payload: Buffer): Buffer[] {
  const pieces: Buffer[] = [Buffer.from(`"of-seq-${seq}"`)];
  for (let start = 0; start < payload.length; start += 160)
    pieces.push(payload.subarray(start, Math.min(start + 160, payload.length)));
  // A piece of zeros or of one repeated value would be found everywhere.
  return pieces.filter((piece) => new Set(piece).size > 4 && !allSame(piece));
}

const allSame = (piece: Buffer): boolean =>
  piece.every((byte, index) => index < 8 || byte === piece[index - 8]);

/** Batches that stand, in part, in bytes [start, end) of a file. */
export function batchesIn(site: Site, bytes: Buffer): Set<number> {
  const found = new Set<number>();
  for (const { seq, fingerprints } of site.sent)
    if (fingerprints.some((piece) => containsPart(bytes, piece))) found.add(seq);
  return found;
}

/** The batches of the transaction that a byte of the -wal file belongs to. */
export function batchesOfTransaction(site: Site, bytes: Buffer, at: number, pageBytes = 4096): Set<number> {
  const frameBytes = frameHeaderBytes + pageBytes;
  if (at < walHeaderBytes) return new Set();
  const endsCommit = (frame: number): boolean =>
    bytes.readUInt32BE(walHeaderBytes + frame * frameBytes + 4) !== 0;
  const frames = Math.floor((bytes.length - walHeaderBytes) / frameBytes);
  let first = Math.min(frames - 1, Math.floor((at - walHeaderBytes) / frameBytes));
  let last = first;
  while (first > 0 && !endsCommit(first - 1)) first--;
  while (last < frames - 1 && !endsCommit(last)) last++;
  const [start, end] = [first, last + 1].map((frame) => walHeaderBytes + frame * frameBytes);
  return batchesIn(site, bytes.subarray(start, end));
}

/** Runs statements on the database of a site, as damage that SQLite itself does not see. */
export function edit(folder: string, sql: string): void {
  const db = new Database(join(folder, 'wal.db'));
  db.exec(sql);
  db.close();
}

const format1Sql = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE batch (seq INTEGER PRIMARY KEY AUTOINCREMENT, signal TEXT NOT NULL, rows INTEGER NOT NULL,
  received_us INTEGER NOT NULL, crc INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;
CREATE TABLE series (id INTEGER PRIMARY KEY, labels TEXT NOT NULL) STRICT;
CREATE TABLE metadata (name TEXT PRIMARY KEY, type TEXT NOT NULL, help TEXT NOT NULL, unit TEXT NOT NULL,
  version INTEGER NOT NULL, shipped_version INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE shipment (number INTEGER PRIMARY KEY, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,
  sealed_us INTEGER NOT NULL, manifest TEXT NOT NULL, state TEXT NOT NULL, shipped_us INTEGER) STRICT;
CREATE TABLE segment (path TEXT PRIMARY KEY, signal TEXT NOT NULL, day TEXT NOT NULL, shipment INTEGER,
  tier INTEGER NOT NULL DEFAULT 0, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, min_timestamp_us INTEGER NOT NULL,
  max_timestamp_us INTEGER NOT NULL, min_name TEXT, max_name TEXT) STRICT;
INSERT INTO meta SELECT key, value FROM new.meta WHERE key = 'epoch';
INSERT INTO meta VALUES ('format', '1');
INSERT INTO batch SELECT seq, signal, rows, received_us, crc32(payload), payload FROM new.batch;
INSERT INTO series SELECT id, labels FROM new.series;
INSERT INTO shipment SELECT row_number() OVER (ORDER BY to_seq), from_seq, to_seq, 1, '{}', 'sealed', NULL
  FROM (SELECT DISTINCT from_seq, to_seq FROM new.segment);
INSERT INTO segment SELECT path, s.signal, day, number, 0, rows, bytes, min_timestamp_us, max_timestamp_us, min_name,
  max_name FROM new.segment s JOIN shipment USING (to_seq);
UPDATE shipment SET state = 'shipped' WHERE number = 1;`;

/** Puts a log of the first format, as the first version of Firn made it, in the place of the one that is there. */
export function toFormat1(folder: string): void {
  renameSync(join(folder, 'wal.db'), join(folder, 'new.db'));
  rmSync(join(folder, 'wal.mark'));
  const db = new Database(join(folder, 'wal.db'));
  db.pragma('auto_vacuum = INCREMENTAL');
  db.pragma('journal_mode = WAL');
  db.function('crc32', (payload) => crc32(payload as Buffer));
  db.exec(`ATTACH '${join(folder, 'new.db')}' AS new`);
  db.exec(format1Sql);
  db.close();
  rmSync(join(folder, 'new.db'));
}

/** A piece may be cut by the end of a page: a half of it is enough. */
function containsPart(bytes: Buffer, piece: Buffer): boolean {
  if (bytes.includes(piece)) return true;
  const half = piece.length >> 1;
  return half >= 16 && (bytes.includes(piece.subarray(0, half)) || bytes.includes(piece.subarray(half)));
}

/** A copy of the site to damage. */
export function copyOf(site: Site, folder: string): string {
  rmSync(folder, { recursive: true, force: true });
  cpSync(site.folder, folder, { recursive: true, preserveTimestamps: true });
  return folder;
}

export interface Outcome {
  /** How often each row is there now. */
  readonly counts: ReadonlyMap<string, number>;
  readonly gaps: readonly { readonly signal: string; readonly fromUs: number; readonly toUs: number }[];
  readonly starts: readonly string[];
  readonly reasons: readonly string[];
  readonly epoch: number;
  /** A batch that was sent after the start is there once. */
  readonly accepted: boolean;
}

/** Batches that are sent after a start. */
let lateSeq = 9001;

export interface RecoverOptions {
  /** What the wall clock says; the real time when absent. */
  readonly nowMs?: number;
  readonly bootId?: string;
  /** What is done before anything is received. */
  readonly work?: (wal: Wal, folder: string) => Promise<void>;
}

/** All of recovery's work. */
export async function finish(wal: Wal, folder: string): Promise<void> {
  const logger = createLogger('silent');
  await using recovery = await startRecovery({
    ...identity,
    wal,
    dataDir: folder,
    clock: systemClock,
    logger,
  });
  await recovery.finished;
}

/** Starts a gateway on the folder as often as it needs, sends one batch more, seals everything, and reads it all. */
export async function recover(folder: string, options: RecoverOptions = {}): Promise<Outcome> {
  const { bootId = 'boot 2', work = finish, nowMs } = options;
  const late = lateSeq++;
  const starts: string[] = [];
  const reasons: string[] = [];
  let epoch = 0;
  for (let attempt = 0; attempt < 4; attempt++) {
    await using opened = await open(folder, bootId, nowMs);
    starts.push(opened.wal.start.kind);
    reasons.push(...opened.wal.start.reasons);
    await work(opened.wal, folder);
    epoch = opened.wal.epoch;
    try {
      await opened.wal.append(batchOf(late).batch);
      await opened.seal();
      break;
    } catch (error) {
      if (!isDamage(error)) throw error;
      await opened.wal.condemn();
    }
  }
  const content = await contentOf(folder);
  const accepted = batchOf(late).rows.every((row) => content.counts.get(row) === 1);
  return { ...content, accepted, starts, reasons, epoch };
}

const isDamage = (error: unknown): boolean =>
  hasCode(error, 'corrupt') ||
  (error instanceof Error && 'code' in error && /^SQLITE_CORRUPT/.test(String(error.code)));

/** One for all that is read: opening one takes longer than reading a site. */
let duckdb: ReturnType<typeof openDuckdb> | undefined;

async function contentOf(folder: string): Promise<Pick<Outcome, 'counts' | 'gaps'>> {
  using reader = openWalReader(join(folder, 'wal.db'));
  duckdb ??= openDuckdb({ threads: '1', enable_external_file_cache: 'false' });
  const connection = await (await duckdb).connect();
  const query = async (signal: 'metrics' | 'logs' | 'gaps', columns: string): Promise<unknown[][]> => {
    const paths = reader.segments(signal).map(({ path }) => sqlText(join(folder, path)));
    if (paths.length === 0) return [];
    const from = `read_parquet([${paths.join(', ')}], hive_partitioning = false, union_by_name = true)`;
    return (await connection.runAndReadAll(`SELECT ${columns} FROM ${from}`)).getRows();
  };
  try {
    const counts = new Map<string, number>();
    const count = (row: unknown): void => void counts.set(String(row), (counts.get(String(row)) ?? 0) + 1);
    for (const [value] of await query('metrics', 'value')) count(value);
    for (const [line] of await query('logs', 'line')) count(line);
    const gaps = await query(
      'gaps',
      'signal, epoch_us("timestamp")::DOUBLE, epoch_us(end_timestamp)::DOUBLE',
    );
    return {
      counts,
      gaps: gaps.map(([signal, fromUs, toUs]) => ({
        signal: String(signal),
        fromUs: Number(fromUs),
        toUs: Number(toUs),
      })),
    };
  } finally {
    connection.closeSync();
  }
}

/** What is wrong with an outcome; empty when nothing is. `mayLose`: batches that the damage has touched. */
export function faultsOf(site: Site, outcome: Outcome, mayLose: ReadonlySet<number>): string[] {
  const faults: string[] = [];
  let lost = 0;
  for (const { seq, signal, rows, ...times } of site.sent) {
    const missing = rows.filter((row) => !outcome.counts.has(row)).length;
    const twice = rows.filter((row) => (outcome.counts.get(row) ?? 0) > 1).length;
    if (twice > 0) faults.push(`${twice} rows of batch ${seq} are there more than once`);
    if (missing === 0) continue;
    lost++;
    if (!mayLose.has(seq))
      faults.push(`${missing} rows of batch ${seq} are lost although nothing touched them`);
    const covered = outcome.gaps.some(
      (gap) =>
        gap.signal === signal &&
        // Of a batch only the time of receipt is known, of a file only the times of its rows.
        [times.receivedUs, times.dataUs].some((us) => gap.fromUs <= us && us <= gap.toUs),
    );
    if (!covered) faults.push(`batch ${seq} is lost and no gap says so`);
  }
  if (lost > 0 && mayLose.size === 0) faults.push('something is lost');
  if (outcome.starts.some((kind) => kind === 'soft' || kind === 'hard') && outcome.epoch <= site.epoch)
    faults.push(`the epoch is ${outcome.epoch} after an anomaly, it was ${site.epoch}`);
  if (!outcome.accepted) faults.push('nothing is accepted any more');
  return faults;
}

export function change(path: string, edit: (bytes: Buffer) => Uint8Array): void {
  writeFileSync(path, edit(readFileSync(path)));
}

export const remove = (path: string): void => rmSync(path, { force: true });

export function flipBit(path: string, at: number, bit: number): void {
  change(path, (bytes) => {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
    return bytes;
  });
}
