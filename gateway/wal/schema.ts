/**
 * The gateway's SQLite database, `wal.db`: the log itself and the record of what became of it. One writer (the WAL
 * worker); the sealer, the shipper and the tables read it over connections of their own.
 *
 * `batch` rows with seq > (SELECT max(to_seq) FROM shipment) are the tail: received, not sealed. A shipment row is
 * inserted in the same transaction that deletes its batches and inserts its segments: that is the seal's commit point.
 */
export const walFormat = 1;

export const walSchemaSql = `
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- One group of rows of one signal. payload: gateway/wal/batch-codec.ts; crc: CRC-32 of payload.
CREATE TABLE IF NOT EXISTS batch (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  signal TEXT NOT NULL,
  rows INTEGER NOT NULL,
  received_us INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  payload BLOB NOT NULL
) STRICT;

-- Labels behind series and stream ids; inserted in the transaction of the first batch that uses them.
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY,
  labels TEXT NOT NULL
) STRICT;

-- Descriptions of metrics; version counts up on each change, shipped_version is the newest in a sealed manifest.
CREATE TABLE IF NOT EXISTS metadata (
  name TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  help TEXT NOT NULL,
  unit TEXT NOT NULL,
  version INTEGER NOT NULL,
  shipped_version INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Numbered from 1 without holes. state: sealed -> shipped.
CREATE TABLE IF NOT EXISTS shipment (
  number INTEGER PRIMARY KEY,
  from_seq INTEGER NOT NULL,
  to_seq INTEGER NOT NULL,
  sealed_us INTEGER NOT NULL,
  manifest TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('sealed', 'shipped')),
  shipped_us INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS shipment_sealed ON shipment (number) WHERE state = 'sealed';

-- Local Parquet files that queries read. A merged file (tier > 0) replaces the shipped ones it was made of.
CREATE TABLE IF NOT EXISTS segment (
  path TEXT PRIMARY KEY, -- relative to the data folder
  signal TEXT NOT NULL,
  day TEXT NOT NULL,
  shipment INTEGER, -- NULL for merged files
  tier INTEGER NOT NULL DEFAULT 0,
  rows INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  min_timestamp_us INTEGER NOT NULL,
  max_timestamp_us INTEGER NOT NULL,
  min_name TEXT, -- metrics only
  max_name TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS segment_time ON segment (signal, max_timestamp_us);
`;

/** Pragmas of the writing connection. FULL: a commit has reached the disk before it returns. */
export const walPragmas = [
  'journal_mode = WAL',
  'synchronous = FULL',
  'auto_vacuum = INCREMENTAL',
  'busy_timeout = 5000',
];
