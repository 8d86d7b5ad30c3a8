import Database from 'better-sqlite3';
import { FirnError } from '../../lake/base/errors.ts';
import { createIdSet, type IdSet } from '../../lake/base/id-set.ts';
import type { DaySpent } from '../../lake/base/token-bucket.ts';
import type { MetricMetadata, Signal } from '../../lake/model/batch.ts';
import type { ClockQuality, ManifestSegment } from '../../lake/model/manifest.ts';
import type { Prune } from '../../lake/tables.ts';
import { batchCrc } from './batch-crc.ts';
import { jobKey } from './recovery/salvage.ts';
import { floorKey } from './segment-statements.ts';
import type { SegmentRecord } from './wal.ts';

/**
 * A read-only connection to `wal.db`, for the sealer, the shipper and the tables. Synchronous, like SQLite. No cursor
 * stays open between two calls or two steps of `tail`, so calls may be mixed freely.
 */
export interface WalReader extends Disposable {
  /**
   * Batches with afterSeq < seq <= uptoSeq in order of seq, one signal's or all. Each payload's checksum is verified:
   * throws FirnError `corrupt` at the first damaged one.
   */
  tail(signal: Signal | 'all', afterSeq: number, uptoSeq: number): Generator<StoredBatch, void, undefined>;
  /** Newest seq that is sealed (0: none): the tail begins after it. */
  sealedSeq(): number;
  /** Newest seq ever given out (0: none), also when its batch is sealed and gone. */
  lastSeq(): number;
  /** Canonical labels JSON by id; ids that are not known are left out. */
  labelsOf(ids: Iterable<bigint>): Map<bigint, string>;
  /** Streams that are alarms. */
  alarmIds(): IdSet;
  /** What was known of the clock, by the `boot` of a batch. */
  boots(): ReadonlyMap<number, StoredBoot>;
  /** Descriptions of all metrics, by name. */
  metadata(): MetricMetadata[];
  /** Shipments in this state (or all), by number. */
  shipments(state?: ShipmentState): StoredShipment[];
  /** Local files, oldest first. */
  segments(signal: Signal): SegmentRecord[];
  /** Of them those that can hold rows of `prune`, and no more of each than a query wants to know. */
  segmentFiles(signal: Signal, prune: Prune): SegmentFile[];
  /** How many local files the signal has in all. */
  segmentCount(signal: Signal): number;
  /** Time up to which rows of the signal may be in the lake alone, because their local files were removed. */
  localFloorUs(signal: Signal): number | undefined;
  /** What the day's budget of the link had given when a shipment was shipped last. */
  shipDay(): DaySpent | undefined;
  /** How far a job of recovery is; 0: nothing is stored of it. */
  restored(job: string): number;
  /** Between when and when a damaged batch was received: what it says itself may be damaged too. */
  receivedAround(seq: number): { readonly fromUs: number; readonly toUs: number };
  /** Rows of all batches with afterSeq < seq <= uptoSeq. */
  rowsBetween(afterSeq: number, uptoSeq: number): number;
  /** Runs `read` in one read transaction, so that everything it sees is of one moment. */
  snapshot<T>(read: () => T): T;
}

export type SegmentFile = Pick<SegmentRecord, 'path' | 'bytes' | 'minTimestampUs' | 'maxTimestampUs'>;

interface StoredBatch {
  readonly seq: number;
  readonly signal: Signal;
  readonly rows: number;
  readonly receivedUs: number;
  readonly monoUs: number;
  readonly boot: number;
  /** See batch-codec.ts. */
  readonly payload: Uint8Array;
}

export interface StoredBoot {
  readonly clock: ClockQuality;
  /** To be added to what the wall clock said. */
  readonly offsetUs: number;
}

type ShipmentState = 'composed' | 'shipped';

interface StoredShipment {
  readonly number: number;
  readonly composedUs: number;
  /** The manifest's bytes as text, as they are to be put. */
  readonly manifest: string;
  readonly state: ShipmentState;
  readonly shippedUs: number | null;
}

const batchColumns = 'seq, signal, rows, received_us AS receivedUs, mono_us AS monoUs, boot, crc, payload';
const shipmentSql = `SELECT number, composed_us AS composedUs, manifest, state, shipped_us AS shippedUs
  FROM shipment WHERE @state IS NULL OR state = @state ORDER BY number`;
/** Columns of a `SegmentRow`. */
export const segmentColumns = `path, signal, class, day, tier, epoch, from_seq AS fromSeq, to_seq AS toSeq, rows, bytes,
  min_timestamp_us AS minTimestampUs, max_timestamp_us AS maxTimestampUs, min_name AS minName, max_name AS maxName,
  min_received_us AS minReceivedUs, max_received_us AS maxReceivedUs, sealed_us AS sealedUs, clock, manifest, committed`;
export type SegmentRow = Omit<SegmentRecord, 'manifest' | 'committed'> & {
  readonly manifest: string | null;
  readonly committed: 0 | 1;
};
export const recordOf = ({ manifest, committed, ...row }: SegmentRow): SegmentRecord => ({
  ...row,
  manifest: manifest === null ? null : (JSON.parse(manifest) as ManifestSegment),
  committed: committed === 1,
});
/** Newest sealed seq. */
const sealedSql = `SELECT CAST(value AS INTEGER) AS value FROM meta WHERE key = 'sealed_seq'`;
const segmentOrder = 'ORDER BY min_timestamp_us, path';
const segmentFileSql = `SELECT path, bytes, min_timestamp_us AS minTimestampUs, max_timestamp_us AS maxTimestampUs
  FROM segment
  WHERE signal = @signal
    AND (@fromUs IS NULL OR max_timestamp_us >= @fromUs) AND (@toUs IS NULL OR min_timestamp_us <= @toUs)
    AND (@name IS NULL OR min_name IS NULL OR (min_name <= @name AND max_name >= @name))
  ${segmentOrder}`;

interface SegmentFilter {
  readonly signal: Signal;
  readonly fromUs: number | null;
  readonly toUs: number | null;
  readonly name: string | null;
}

/** Without a batch after it, a damaged one was received at most so long after the one before. */
const dayUs = 86_400_000_000;

/** Opens an existing log; `path` is `Wal.path`. */
export function openWalReader(path: string): WalReader {
  const db = new Database(path, { readonly: true, fileMustExist: true, timeout: 5000 });
  db.pragma('cache_size = -1024'); // KiB: payloads are read once
  const number = (sql: string): (() => number) => {
    const statement = db.prepare<[], { value: number }>(sql);
    return () => statement.get()?.value ?? 0;
  };
  const labels = db.prepare<[bigint], { labels: string }>('SELECT labels FROM series WHERE id = ?');
  const alarms = db.prepare<[], bigint>('SELECT id FROM series WHERE alarm = 1').pluck().safeIntegers();
  const boots = db.prepare<[], StoredBoot & { id: number }>(
    'SELECT id, clock, offset_us AS offsetUs FROM boot',
  );
  const metadata = db.prepare<[], MetricMetadata>(
    'SELECT name, type, help, unit FROM metadata ORDER BY name',
  );
  const shipments = db.prepare<[{ state: ShipmentState | null }], StoredShipment>(shipmentSql);
  const segmentCount = db.prepare<[Signal], { value: number }>(
    'SELECT count(*) AS value FROM segment WHERE signal = ?',
  );
  const meta = db.prepare<[string], string>('SELECT value FROM meta WHERE key = ?').pluck();
  const receivedAt = db.prepare<[{ from: number; to: number }], { value: number }>(
    'SELECT received_us AS value FROM batch WHERE seq BETWEEN @from AND @to ORDER BY seq DESC LIMIT 1',
  );
  const receivedAfter = db.prepare<[number], { value: number }>(
    'SELECT received_us AS value FROM batch WHERE seq > ? ORDER BY seq LIMIT 1',
  );
  const lastSealed = db.prepare<[], { value: number | null }>(
    'SELECT max(max_received_us) AS value FROM segment',
  );
  const rowsBetween = db.prepare<[number, number], { value: number | null }>(
    'SELECT sum(rows) AS value FROM batch WHERE seq > ? AND seq <= ?',
  );
  return {
    tail: prepareTail(db, path),
    sealedSeq: number(sealedSql),
    lastSeq: number(`SELECT max(coalesce((SELECT max(seq) FROM batch), 0), (${sealedSql})) AS value`),
    labelsOf: (ids) => {
      const found = new Map<bigint, string>();
      for (const id of ids) {
        const row = found.has(id) ? undefined : labels.get(id);
        if (row !== undefined) found.set(id, row.labels);
      }
      return found;
    },
    metadata: () => metadata.all(),
    alarmIds: () => idSetOf(alarms.all()),
    boots: () => new Map(boots.all().map(({ id, ...boot }) => [id, boot])),
    shipments: (state) => shipments.all({ state: state ?? null }),
    ...prepareSegments(db),
    segmentCount: (signal) => segmentCount.get(signal)?.value ?? 0,
    localFloorUs: (signal) => {
      const text = meta.get(floorKey(signal));
      return text === undefined ? undefined : Number(text);
    },
    shipDay: () => {
      const text = meta.get('ship_day');
      return text === undefined ? undefined : (JSON.parse(text) as DaySpent);
    },
    restored: (job) => Number(meta.get(`${jobKey}${job}`) ?? 0),
    receivedAround: (seq) => {
      const claimed = receivedAt.get({ from: seq, to: seq })?.value ?? 0;
      const before = receivedAt.get({ from: 0, to: seq - 1 })?.value ?? lastSealed.get()?.value ?? claimed;
      const after = receivedAfter.get(seq)?.value ?? Math.min(Math.max(claimed, before), before + dayUs);
      return { fromUs: Math.min(before, after), toUs: Math.max(before, after) };
    },
    rowsBetween: (afterSeq, uptoSeq) => rowsBetween.get(afterSeq, uptoSeq)?.value ?? 0,
    snapshot: (read) => db.transaction(read)(),
    [Symbol.dispose]: () => void db.close(),
  };
}

function prepareSegments(db: Database.Database): Pick<WalReader, 'segments' | 'segmentFiles'> {
  const segments = db.prepare<[Signal], SegmentRow>(
    `SELECT ${segmentColumns} FROM segment WHERE signal = ? ${segmentOrder}`,
  );
  const files = db.prepare<[SegmentFilter], SegmentFile>(segmentFileSql);
  return {
    segments: (signal) => segments.all(signal).map(recordOf),
    segmentFiles: (signal, { fromUs = null, toUs = null, name = null }) =>
      files.all({ signal, fromUs, toUs, name }),
  };
}

function idSetOf(ids: readonly bigint[]): IdSet {
  const set = createIdSet();
  for (const id of ids) set.add(Number(BigInt.asIntN(32, id)), Number(id >> 32n));
  return set;
}

function prepareTail(db: Database.Database, path: string): WalReader['tail'] {
  type BatchRow = StoredBatch & { crc: number };
  const nextOfAll = db.prepare<[number, number], BatchRow>(
    `SELECT ${batchColumns} FROM batch WHERE seq > ? AND seq <= ? ORDER BY seq`,
  );
  const nextOfSignal = db.prepare<[number, number, Signal], BatchRow>(
    `SELECT ${batchColumns} FROM batch WHERE seq > ? AND seq <= ? AND signal = ? ORDER BY seq`,
  );
  return function* (signal, afterSeq, uptoSeq) {
    for (let after = afterSeq; ; ) {
      const step = take(
        signal === 'all' ? nextOfAll.iterate(after, uptoSeq) : nextOfSignal.iterate(after, uptoSeq, signal),
      );
      for (const { crc, ...batch } of step) {
        if (batchCrc(batch) !== crc) throw damaged(path, batch.seq);
        yield batch;
        after = batch.seq;
      }
      if (step.length === 0) return;
    }
  };
}

/** One step of `tail`: many small batches at once, because a query for each would take ten times as long. */
const stepBatchesMax = 256;
const stepBytesMax = 1024 * 1024;

function take<T extends { readonly payload: Uint8Array }>(rows: IterableIterator<T>): T[] {
  const taken: T[] = [];
  let bytes = 0;
  for (const row of rows) {
    taken.push(row);
    bytes += row.payload.byteLength;
    if (taken.length >= stepBatchesMax || bytes >= stepBytesMax) break; // closes the cursor
  }
  return taken;
}

function damaged(path: string, seq: number): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'read WAL',
    subject: String(seq),
    message: `batch ${seq} in ${path} is damaged: its checksum does not match`,
  });
}
