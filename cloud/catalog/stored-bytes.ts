import type { TenantId } from '../../lake/model/ids.ts';
import { currentSnapshot } from './metadata.ts';
import { openTables, type TableOptions } from './table.ts';

/** A state of a table that was looked at so lately is not looked at again. */
const stateMaxAgeMs = 10_000;

/** How many bytes the data files of a tenant's tables have, as their snapshots say. */
export function storedBytes(
  options: Omit<TableOptions, 'signal' | 'tenant'>,
): (tenant: TenantId) => Promise<number> {
  const opened = new Map<TenantId, ReturnType<typeof openTables>>();
  return async (tenant) => {
    const tables = opened.get(tenant) ?? openTables({ ...options, tenant });
    opened.set(tenant, tables);
    let bytes = 0;
    for (const table of Object.values(tables)) {
      const { metadata } = await table.load(stateMaxAgeMs);
      const snapshot = metadata && currentSnapshot(metadata);
      bytes += Number(snapshot?.summary['total-files-size'] ?? 0);
    }
    return bytes;
  };
}
