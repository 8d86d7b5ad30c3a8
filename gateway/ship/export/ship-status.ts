import Database from 'better-sqlite3';
import type { Lane } from '../lanes.ts';
import type { ExportedNumbers } from './export-state.ts';

/** What waits on this gateway, and how far the cloud has confirmed. */
export interface ShipStatus {
  readonly epoch: number;
  /** Sealed and without a number. */
  readonly waiting: Readonly<Record<Lane, WaitingFiles>>;
  /** Numbered and without a receipt. */
  readonly numbered: {
    readonly shipments: number;
    readonly first: number | null;
    readonly last: number | null;
    /** Whose manifest the object store has. */
    readonly shipped: number;
    /** That have reached a stick. */
    readonly exported: number;
  };
  /** Up to here the cloud has committed (or refused); null before the first receipt of this epoch. */
  readonly receipt: { readonly epoch: number; readonly number: number } | null;
  /** Local files that the cloud has: they go when their retention ends. */
  readonly committed: WaitingFiles;
}

interface WaitingFiles {
  readonly segments: number;
  readonly rows: number;
  readonly bytes: number;
  readonly oldestSealedUs: number | null;
}

const counts =
  'count(*) AS segments, coalesce(sum(rows), 0) AS rows, coalesce(sum(bytes), 0) AS bytes, min(sealed_us) AS oldestSealedUs';

/** Reads it from `wal.db`, also while a gateway runs on it. `newestMs`: see ShipperOptions. */
export function readShipStatus(
  walPath: string,
  options: { readonly nowUs: number; readonly newestMs: number; readonly exported: ExportedNumbers },
): ShipStatus {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  try {
    return db.transaction((): ShipStatus => {
      const meta = (key: string): number =>
        Number(db.prepare<[string], string>('SELECT value FROM meta WHERE key = ?').pluck().get(key) ?? 0);
      const files = (where: string): WaitingFiles =>
        db
          .prepare<[{ sinceUs: number }], WaitingFiles>(
            `SELECT ${counts} FROM segment WHERE @sinceUs = @sinceUs AND ${where}`,
          )
          .get({
            sinceUs: options.nowUs - options.newestMs * 1000,
          }) ?? { segments: 0, rows: 0, bytes: 0, oldestSealedUs: null };
      const waiting = 'shipment IS NULL AND committed = 0 AND refused IS NULL AND manifest IS NOT NULL';
      const shipments = db
        .prepare<[], { number: number; state: string }>('SELECT number, state FROM shipment ORDER BY number')
        .all();
      const epoch = meta('epoch');
      const receipted = (shipments[0]?.number ?? meta('last_number') + 1) - 1;
      return {
        epoch,
        waiting: {
          alarms: files(`${waiting} AND class = 'alarms'`),
          newest: files(`${waiting} AND class <> 'alarms' AND sealed_us >= @sinceUs`),
          backlog: files(`${waiting} AND class <> 'alarms' AND sealed_us < @sinceUs`),
        },
        numbered: {
          shipments: shipments.length,
          first: shipments[0]?.number ?? null,
          last: shipments.at(-1)?.number ?? null,
          shipped: shipments.filter(({ state }) => state === 'shipped').length,
          exported: shipments.filter(({ number }) => options.exported.has(epoch, number)).length,
        },
        receipt: receipted > 0 ? { epoch, number: receipted } : null,
        committed: files('committed = 1'),
      };
    })();
  } finally {
    db.close();
  }
}
