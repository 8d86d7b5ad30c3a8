import Database from 'better-sqlite3';

/** Paths of segments that a healthy log of format 1 had shipped: the cloud has them. Merged ones were made of those. */
export function shippedOfFormat1(databasePath: string): Set<string> {
  const db = new Database(databasePath, { fileMustExist: true });
  try {
    const paths = db.prepare<[], string>(
      `SELECT path FROM segment
       WHERE shipment IS NULL OR shipment NOT IN (SELECT number FROM shipment WHERE state = 'sealed')`,
    );
    return new Set(paths.pluck().all());
  } finally {
    db.close();
  }
}
