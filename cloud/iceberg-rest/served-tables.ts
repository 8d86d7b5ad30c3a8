import type { Clock } from '../../lake/base/clock.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import { locationsOf } from '../catalog/location.ts';
import type { HeadOf } from '../catalog/table.ts';
import { type ExistingTable, objectStoreHead, type TableState } from '../catalog/table-head.ts';
import { isOfKind } from '../catalog/table-kind.ts';

/** The tables of tenants as other engines see them. */
export interface ServedTables {
  /** Names in order. */
  names(tenant: TenantId): Promise<readonly string[]>;
  /** Undefined when there is no such table. */
  load(tenant: TenantId, name: string): Promise<ExistingTable | undefined>;
}

export interface ServedTablesOptions {
  readonly store: ObjectStore;
  readonly locationOf: (key: string) => string;
  readonly clock: Clock;
  readonly headOf?: HeadOf | undefined;
  /** A state looked up at most so long ago is given again without a request. */
  readonly maxAgeMs?: number;
}

const maxAgeMsDefault = 200;
const tablesConcurrentMax = 8;
/** A state older than this is looked up anew: files after it may be deleted. */
const rediscoverAfterMs = 600_000;

export function servedTables({
  store,
  locationOf,
  clock,
  headOf,
  maxAgeMs,
}: ServedTablesOptions): ServedTables {
  const locations = locationsOf(locationOf);
  const held = new Map<string, { readonly state: ExistingTable; readonly atMs: number }>();

  async function load(tenant: TenantId, name: string): Promise<ExistingTable | undefined> {
    if (!/^[A-Za-z0-9_-]+$/.test(name)) return undefined;
    const prefix = `${tenant}/lake/${name}/`;
    const atMs = clock.monotonicMs();
    const known = held.get(prefix);
    if (known && atMs - known.atMs < (maxAgeMs ?? maxAgeMsDefault)) return known.state;
    const place = { store, locations, prefix };
    const head = headOf?.({ ...place, tenant, name }) ?? objectStoreHead(place);
    const from: TableState | undefined =
      known && atMs - known.atMs < rediscoverAfterMs ? known.state : undefined;
    const state = await head.load(from);
    if (!state.metadata || isOfKind(state.metadata, 'dropped')) {
      held.delete(prefix);
      return undefined;
    }
    const existing = { ...state, metadata: state.metadata };
    held.set(prefix, { state: existing, atMs });
    return existing;
  }

  return {
    load,
    names: async (tenant) => {
      const names: string[] = [];
      for await (const name of store.listFolders(`${tenant}/lake/`)) names.push(name);
      const states = await mapConcurrent(names, tablesConcurrentMax, (name) => load(tenant, name));
      return names.filter((_, index) => states[index] !== undefined).sort();
    },
  };
}
