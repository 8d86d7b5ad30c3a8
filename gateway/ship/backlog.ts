import Database from 'better-sqlite3';
import type { ManifestSegment } from '../../lake/model/manifest.ts';
import type { Lane } from './lanes.ts';

/** What is to be shipped, read from wal.db a little at a time: a week offline makes many files. */
export interface Backlog extends Disposable {
  /** The oldest shipment that is composed and whose manifest is not put yet. */
  composed(): ComposedShipment | undefined;
  /** Segments of a shipment whose files are not uploaded; not empty where a shipment was composed for an export. */
  missingOf(number: number): WaitingSegment[];
  /** Segments without a shipment in one lane, in the order in which they are to go; uploaded ones are left out. */
  waiting(lane: Lane, nowUs: number, limit: number): WaitingSegment[];
  /** Uploaded, and without a shipment. */
  uploaded(): string[];
  /** Whether the cloud still has to say that it has something. */
  unreceipted(): boolean;
  /** The manifest of a shipment that has no receipt yet. */
  manifestOf(number: number): string | undefined;
  /** Segments of these shipments. */
  segmentsOf(numbers: readonly number[]): WaitingSegment[];
  size(): BacklogSize;
}

export interface ComposedShipment {
  readonly number: number;
  /** As it is to be put, byte for byte. */
  readonly manifest: string;
}

export interface WaitingSegment {
  /** Relative to the data folder. */
  readonly path: string;
  readonly entry: ManifestSegment;
  /** Of an upload in parts that was begun. */
  readonly uploadState: string | undefined;
}

export interface BacklogSize {
  readonly segments: number;
  readonly rows: number;
  readonly bytes: number;
  /** Seal time of the oldest; undefined when there is none. */
  readonly oldestUs: number | undefined;
}

interface Row {
  readonly path: string;
  readonly manifest: string;
  readonly uploadState: string | null;
}

const columns = 'path, manifest, upload_state AS uploadState';
const waitingSql = 'shipment IS NULL AND committed = 0 AND refused IS NULL AND manifest IS NOT NULL';
/** Alarms whatever their age; then what was sealed since a moment, newest first; then the rest, newest first. */
const laneSql: Readonly<Record<Lane, string>> = {
  alarms: `class = 'alarms' ORDER BY sealed_us DESC, path`,
  newest: `class <> 'alarms' AND sealed_us >= @sinceUs ORDER BY sealed_us DESC, path`,
  backlog: `class <> 'alarms' AND sealed_us < @sinceUs ORDER BY sealed_us DESC, path`,
};

const waitingOf = ({ path, manifest, uploadState }: Row): WaitingSegment => ({
  path,
  entry: JSON.parse(manifest) as ManifestSegment,
  uploadState: uploadState ?? undefined,
});

/** `newestMs`: segments sealed so lately are the newest. */
export function openBacklog(walPath: string, newestMs: number): Backlog {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  const composed = db.prepare<[], ComposedShipment>(
    `SELECT number, manifest FROM shipment WHERE state = 'composed' ORDER BY number LIMIT 1`,
  );
  const missing = db.prepare<[number], Row>(
    `SELECT ${columns} FROM segment WHERE shipment = ? AND uploaded = 0 AND committed = 0`,
  );
  const ofShipment = db.prepare<[number], Row>(`SELECT ${columns} FROM segment WHERE shipment = ?`);
  type LaneQuery = { sinceUs: number; limit: number };
  const prepareLane = (lane: Lane) =>
    db.prepare<[LaneQuery], Row>(
      `SELECT ${columns} FROM segment WHERE ${waitingSql} AND uploaded = 0 AND ${laneSql[lane]} LIMIT @limit`,
    );
  const lanes = {
    alarms: prepareLane('alarms'),
    newest: prepareLane('newest'),
    backlog: prepareLane('backlog'),
  };
  const uploaded = db
    .prepare<[], string>(
      `SELECT path FROM segment WHERE ${waitingSql} AND uploaded = 1 ORDER BY sealed_us DESC`,
    )
    .pluck();
  const manifestOf = db.prepare<[number], string>('SELECT manifest FROM shipment WHERE number = ?').pluck();
  const unreceipted = db.prepare<[], number>('SELECT 1 FROM shipment LIMIT 1').pluck();
  const size = db.prepare<[], Omit<BacklogSize, 'oldestUs'> & { oldestUs: number | null }>(
    `SELECT count(*) AS segments, coalesce(sum(rows), 0) AS rows, coalesce(sum(bytes), 0) AS bytes,
       min(sealed_us) AS oldestUs
     FROM segment LEFT JOIN shipment ON number = shipment
     WHERE committed = 0 AND refused IS NULL AND (shipment IS NULL OR state = 'composed')`,
  );
  return {
    composed: () => composed.get(),
    missingOf: (number) => missing.all(number).map(waitingOf),
    waiting: (lane, nowUs, limit) =>
      lanes[lane].all({ sinceUs: nowUs - newestMs * 1000, limit }).map(waitingOf),
    uploaded: () => uploaded.all(),
    unreceipted: () => unreceipted.get() !== undefined,
    manifestOf: (number) => manifestOf.get(number),
    segmentsOf: (numbers) => numbers.flatMap((number) => ofShipment.all(number).map(waitingOf)),
    size: () => {
      const { oldestUs = null, ...counted } = size.get() ?? { segments: 0, rows: 0, bytes: 0 };
      return { ...counted, oldestUs: oldestUs ?? undefined };
    },
    [Symbol.dispose]: () => void db.close(),
  };
}
