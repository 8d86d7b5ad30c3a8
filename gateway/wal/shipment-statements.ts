import type Database from 'better-sqlite3';
import { FirnError } from '../../lake/base/errors.ts';
import type { DaySpent } from '../../lake/base/token-bucket.ts';
import type { MetricMetadata } from '../../lake/model/batch.ts';
import type { ManifestSegment, ShipmentManifest } from '../../lake/model/manifest.ts';
import type { Meta } from './database.ts';
import type { AppliedReceipt, ShipmentPlan } from './wal.ts';

/** Descriptions of metrics in one manifest; the rest goes with the next. */
const manifestMetadataMax = 5000;

type Description = MetricMetadata & { readonly version: number };

/** What writes the table `shipment`; every function runs inside the caller's transaction. */
export function shipmentStatements(db: Database.Database, meta: Meta) {
  const waiting = db
    .prepare<[string], string>(
      `SELECT manifest FROM segment WHERE path = ? AND shipment IS NULL AND committed = 0 AND refused IS NULL AND manifest IS NOT NULL`,
    )
    .pluck();
  const assign = db.prepare('UPDATE segment SET shipment = ? WHERE path = ?');
  const insert = db.prepare(
    `INSERT INTO shipment (number, composed_us, manifest, state) VALUES (?, ?, ?, 'composed')`,
  );
  const descriptions = describe(db);
  const manifest = db
    .prepare<[number], string>(`SELECT manifest FROM shipment WHERE number = ? AND state = 'composed'`)
    .pluck();
  const keyOf = db.prepare<[string], string>(`SELECT manifest ->> 'key' FROM segment WHERE path = ?`).pluck();
  const forgetSegment = db.prepare('DELETE FROM segment WHERE path = ?');
  const rewrite = db.prepare('UPDATE shipment SET manifest = ? WHERE number = ?');
  const shipped = db.prepare(
    `UPDATE shipment SET state = 'shipped', shipped_us = ? WHERE number = ? AND state = 'composed'`,
  );
  const epoch = (): number => Number(meta.get('epoch'));
  const lastNumber = (): number => Number(meta.get('last_number') ?? 0);
  const beginEpoch = beginEpochOf(db, meta);
  const commit = commitOf(db);

  return {
    compose: ({ identity, composedUs, progress, paths }: ShipmentPlan): number => {
      const number = lastNumber() + 1;
      const segments = paths.map((path) => {
        const entry = waiting.get(path);
        if (entry === undefined) throw notWaiting(path);
        return JSON.parse(entry) as ManifestSegment;
      });
      const metadata = descriptions.take(manifestMetadataMax);
      const head = { ...identity, epoch: epoch(), number, composedUs };
      insert.run(number, composedUs, textOf({ format: 2, ...head, segments, metadata, progress }));
      for (const path of paths) assign.run(number, path);
      meta.set('last_number', number);
      return number;
    },
    amend: (number: number, without: readonly string[]): void => {
      const text = manifest.get(number);
      if (text === undefined) throw notWaiting(`shipment ${number}`);
      const keys = new Set(without.map((path) => keyOf.get(path)));
      for (const path of without) forgetSegment.run(path);
      const old = JSON.parse(text) as ShipmentManifest;
      const segments = old.segments.filter(({ key }) => !keys.has(key));
      rewrite.run(textOf({ ...old, segments }), number);
    },
    markShipped: (number: number, shippedUs: number, spent: DaySpent | undefined): void => {
      shipped.run(shippedUs, number);
      if (spent !== undefined) meta.set('ship_day', JSON.stringify(spent));
    },
    applyReceipt: (receipt: AppliedReceipt): void => {
      const foreign = receipt.epoch > epoch() || (receipt.epoch === epoch() && receipt.number > lastNumber());
      if (foreign) beginEpoch(receipt.epoch + 1);
      else if (receipt.epoch === epoch()) commit(receipt);
    },
    beginEpoch,
  };
}

/** As `printManifest` prints it; what is in it has been checked, and the checker is too large for this thread. */
const textOf = (manifest: ShipmentManifest): string => `${JSON.stringify(manifest)}\n`;

function beginEpochOf(db: Database.Database, meta: Meta): (epoch: number) => void {
  const forget = db.prepare('DELETE FROM shipment');
  const free = db.prepare(
    'UPDATE segment SET shipment = NULL, uploaded = 0, upload_state = NULL WHERE shipment IS NOT NULL AND committed = 0 AND refused IS NULL',
  );
  // What the lost shipments described may not have arrived.
  const describeAgain = db.prepare('UPDATE metadata SET shipped_version = 0');
  return (epoch) => {
    forget.run();
    free.run();
    describeAgain.run();
    meta.set('epoch', epoch);
    meta.set('last_number', 0);
  };
}

function commitOf(db: Database.Database): (receipt: AppliedReceipt) => void {
  const refuse = db.prepare('UPDATE segment SET refused = ? WHERE shipment = ? AND committed = 0');
  const commit = db.prepare(
    `UPDATE segment SET committed = 1 WHERE shipment <= ? AND committed = 0 AND refused IS NULL`,
  );
  const forget = db.prepare(`DELETE FROM shipment WHERE number <= ?`);
  return ({ number, refused }) => {
    for (const each of refused) refuse.run(each.reason, each.number);
    commit.run(number);
    forget.run(number);
  };
}

function describe(db: Database.Database) {
  const unshipped = db.prepare<[number], Description>(
    `SELECT name, type, help, unit, version FROM metadata WHERE version > shipped_version ORDER BY name LIMIT ?`,
  );
  const mark = db.prepare('UPDATE metadata SET shipped_version = version WHERE name = ?');
  return {
    /** Descriptions that no shipment carries yet in this version; they count as shipped from now on. */
    take: (limit: number): MetricMetadata[] => {
      const found = unshipped.all(limit);
      for (const { name } of found) mark.run(name);
      return found.map(({ version: _, ...metadata }) => metadata);
    },
  };
}

function notWaiting(path: string): FirnError {
  return new FirnError({
    code: 'conflict',
    operation: 'compose shipment',
    subject: path,
    message: `${path} can't be shipped: it is gone, or has been shipped`,
  });
}
