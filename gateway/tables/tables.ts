import { createHash } from 'node:crypto';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { FirnError } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Signal } from '../../lake/model/batch.ts';
import type { SiteId, TenantId } from '../../lake/model/ids.ts';
import type { VersionOf } from '../../lake/model/row-versions.ts';
import { isRollupTable, type RollupTable } from '../../lake/model/table-name.ts';
import { filesSql } from '../../lake/parquet/files-sql.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import type { Engine } from '../../lake/sql/duckdb/engine.ts';
import type { Prune, Tables, TableView } from '../../lake/tables.ts';
import { type IntactBatch, intactBatches, type SkippedBatch } from '../wal/intact-batches.ts';
import { openWalReader, type SegmentFile, type WalReader } from '../wal/reader.ts';
import type { FilePins } from './file-pins.ts';
import { openTail, type Tail, type TailLimits, tailTooLong } from './tail.ts';
import type { TouchedMinutes } from './touched-minutes.ts';

export interface GatewayTablesOptions extends Partial<TailLimits> {
  readonly walPath: string;
  /** Absolute; the engine may read `segments` below it. */
  readonly dataDir: string;
  readonly tenant: TenantId;
  readonly site: SiteId;
  readonly engine: Engine;
  /** Shared with whoever deletes local files. */
  readonly pins: FilePins;
  readonly logger: Logger;
}

/** Eight times what one seal takes. */
export const gatewayTablesDefaults = { tailRowsMax: 4_000_000, tailBytesMax: 256 * 1024 * 1024 } as const;

export interface GatewayTables extends Tables, AsyncDisposable {}

/**
 * The tables of a gateway: local segments, and the tail of the WAL in the engine's memory. A view is of one moment,
 * read in one SQLite transaction: the segments that there are, and of the tail the rows after the last seal. What is
 * sealed, merged or expired later changes nothing in it, so that no row is seen twice and none is missed.
 */
export function openGatewayTables(options: GatewayTablesOptions): GatewayTables {
  const { walPath, tenant, engine, site } = options;
  const reader = openWalReader(walPath);
  const sizes = openTailSizes(walPath);
  /** Opened when they are first asked for: until then the engine need not be there. */
  const tables = new Map<Signal, Promise<SignalTable>>();
  let last: Promise<unknown> = Promise.resolve();
  const tableOf = (signal: Signal): Promise<SignalTable> => {
    const known = tables.get(signal);
    if (known !== undefined) return known;
    // One after another: each would make the schema that all are in.
    const table = last
      .then(() => openTail(engine, signal, site))
      .then((tail) => createSignalTable(options, signal, reader, sizes, tail));
    last = table.catch(() => tables.delete(signal));
    tables.set(signal, table);
    return table;
  };
  return {
    tenant,
    open: async (table, prune, signal) => {
      signal?.throwIfAborted();
      if (prune.asOf) throw noTimeTravel();
      if (isRollupTable(table)) throw noRollups(table);
      return (await tableOf(table)).open(prune);
    },
    metricMetadata: async () => reader.metadata(),
    versions: {
      scope: tenant,
      look: async (fromMs, toMs) => (await tableOf('metrics')).versionsIn(fromMs, toMs),
    },
    [Symbol.asyncDispose]: async () => {
      for (const table of tables.values()) await (await table)[Symbol.asyncDispose]();
      sizes[Symbol.dispose]();
      reader[Symbol.dispose]();
    },
  };
}

function noRollups(table: RollupTable): FirnError {
  return new FirnError({
    code: 'unsupported',
    operation: 'open table',
    subject: table,
    message: `${table} is kept by the cloud, not by a gateway`,
    hint: 'ask the cloud, or aggregate the samples of metrics that are here',
  });
}

function noTimeTravel(): FirnError {
  return new FirnError({
    code: 'unsupported',
    operation: 'open table',
    subject: 'as of',
    message: 'a gateway keeps no earlier states of its tables',
    hint: 'ask the cloud: its tables are Iceberg snapshots',
  });
}

interface SignalTable extends AsyncDisposable {
  open(prune: Prune): Promise<TableView>;
  /** See RowVersions: a time is in the state of the files that have rows of it, once no row is waiting to be sealed. */
  versionsIn(fromMs: number, toMs: number): Promise<VersionOf>;
}

/** What one SQLite transaction saw. */
interface Moment {
  readonly sealedSeq: number;
  readonly lastSeq: number;
  readonly segments: readonly SegmentFile[];
  readonly segmentCount: number;
  /** Batches that are not in the engine yet. */
  readonly batches: readonly IntactBatch[];
  /** Ends the pin of the segments' files. */
  readonly unpin: () => void;
}

function createSignalTable(
  options: GatewayTablesOptions,
  signal: Signal,
  reader: WalReader,
  sizes: TailSizes,
  tail: Tail,
): SignalTable {
  const limits: TailLimits = { ...gatewayTablesDefaults, ...options };
  const { dataDir, pins, logger } = options;
  /** Batches up to here are in the engine, or sealed, or damaged. */
  let loadedSeq = 0;
  const turns = createTurns();

  const skip = ({ seq, reason }: SkippedBatch): void =>
    logger.error('a damaged batch is left out of answers', { signal, seq, reason });
  const look = (prune: Prune): Moment =>
    reader.snapshot(() => {
      const sealedSeq = reader.sealedSeq();
      const lastSeq = reader.lastSeq();
      sizes.check(signal, sealedSeq, limits);
      const batches = [...intactBatches(reader, signal, Math.max(loadedSeq, sealedSeq), lastSeq, skip)];
      const segments = reader.segmentFiles(signal, prune);
      const unpin = pins.pin(segments.map(({ path }) => path));
      return { sealedSeq, lastSeq, segments, segmentCount: reader.segmentCount(signal), batches, unpin };
    });
  const loaded = async (prune: Prune): Promise<Moment> => {
    const moment = look(prune);
    const { sealedSeq, lastSeq, batches } = moment;
    try {
      await tail.load(batches, sealedSeq, reader.labelsOf);
      loadedSeq = Math.max(loadedSeq, lastSeq);
      await tail.dropSealed(sealedSeq);
    } catch (error) {
      moment.unpin();
      throw error;
    }
    return moment;
  };
  const open = async (prune: Prune): Promise<TableView> => {
    const moment = await loaded(prune);
    return viewOf(signal, dataDir, moment, tail.pin(moment.sealedSeq, moment.lastSeq, prune));
  };
  return {
    // One at a time: each batch must be loaded exactly once.
    open: (prune) => turns.run(() => open(prune)),
    versionsIn: (fromMs, toMs) =>
      turns.run(async () => {
        const moment = await loaded({ fromUs: fromMs * 1000, toUs: toMs * 1000 + 999 });
        moment.unpin();
        return versionOfFiles(moment.segments, tail.touches(moment.sealedSeq, moment.lastSeq));
      }),
    [Symbol.asyncDispose]: async () => {
      await turns.last();
      await tail[Symbol.asyncDispose]();
    },
  };
}

/** Runs work one after the other. */
function createTurns() {
  let last: Promise<unknown> = Promise.resolve();
  return {
    last: () => last,
    run: <T>(work: () => Promise<T>): Promise<T> => {
      const turn = last.then(work);
      last = turn.catch(() => undefined); // whoever asked for it gets the error
      return turn;
    },
  };
}

/** A path names the same bytes for ever. */
const versionOfFiles =
  (segments: readonly SegmentFile[], touches: TouchedMinutes['touch']): VersionOf =>
  (fromMs, toMs) => {
    if (touches(fromMs, toMs)) return undefined;
    const hash = createHash('sha256');
    for (const { path, minTimestampUs, maxTimestampUs } of segments)
      if (maxTimestampUs >= fromMs * 1000 && minTimestampUs < (toMs + 1) * 1000) hash.update(`${path}\n`);
    return hash.digest('base64url');
  };

function viewOf(
  signal: Signal,
  dataDir: string,
  { segments, segmentCount, unpin }: Moment,
  pinnedTail: ReturnType<Tail['pin']>,
): TableView {
  // Every query makes them all: they are put together, rather than each path being resolved.
  const folder = join(dataDir, '/');
  const files = segments.map(({ path, bytes }) => ({ path: folder + path, bytes }));
  const { selects } = pinnedTail;
  const rest = selects.length === 0 ? undefined : `(${selects.join(' UNION ALL ')})`;
  let released = false;
  return {
    // Made when it is asked for: who reads files without SQL does not.
    get from() {
      if (rest !== undefined && files.length === 0) return rest;
      const paths = files.map(({ path }) => path);
      const ofFiles = filesSql(tableSchemas[signal], paths);
      return rest === undefined ? ofFiles : `(SELECT * FROM ${ofFiles} UNION ALL SELECT * FROM ${rest})`;
    },
    parts: { files, rest },
    filesConsidered: segmentCount,
    filesPruned: segmentCount - segments.length,
    [Symbol.asyncDispose]: async () => {
      if (released) return;
      released = true;
      unpin();
      pinnedTail.release();
    },
  };
}

interface TailSizes extends Disposable {
  /** Throws FirnError `limit` when what is not sealed is more than the engine's memory is to hold. */
  check(signal: Signal, sealedSeq: number, limits: TailLimits): void;
}

/** Counts before anything is read, so that a tail that is too long costs nothing but the answer. */
function openTailSizes(walPath: string): TailSizes {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  const size = db.prepare<[Signal, number], { rows: number; bytes: number }>(
    `SELECT coalesce(sum(rows), 0) AS rows, coalesce(sum(length(payload)), 0) AS bytes FROM batch
     WHERE signal = ? AND seq > ?`,
  );
  return {
    check: (signal, sealedSeq, { tailRowsMax, tailBytesMax }) => {
      const { rows, bytes } = size.get(signal, sealedSeq) ?? { rows: 0, bytes: 0 };
      if (rows > tailRowsMax) throw tailTooLong(signal, 'tailRowsMax', tailRowsMax);
      if (bytes > tailBytesMax) throw tailTooLong(signal, 'tailBytesMax', tailBytesMax);
    },
    [Symbol.dispose]: () => void db.close(),
  };
}
