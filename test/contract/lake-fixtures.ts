import type { DataFile } from '../../cloud/catalog/manifest-file.ts';
import type { Snapshot, TableMetadata } from '../../cloud/catalog/metadata.ts';
import type { IcebergTable } from '../../cloud/catalog/table.ts';
import type { Clock } from '../../lake/base/clock.ts';
import { type TenantId, tenantId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { TableSchema } from '../../lake/schema/tables.ts';
import { watchedStore } from './memory-store.ts';

export const tenant: TenantId = tenantId('acme');
export const locationOf = (key: string): string => `file:///lake/${key}`;

/** A clock that stands still unless it is moved; sleeping takes no time. */
export function stillClock(): Clock & { advance(ms: number): void } {
  let ms = 1_700_000_000_000;
  return {
    nowMs: () => ms,
    monotonicMs: () => ms,
    sleep: async () => undefined,
    advance: (by) => {
      ms += by;
    },
  };
}

/** Numbers in [0, 1) that follow from a seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export function seededUuid(random: () => number): () => string {
  return () => {
    const hex = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join('');
    return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5');
  };
}

/** The requests made of a store since `take` was called last, as `method last/parts/of/the/key`. */
export function countedStore(inner: ObjectStore): { store: ObjectStore; take(): string[] } {
  let requests: string[] = [];
  const store = watchedStore(inner, (method, key) => {
    requests.push(`${method} ${key.replace(/^.*\/(?=[^/]+\/[^/]*$)/, '')}`);
  });
  return {
    store,
    take: () => {
      const taken = requests;
      requests = [];
      return taken;
    },
  };
}

/** A table that commits something else than it was asked to. */
export const changingTable = (
  table: IcebergTable,
  change: (next: TableMetadata) => TableMetadata,
): IcebergTable => ({
  ...table,
  head: { ...table.head, swap: (base, next) => table.head.swap(base, change(next)) },
});

/** The metadata with other properties in the summaries of its snapshots. */
export const withSummaries = (
  metadata: TableMetadata,
  change: (summary: Snapshot['summary'], index: number) => Snapshot['summary'],
): TableMetadata => ({
  ...metadata,
  snapshots: metadata.snapshots.map((each, index) => ({ ...each, summary: change(each.summary, index) })),
});

export const someFile = (name: string, schema: TableSchema, day = 19_675): DataFile => ({
  path: locationOf(`${tenant}/data/${name}.parquet`),
  format: 'PARQUET',
  day,
  rows: 10,
  bytes: 100,
  valueCounts: new Map(schema.columns.map(({ fieldId }) => [fieldId, 10])),
  nullCounts: new Map([[1, 0]]),
  lowerBounds: new Map([[1, Buffer.from('a')]]),
  upperBounds: new Map([[1, Buffer.from('b')]]),
  sortOrderId: 1,
});
