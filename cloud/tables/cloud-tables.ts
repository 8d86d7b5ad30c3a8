import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { MetricMetadata } from '../../lake/model/batch.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import type { TableName } from '../../lake/model/table-name.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { filesSql } from '../../lake/parquet/files-sql.ts';
import type { Prune, Tables, TableView, UserTables } from '../../lake/tables.ts';
import { versionOfTime } from '../catalog/changed-times.ts';
import { metricMetadataKey, readMetricMetadata } from '../catalog/metric-metadata.ts';
import { type HeadOf, type IcebergTable, openTables, type TableLimits } from '../catalog/table.ts';
import { type FileCache, openFileCache } from './file-cache.ts';
import { openFileIndex } from './file-index.ts';
import { keyOf, planScan, type ScanPlan } from './plan-scan.ts';

export interface CloudTablesOptions {
  readonly store: ObjectStore;
  readonly tenant: TenantId;
  /** As given to the ingest: the URI of a key. */
  readonly locationOf: (key: string) => string;
  readonly clock?: Clock;
  /** Needed where the store is not a local directory; within the engine's directories, for this tenant alone. */
  readonly cacheDirectory?: string;
  readonly cacheBytesMax?: number;
  /** A snapshot looked up at most so long ago is used again without a request. */
  readonly snapshotMaxAgeMs?: number;
  /** Files that one view may read. */
  readonly filesPerViewMax?: number;
  readonly tableLimits?: Partial<TableLimits>;
  /** Makes the tenant's own tables; given how to get local copies, where those are needed. */
  readonly userTables?: (acquire: FileCache['acquire'] | undefined) => UserTables;
  readonly headOf?: HeadOf | undefined;
}

/** What absent options are. */
const cloudTablesDefaults = {
  cacheBytesMax: 10 * 1024 ** 3,
  snapshotMaxAgeMs: 200,
  filesPerViewMax: 20_000,
} as const;

export interface CloudTables extends Tables {
  /** What opening a table with this `prune` would read, without reading it. */
  plan(table: TableName, prune: Prune): Promise<ScanPlan>;
  /** The table itself, for changes of its metadata. */
  icebergTable(table: TableName): IcebergTable;
}

/** One tenant's tables, as Iceberg snapshots. Data files of a view are pinned until it is disposed. */
export async function openCloudTables(options: CloudTablesOptions): Promise<CloudTables> {
  const { store, tenant, locationOf, clock = systemClock } = options;
  const settings = { ...cloudTablesDefaults, ...options };
  const cache = await openCache(options, settings.cacheBytesMax);
  const { headOf, tableLimits: limits = {} } = options;
  const tables = openTables({ store, tenant, locationOf, clock, limits, headOf });
  const index = openFileIndex({
    readRange: cache?.readRange ?? ((key, start, end) => store.getRange(key, start, end)),
  });
  const described = cachedMetadata(store, tenant, clock, settings.snapshotMaxAgeMs);

  return {
    tenant,
    metricMetadata: described,
    ...(options.userTables && { userTables: options.userTables(cache?.acquire) }),
    open: async (name, prune, signal) => {
      const table = tables[name];
      const plan = await planScan(table, prune, settings.snapshotMaxAgeMs, signal, index);
      const { files, filesConsidered } = plan;
      if (files.length > settings.filesPerViewMax)
        throw tooManyFiles(name, files.length, settings.filesPerViewMax);
      const objects = files.map((file) => ({ key: keyOf(table, file), bytes: file.bytes }));
      return pin(table, objects, filesConsidered, cache, signal);
    },
    versions: {
      scope: tenant,
      look: async () => {
        const { metadata } = await tables.metrics.load(settings.snapshotMaxAgeMs);
        return (fromMs, toMs) => versionOfTime(metadata, { fromUs: fromMs * 1000, toUs: toMs * 1000 + 999 });
      },
    },
    icebergTable: (name) => tables[name],
    plan: (name, prune) => planScan(tables[name], prune, settings.snapshotMaxAgeMs, undefined, index),
  };
}

async function openCache(options: CloudTablesOptions, cacheBytesMax: number): Promise<FileCache | undefined> {
  const { store, cacheDirectory: directory } = options;
  if (store.localPath('x') !== undefined) return undefined;
  if (directory !== undefined) return openFileCache({ store, directory, cacheBytesMax });
  throw new FirnError({
    code: 'invalid',
    operation: 'open cloud tables',
    subject: 'cacheDirectory',
    message: `${store.description} is not a local directory, so queries need a cacheDirectory`,
  });
}

async function pin(
  { schema, store }: IcebergTable,
  objects: readonly { readonly key: string; readonly bytes: number }[],
  considered: number,
  cache: FileCache | undefined,
  signal: AbortSignal | undefined,
): Promise<TableView> {
  const lease = await cache?.acquire(objects, signal);
  const paths = lease?.paths ?? objects.flatMap(({ key }) => store.localPath(key) ?? []);
  const files = paths.map((path, index) => ({ path, bytes: objects[index]?.bytes ?? 0 }));
  return {
    from: filesSql(schema, paths),
    parts: { files, rest: undefined },
    filesConsidered: considered,
    filesPruned: considered - objects.length,
    [Symbol.asyncDispose]: async () => lease?.[Symbol.dispose](),
  };
}

/** Descriptions of metrics; the object is fetched only when its etag is new, and looked at only so often. */
function cachedMetadata(
  store: ObjectStore,
  tenant: TenantId,
  clock: Clock,
  maxAgeMs: number,
): () => Promise<readonly MetricMetadata[]> {
  let held: { metrics: readonly MetricMetadata[]; etag: string | undefined; atMs: number } | undefined;
  return async () => {
    const atMs = clock.monotonicMs();
    if (held && atMs - held.atMs < maxAgeMs) return held.metrics;
    const etag = await etagOf(store, metricMetadataKey(tenant));
    held =
      held && held.etag === etag ? { ...held, atMs } : { ...(await readMetricMetadata(store, tenant)), atMs };
    return held.metrics;
  };
}

async function etagOf(store: ObjectStore, key: string): Promise<string | undefined> {
  try {
    return (await store.head(key)).etag;
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}

function tooManyFiles(table: TableName, files: number, filesPerViewMax: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'open table',
    subject: 'filesPerViewMax',
    message: `the query would read ${files} files of ${table}; filesPerViewMax is ${filesPerViewMax}`,
    hint:
      table === 'metrics'
        ? 'narrow it: a shorter time range (timestamp > now() - interval ...), or one metric name'
        : 'narrow it: a shorter time range (timestamp > now() - interval ...)',
  });
}
