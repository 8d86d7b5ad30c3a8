import type { TenantId } from '../../lake/model/ids.ts';
import { tableNames } from '../../lake/model/table-name.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { plainMetadata } from './initial-metadata.ts';
import { type CatalogTable, type CatalogTableOptions, openCatalogTable } from './table.ts';

// Tables in a tenant's namespace that are none of a signal: the tenant's own, and what other engines made there.

/** Names of folders that may be such tables. */
export async function* plainTableNames(store: ObjectStore, tenant: TenantId): AsyncGenerator<string> {
  for await (const name of store.listFolders(`${tenant}/lake/`))
    if (!(tableNames as readonly string[]).includes(name)) yield name;
}

/** Commits leave its columns as they are. */
export const openPlainTable = (options: Omit<CatalogTableOptions, 'evolve'>): CatalogTable =>
  openCatalogTable({
    ...options,
    evolve: (metadata, made) => metadata ?? plainMetadata([], made),
  });
