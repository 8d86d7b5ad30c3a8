import Database from 'better-sqlite3';

export interface RecordedTimes {
  /** The newest time of receipt whose clock was right, microseconds since the Unix epoch. */
  readonly newestUs?: number;
  /** Wall clock less monotonic clock of rows that this boot's clock has stamped untrusted and that are not sealed yet. */
  readonly untrustedBaseUs?: number;
}

/** What the log says about the time, for the time keeper to begin with. */
export function recordedTimes(walPath: string, bootId: string): RecordedTimes {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  try {
    const one = (sql: string, ...parameters: string[]): number | null | undefined =>
      db
        .prepare<string[], number | null>(sql)
        .pluck()
        .get(...parameters);
    const received = one(
      `SELECT max(received_us + offset_us) FROM batch JOIN boot ON boot.id = boot WHERE clock <> 'untrusted'`,
    );
    const sealed = one(`SELECT max(max_received_us) FROM segment WHERE clock <> 'untrusted'`);
    const base = one(
      `SELECT received_us - mono_us FROM batch JOIN boot ON boot.id = boot
       WHERE boot_id = ? AND clock = 'untrusted' ORDER BY seq DESC LIMIT 1`,
      bootId,
    );
    const newestUs = Math.max(received ?? 0, sealed ?? 0);
    return {
      ...(newestUs > 0 && { newestUs }),
      ...(base !== null && base !== undefined && { untrustedBaseUs: base }),
    };
  } finally {
    db.close();
  }
}
