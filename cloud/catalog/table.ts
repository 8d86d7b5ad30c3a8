import type { Clock } from '../../lake/base/clock.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { tablePrefix } from '../../lake/model/keys.ts';
import { type TableName, tableNames } from '../../lake/model/table-name.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { type TableSchema, tableSchemas } from '../../lake/schema/tables.ts';
import { evolved } from './evolve.ts';
import { initialMetadata } from './initial-metadata.ts';
import { type Locations, locationsOf } from './location.ts';
import { type ManifestEntry, parseManifestFile } from './manifest-file.ts';
import { type ManifestFile, parseManifestList } from './manifest-list.ts';
import { currentSnapshot, type Snapshot, type TableMetadata } from './metadata.ts';
import { type HeadPlace, objectStoreHead, type TableHead, type TableState } from './table-head.ts';
import { weightedCache } from './weighted-cache.ts';

/** One Iceberg table. Its files are in the object store; its head says which of its metadata is the newest. */
export interface CatalogTable {
  readonly tenant: TenantId;
  readonly name: string;
  /** What the metadata is to be before a commit builds upon it; of a table that does not exist yet, when it is undefined. */
  readonly evolve: (metadata: TableMetadata | undefined, made: NewTable) => TableMetadata;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly locations: Locations;
  /** Key prefix of metadata and data, ends in `/`. */
  readonly prefix: string;
  readonly limits: TableLimits;
  readonly head: TableHead;
  /**
   * The newest state; version 0 when the table doesn't exist yet. One request when nothing is new. A state confirmed at
   * most `maxAgeMs` ago is given without a request (default 0); that there is no table yet, `absentMaxAgeMs`.
   */
  load(maxAgeMs?: number, absentMaxAgeMs?: number): Promise<TableState>;
  /** Takes over a state that the caller has just committed, with its manifests if they are new. */
  adopt(state: TableState, manifests?: readonly ManifestFile[]): void;
  /** The manifests of the current snapshot, or of another one of the state; from memory when they were read before. */
  manifestsOf(state: TableState, snapshot?: Snapshot): Promise<readonly ManifestFile[]>;
  entriesOf(manifest: ManifestFile): Promise<readonly ManifestEntry[]>;
}

/** A table of a signal. */
export interface IcebergTable extends CatalogTable {
  readonly schema: TableSchema;
}

/** What a table is made with. */
export interface NewTable {
  readonly location: string;
  readonly tableUuid: string;
  readonly nowMs: number;
}

export interface CatalogTableOptions extends Pick<CatalogTable, 'name' | 'evolve'> {
  readonly store: ObjectStore;
  readonly tenant: TenantId;
  /** The URI of a key, for metadata that other engines read; see location.ts. */
  readonly locationOf: (key: string) => string;
  readonly clock: Clock;
  readonly limits?: Partial<TableLimits>;
  /** Who decides which metadata is the newest; the object store alone when absent. */
  readonly headOf?: HeadOf | undefined;
}

export interface TableOptions extends Omit<CatalogTableOptions, 'name' | 'evolve'> {
  readonly signal: TableName;
}

export type HeadOf = (table: HeadPlace & { readonly tenant: TenantId; readonly name: string }) => TableHead;

export interface TableLimits {
  /** Entries of manifests that are held in memory (about 2 KB each). */
  readonly manifestEntriesCachedMax: number;
  /** A state older than this is not extended step by step, but looked up anew: files after it may be deleted. */
  readonly rediscoverAfterMs: number;
  /** Times a commit is tried when others commit at the same moment. */
  readonly commitAttemptsMax: number;
  /** Small manifests in a snapshot before a commit merges them. */
  readonly smallManifestsMax: number;
  /** Entries that a merged manifest holds; one with at least half of that is not small. */
  readonly manifestEntriesMax: number;
  /** Snapshots that metadata keeps; older ones can no longer be travelled to. */
  readonly snapshotsMax: number;
  readonly metadataLogMax: number;
}

/** What absent limits are. */
const tableLimits: TableLimits = {
  manifestEntriesCachedMax: 120_000,
  rediscoverAfterMs: 600_000,
  commitAttemptsMax: 20,
  smallManifestsMax: 100,
  manifestEntriesMax: 4_000,
  snapshotsMax: 25,
  metadataLogMax: 100,
};

/** All tables of a tenant. None is looked at before it is used. */
export function openTables(options: Omit<TableOptions, 'signal'>): Readonly<Record<TableName, IcebergTable>> {
  const tables = tableNames.map((signal) => [signal, openTable({ ...options, signal })] as const);
  return Object.fromEntries(tables) as Record<TableName, IcebergTable>;
}

export function openTable({ signal, ...options }: TableOptions): IcebergTable {
  const schema = tableSchemas[signal];
  return { ...openCatalogTable({ ...options, name: signal, evolve: evolvingTo(schema) }), schema };
}

/** Every commit sees to it that the table has all columns of the schema. */
export const evolvingTo =
  (schema: TableSchema): CatalogTable['evolve'] =>
  (metadata, made) =>
    evolved(metadata ?? initialMetadata(schema, made), schema);

export function openCatalogTable(options: CatalogTableOptions): CatalogTable {
  const { store, tenant, clock, name, evolve } = options;
  const prefix = tablePrefix(tenant, name);
  const limits = { ...tableLimits, ...options.limits };
  const locations = locationsOf(options.locationOf);
  const place = { store, locations, prefix };
  const head = options.headOf?.({ ...place, tenant, name }) ?? objectStoreHead(place);
  const lists = weightedCache<readonly ManifestFile[]>(
    limits.manifestEntriesCachedMax,
    (list) => list.length + 1,
  );
  const manifests = weightedCache<readonly ManifestEntry[]>(
    limits.manifestEntriesCachedMax,
    (entries) => entries.length + 1,
  );
  let known: (TableState & { readonly confirmedMs: number }) | undefined;
  let refreshing: Promise<TableState> | undefined;
  let queued: Promise<TableState> | undefined;

  async function refresh(): Promise<TableState> {
    const startedMs = clock.monotonicMs();
    const stale = !known || startedMs - known.confirmedMs > limits.rediscoverAfterMs;
    const found = await head.load(stale ? undefined : known);
    // A commit of our own may have been adopted meanwhile.
    if (!known || found.version >= known.version) known = { ...found, confirmedMs: startedMs };
    return known;
  }

  const start = (): Promise<TableState> => {
    refreshing = refresh().finally(() => {
      refreshing = undefined;
    });
    return refreshing;
  };

  return {
    tenant,
    name,
    evolve,
    store,
    clock,
    locations,
    prefix,
    limits,
    head,
    load: async (maxAgeMs = 0, absentMaxAgeMs = maxAgeMs) => {
      const usableMs = Math.min(known?.version === 0 ? absentMaxAgeMs : maxAgeMs, limits.rediscoverAfterMs);
      if (known && clock.monotonicMs() - known.confirmedMs < usableMs) return known;
      if (!refreshing) return start();
      // A look that has begun may have missed what was committed since: wait for the one after it, shared by all.
      queued ??= refreshing
        .catch(() => undefined)
        .then(() => {
          queued = undefined;
          return start();
        });
      return queued;
    },
    adopt: (state, list) => {
      const snapshot = state.metadata && currentSnapshot(state.metadata);
      if (snapshot && list) lists.set(locations.keyOf(snapshot.manifestList), list);
      if (!known || state.version > known.version) known = { ...state, confirmedMs: clock.monotonicMs() };
    },
    manifestsOf: async ({ metadata }, snapshot = metadata && currentSnapshot(metadata)) => {
      if (!snapshot) return [];
      const key = locations.keyOf(snapshot.manifestList);
      return lists.get(key, async () => parseManifestList((await store.get(key)).body, key));
    },
    entriesOf: (manifest) => {
      const key = locations.keyOf(manifest.path);
      const inherited = { snapshotId: manifest.addedSnapshotId, sequenceNumber: manifest.sequenceNumber };
      return manifests.get(key, async () => parseManifestFile((await store.get(key)).body, key, inherited));
    },
  };
}
