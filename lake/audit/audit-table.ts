import { auditTable } from '../model/table-name.ts';
import { sqlText } from '../sql/duckdb/engine.ts';
import type { Tables, UserTableInfo, UserTables } from '../tables.ts';
import type { AuditLine } from './audit-line.ts';

const types = {
  ...{ id: 'BIGINT', timestamp: 'TIMESTAMPTZ', actor: 'VARCHAR', address: 'VARCHAR', action: 'VARCHAR' },
  ...{ tenant: 'VARCHAR', subject: 'VARCHAR', result: 'VARCHAR', detail: 'VARCHAR' },
} as const;
const columns = Object.entries(types).map(([name, type]) => ({ name, type }));
const info: UserTableInfo = { name: auditTable, columns };

/**
 * The same tables, and `audit`: who has done what, from where, and what came of it. The lines are asked for with each
 * statement, and can't be changed by one.
 */
export function withAuditTable<Source extends Tables>(
  tables: Source,
  auditLines: () => Promise<readonly AuditLine[]>,
): Source {
  const others = tables.userTables;
  const userTables: UserTables = {
    list: async () => [...((await others?.list()) ?? []).filter(({ name }) => name !== auditTable), info],
    open: async (name, signal) => {
      if (name !== auditTable && others) return others.open(name, signal);
      const lines = await auditLines();
      const rows = lines.map(({ atMs, detail, tenant, ...line }) => ({
        ...{ ...line, tenant: tenant ?? null, timestamp: new Date(atMs).toISOString() },
        detail: JSON.stringify(detail),
      }));
      return {
        from: rowsSql(rows),
        filesConsidered: 0,
        filesPruned: 0,
        [Symbol.asyncDispose]: async () => undefined,
      };
    },
  };
  return { ...tables, userTables };
}

/** One text, which DuckDB reads as JSON: nothing of the lines is SQL. */
function rowsSql(rows: readonly object[]): string {
  const select = columns.map(({ name }) => `line."${name}" AS "${name}"`).join(', ');
  const structure = JSON.stringify([types]);
  return `(SELECT ${select} FROM (SELECT unnest(from_json(${sqlText(JSON.stringify(rows))}, ${sqlText(structure)})) AS line))`;
}
