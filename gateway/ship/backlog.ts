import Database from 'better-sqlite3';

/** What is sealed and not shipped, read from wal.db a few shipments at a time: a week offline makes 300,000. */
export interface Backlog extends Disposable {
  /** The oldest ones, by number. */
  next(limit: number): SealedShipment[];
  size(): { readonly shipments: number; readonly bytes: number };
}

export interface SealedShipment {
  readonly number: number;
  /** As it is to be put, byte for byte. */
  readonly manifest: string;
}

export function openBacklog(walPath: string): Backlog {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  const next = db.prepare<[number], SealedShipment>(
    `SELECT number, manifest FROM shipment WHERE state = 'sealed' ORDER BY number LIMIT ?`,
  );
  const size = db.prepare<[], { shipments: number; bytes: number }>(
    `SELECT (SELECT count(*) FROM shipment WHERE state = 'sealed') AS shipments,
       (SELECT coalesce(sum(bytes), 0) FROM segment JOIN shipment ON number = shipment WHERE state = 'sealed') AS bytes`,
  );
  return {
    next: (limit) => next.all(limit),
    size: () => size.get() ?? { shipments: 0, bytes: 0 },
    [Symbol.dispose]: () => void db.close(),
  };
}
