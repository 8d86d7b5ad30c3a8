import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { auditTable, tableNames } from '../../lake/model/table-name.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { commit } from '../catalog/commit.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import { openPlainTable, plainTableNames } from '../catalog/plain-table.ts';
import type { CatalogTable, HeadOf } from '../catalog/table.ts';
import type { TableState } from '../catalog/table-head.ts';
import { ofKind } from '../catalog/table-kind.ts';
import {
  type LoadPlan,
  type PlacedColumn,
  planLoad,
  type UserColumn,
  userColumnsOf,
  withColumns,
} from './user-schema.ts';
import { writeUserFile } from './write-file.ts';

// A tenant's own tables: asset lists, shift calendars. Each is an Iceberg table in the tenant's namespace, beside those of
// the signals, so that other engines read them, too. A load is one commit; who loses the race begins again.

export interface UserTable {
  readonly name: string;
  readonly columns: readonly PlacedColumn[];
  readonly files: readonly { readonly key: string; readonly bytes: number; readonly rows: number }[];
  readonly updatedMs: number;
}

/** What was loaded, and its columns: a Parquet file in a folder of its own, which may be written to. */
export interface LoadedFile {
  readonly path: string;
  readonly rows: number;
  readonly columns: readonly UserColumn[];
}

export interface UserTableStore {
  list(): Promise<readonly UserTable[]>;
  /** Throws FirnError `conflict` when others load the same table all the time, `limit` for too many columns or files. */
  load(name: string, file: LoadedFile, mode: 'replace' | 'append'): Promise<UserTable>;
  /** False when there is no such table. */
  drop(name: string): Promise<boolean>;
}

export interface UserTableStoreOptions {
  readonly store: ObjectStore;
  readonly tenant: TenantId;
  readonly locationOf: (key: string) => string;
  readonly clock: Clock;
  readonly headOf?: HeadOf | undefined;
}

const limits = { tablesMax: 1_000, columnsMax: 500, filesMax: 1_000 } as const;
const attemptsMax = 10;
const requestsConcurrentMax = 16;

/** Throws FirnError `invalid` for a name that no table can have. */
export function checkTableName(name: string): void {
  const why = [...tableNames, auditTable].includes(name)
    ? 'is the name of a table of the lake'
    : /^[a-z][a-z0-9_]{0,62}$/.test(name)
      ? undefined
      : 'is no table name: lower-case letters, digits and _, at most 63, a letter first';
  if (why === undefined) return;
  throw new FirnError({
    code: 'invalid',
    operation: 'load table',
    subject: name,
    message: `${JSON.stringify(name)} ${why}`,
  });
}

/** One for each tenant, which remembers what it has read. */
export function userTableStores(
  options: Omit<UserTableStoreOptions, 'tenant'>,
): (tenant: TenantId) => UserTableStore {
  const stores = new Map<TenantId, UserTableStore>();
  return (tenant) => {
    const store = stores.get(tenant) ?? userTableStore({ ...options, tenant });
    stores.set(tenant, store);
    return store;
  };
}

export function userTableStore(options: UserTableStoreOptions): UserTableStore {
  const { store, tenant } = options;
  const tables = new Map<string, CatalogTable>();
  const tableOf = (name: string): CatalogTable => {
    const table = tables.get(name) ?? openPlainTable({ ...options, name });
    tables.set(name, table);
    return table;
  };

  return {
    list: async () => {
      const names: string[] = [];
      for await (const name of plainTableNames(store, tenant))
        if (names.push(name) >= limits.tablesMax) break;
      const found = await mapConcurrent(names, requestsConcurrentMax, async (name) => {
        const table = tableOf(name);
        return userTableOf(table, await table.load());
      });
      return found.filter((each) => each !== undefined);
    },
    load: async (name, file, mode) => {
      checkTableName(name);
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        const loaded = await loadOnce(tableOf(name), file, mode);
        if (loaded) return loaded;
      }
      throw new FirnError({
        code: 'conflict',
        operation: 'load table',
        subject: name,
        message: `others loaded ${name} first, ${attemptsMax} times in a row`,
      });
    },
    drop: async (name) => {
      checkTableName(name);
      const table = tableOf(name);
      await table.load();
      let found = false;
      await commit(table, async (state) => {
        found = userColumnsOf(state.metadata) !== undefined;
        if (!found) return undefined;
        const replaced = await filesOf(table, state);
        return {
          ...{ added: [], replaced, summary: { operation: 'delete' } },
          finish: (next) => ofKind(next, 'dropped'),
        };
      });
      return found;
    },
  };
}

async function filesOf(table: CatalogTable, state: TableState): Promise<DataFile[]> {
  const manifests = await table.manifestsOf(state);
  const entries = await mapConcurrent(manifests, requestsConcurrentMax, (each) => table.entriesOf(each));
  return entries.flat().map(({ file }) => file);
}

/** Undefined for what is no table of a user. */
async function userTableOf(table: CatalogTable, state: TableState): Promise<UserTable | undefined> {
  const columns = userColumnsOf(state.metadata);
  if (!columns) return undefined;
  const files = await filesOf(table, state);
  return {
    name: table.name,
    columns,
    files: files.map(({ path, bytes, rows }) => ({ key: ownKey(table, path), bytes, rows })),
    updatedMs: state.metadata?.lastUpdatedMs ?? 0,
  };
}

/** A table may name only files of its own folder; one that does otherwise was tampered with. */
function ownKey({ locations, prefix }: CatalogTable, path: string): string {
  const key = locations.keyOf(path);
  if (key.startsWith(prefix)) return key;
  const message = `${prefix} lists ${path}, which is not one of its files`;
  throw new FirnError({ code: 'corrupt', operation: 'read table', subject: prefix, message });
}

/** Undefined when another load was first. */
async function loadOnce(
  table: CatalogTable,
  file: LoadedFile,
  mode: 'replace' | 'append',
): Promise<UserTable | undefined> {
  const base = await table.load();
  const plan = planLoad(base.metadata, file.columns, mode);
  const before = userColumnsOf(base.metadata) ? await filesOf(table, base) : [];
  const isNew = mode === 'replace' || plan.rewrites;
  checkLimits(table.name, plan, isNew ? 1 : before.length + 1);
  const sources = plan.rewrites ? await localCopies(table, before, dirname(file.path)) : [];
  const { key, added } = await putFile(table, [...sources, file.path], plan);
  const operation = before.length === 0 || !isNew ? 'append' : 'overwrite';
  const evolve: CatalogTable['evolve'] = (metadata, made) => withColumns(metadata, plan.columns, made);
  try {
    const state = await commit({ ...table, evolve }, ({ version }) => {
      if (version !== base.version) throw lost(table);
      return { added: [added], ...(isNew && { replaced: before }), summary: { operation } };
    });
    return await userTableOf(table, state);
  } catch (error) {
    if (!hasCode(error, 'conflict')) throw error;
    await table.store.delete(key);
    return undefined;
  }
}

/** What was written was for another state of the table. */
function lost({ prefix }: CatalogTable): FirnError {
  const message = `${prefix} was changed meanwhile`;
  return new FirnError({ code: 'conflict', operation: 'load table', subject: prefix, message });
}

async function localCopies(
  table: CatalogTable,
  files: readonly DataFile[],
  folder: string,
): Promise<string[]> {
  return mapConcurrent(files, requestsConcurrentMax, async ({ path }, index) => {
    const key = ownKey(table, path);
    const local = table.store.localPath(key);
    if (local !== undefined) return local;
    const copy = join(folder, `before-${index}.parquet`);
    await table.store.getFile(key, copy);
    return copy;
  });
}

async function putFile(
  { store, prefix, locations }: CatalogTable,
  sources: readonly string[],
  { columns }: LoadPlan,
): Promise<{ readonly key: string; readonly added: DataFile }> {
  const folder = dirname(sources.at(-1) ?? '');
  const path = join(folder, 'written.parquet');
  const { bytes, rows, written } = await writeUserFile(sources, columns, path, folder);
  const key = `${prefix}data/${randomUUID()}.parquet`;
  await store.putFile(key, path);
  const added: DataFile = {
    ...{ path: locations.of(key), format: 'PARQUET', day: undefined, rows, bytes, sortOrderId: undefined },
    valueCounts: new Map(written.map(({ fieldId }) => [fieldId, rows])),
    ...{ nullCounts: new Map(), lowerBounds: new Map(), upperBounds: new Map() },
  };
  return { key, added };
}

function checkLimits(name: string, { columns }: LoadPlan, files: number): void {
  if (columns.length > limits.columnsMax) throw tooMany(name, 'columnsMax');
  if (files > limits.filesMax) throw tooMany(name, 'filesMax');
}

function tooMany(name: string, subject: 'columnsMax' | 'filesMax'): FirnError {
  const detail = {
    ...({ code: 'limit', operation: 'load table', subject } as const),
    message: `table ${name} would have more than ${limits[subject]} (${subject})`,
  };
  const hint = 'load the whole table once with mode=replace';
  return new FirnError(subject === 'filesMax' ? { ...detail, hint } : detail);
}
