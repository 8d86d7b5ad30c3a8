/**
 * The gateway's SQLite database, `wal.db`: the log itself and the record of what became of it. One writer (the WAL
 * worker); the sealer, the shipper and the tables read it over connections of their own.
 *
 * `batch` rows with seq > meta `sealed_seq` are the tail: received, not sealed. A seal inserts its segments, deletes its
 * batches and moves `sealed_seq` in one transaction: its commit point. A segment's way: sealed (no shipment), uploaded,
 * named by a shipment, committed (the cloud's receipt covers the shipment).
 */
export const walFormat = 2; // another one for every change of a statement below: recovery takes a difference for damage

export const walSchemaSql = `
-- format, epoch, sealed_seq, alarm_selectors
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- A stretch of time with one clock: the machine's boot, and what was known of its wall clock. offset_us is to be added
-- to what the wall clock said then.
CREATE TABLE IF NOT EXISTS boot (
  id INTEGER PRIMARY KEY,
  boot_id TEXT NOT NULL,
  clock TEXT NOT NULL CHECK (clock IN ('trusted', 'corrected', 'untrusted')),
  offset_us INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One group of rows of one signal. payload: gateway/wal/batch-codec.ts; crc: gateway/wal/batch-crc.ts.
CREATE TABLE IF NOT EXISTS batch (
  seq INTEGER PRIMARY KEY,
  signal TEXT NOT NULL,
  rows INTEGER NOT NULL,
  received_us INTEGER NOT NULL, -- wall clock, as it was
  mono_us INTEGER NOT NULL, -- since the machine's boot
  boot INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  payload BLOB NOT NULL
) STRICT;

-- Labels behind series and stream ids; inserted in the transaction of the first batch that uses them.
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY,
  labels TEXT NOT NULL,
  alarm INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS series_alarm ON series (id) WHERE alarm = 1;

-- Descriptions of metrics; version counts up on each change, shipped_version is the newest in a shipment.
CREATE TABLE IF NOT EXISTS metadata (
  name TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  help TEXT NOT NULL,
  unit TEXT NOT NULL,
  version INTEGER NOT NULL,
  shipped_version INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Of the current epoch, numbered from 1 without holes in the order of shipping; kept until the receipt.
CREATE TABLE IF NOT EXISTS shipment (
  number INTEGER PRIMARY KEY,
  composed_us INTEGER NOT NULL,
  manifest TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('composed', 'shipped')),
  shipped_us INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS shipment_composed ON shipment (number) WHERE state = 'composed';

-- Local Parquet files that queries read.
CREATE TABLE IF NOT EXISTS segment (
  path TEXT PRIMARY KEY, -- relative to the data folder
  signal TEXT NOT NULL,
  class TEXT NOT NULL,
  day TEXT NOT NULL,
  tier INTEGER NOT NULL, -- how often its rows were merged
  epoch INTEGER NOT NULL, -- of its name, with the range of the log (from_seq, to_seq]
  from_seq INTEGER NOT NULL,
  to_seq INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  min_timestamp_us INTEGER NOT NULL,
  max_timestamp_us INTEGER NOT NULL,
  min_name TEXT, -- where the table has names
  max_name TEXT,
  min_received_us INTEGER NOT NULL,
  max_received_us INTEGER NOT NULL,
  sealed_us INTEGER NOT NULL,
  clock TEXT NOT NULL,
  manifest TEXT, -- its entry in a manifest as JSON; NULL for files that are never shipped
  upload_state TEXT, -- of an upload in parts that is not finished
  uploaded INTEGER NOT NULL DEFAULT 0,
  shipment INTEGER, -- number in the current epoch
  committed INTEGER NOT NULL DEFAULT 0,
  refused TEXT -- why the cloud did not take it
) STRICT;
CREATE INDEX IF NOT EXISTS segment_time ON segment (signal, max_timestamp_us);
CREATE INDEX IF NOT EXISTS segment_waiting ON segment (signal, class, day, tier) WHERE shipment IS NULL AND committed = 0 AND refused IS NULL;
CREATE INDEX IF NOT EXISTS segment_range ON segment (epoch, from_seq);
CREATE INDEX IF NOT EXISTS segment_shipment ON segment (shipment) WHERE shipment IS NOT NULL;
`;

/** Pragmas of the writing connection. FULL: a commit has reached the disk before it returns. */
export const walPragmas = [
  'journal_mode = WAL',
  'synchronous = FULL',
  'auto_vacuum = INCREMENTAL',
  'busy_timeout = 5000',
  // 16 MiB instead of 4: pages of batches that are sealed meanwhile are used again and go to the database once, not twice.
  'wal_autocheckpoint = 4096',
  // KiB, instead of 16 MiB: payloads are written once and read once, and a cache of them is memory for nothing.
  'cache_size = -2048',
];
