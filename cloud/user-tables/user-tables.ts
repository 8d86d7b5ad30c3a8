import type { Clock } from '../../lake/base/clock.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { sqlText } from '../../lake/sql/duckdb/engine.ts';
import type { UserTables } from '../../lake/tables.ts';
import type { FileLease } from '../tables/file-cache.ts';
import { quoted } from './read-csv.ts';
import type { UserTable, UserTableStore } from './user-table-store.ts';

export interface UserTablesOptions {
  readonly tables: UserTableStore;
  readonly store: ObjectStore;
  readonly clock: Clock;
  /** Where the store is elsewhere: local copies. */
  readonly acquire?: ((objects: UserTable['files'], signal?: AbortSignal) => Promise<FileLease>) | undefined;
}

/** What a statement knows may be so old. */
const listMaxAgeMs = 1_000;

/** A tenant's own tables, for SQL. */
export function openUserTables({ tables, store, clock, acquire }: UserTablesOptions): UserTables {
  let held: { readonly atMs: number; readonly list: Promise<readonly UserTable[]> } | undefined;
  const list = (): Promise<readonly UserTable[]> => {
    const atMs = clock.monotonicMs();
    if (!held || atMs - held.atMs >= listMaxAgeMs) {
      held = { atMs, list: tables.list() };
      held.list.catch(() => {
        held = undefined;
      });
    }
    return held.list;
  };
  return {
    list: async () => (await list()).map(({ name, columns }) => ({ name, columns })),
    open: async (name, signal) => {
      const table = (await list()).find((each) => each.name === name);
      const files = table?.files ?? [];
      const lease = await acquire?.(files, signal);
      const paths = lease?.paths ?? files.flatMap(({ key }) => store.localPath(key) ?? []);
      return {
        from: rowsOf(table?.columns ?? [], paths),
        ...{ filesConsidered: files.length, filesPruned: 0 },
        [Symbol.asyncDispose]: async () => lease?.[Symbol.dispose](),
      };
    },
  };
}

/** Columns in the table's order and types, whatever each file has. */
function rowsOf(columns: UserTable['columns'], paths: readonly string[]): string {
  const list = paths.map((path) => sqlText(path.replace(/[*?[]/g, '[$&]'))).join(', ');
  const select = columns.map(({ name, type }) => `${quoted(name)}::${type} AS ${quoted(name)}`);
  return `(SELECT ${select.join(', ')} FROM read_parquet([${list}], union_by_name = true, hive_partitioning = false))`;
}
