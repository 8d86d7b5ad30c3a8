import type { MetricMetadata } from './model/batch.ts';
import type { TenantId } from './model/ids.ts';
import type { RowVersions } from './model/row-versions.ts';
import type { RollupTable, TableName } from './model/table-name.ts';

/**
 * The port: what the query side needs from a deployment. One tenant's tables, as Iceberg snapshots plus a local file
 * cache in the cloud, and as WAL tail plus local segments on a gateway.
 */
export interface Tables {
  readonly tenant: TenantId;
  /**
   * Pins a consistent view of one table. Its files stay readable until it is disposed, whatever is merged, expired or
   * sealed meanwhile. Files that cannot hold a row of `prune` are left out; rows outside it may still be in the others.
   */
  open(table: TableName, prune: Prune, signal?: AbortSignal): Promise<TableView>;
  /** What sources said about metrics; for one name, or for all. */
  metricMetadata(): Promise<readonly MetricMetadata[]>;
  /** Tables that the tenant loaded itself; absent where there can be none. */
  readonly userTables?: UserTables | undefined;
  /** Rollups that may stand in for samples; absent where there are none, or they are not to be used. */
  readonly rollups?: Rollups | undefined;
  /** Which state the rows of `metrics` are in; absent where what is made of them is not to be remembered. */
  readonly versions?: RowVersions | undefined;
}

export interface Rollups {
  /** Pins a rollup table as `Tables.open` does. Undefined when it is not there, or nobody knows what it stands for. */
  open(table: RollupTable, prune: Prune, signal?: AbortSignal): Promise<RollupView | undefined>;
}

export interface RollupView extends TableView {
  /**
   * The rest of time, of which the rows are not what `metrics` holds now: of buckets that begin there. Milliseconds,
   * ascending, without what has an end in them.
   */
  readonly outdated: readonly { readonly fromMs: number; readonly toMs: number }[];
  /** Rows of the files that were not left out, and of those of `metrics` in the same time. */
  readonly rows: number;
  readonly sampleRows: number;
  /** It has days that `metrics` has no more. */
  readonly outlives: boolean;
}

/** Tables whose columns are the tenant's own. Only SQL reads them. */
export interface UserTables {
  /** Types are DuckDB's names. */
  list(): Promise<readonly UserTableInfo[]>;
  /** Pins its rows as `Tables.open` does; `from` yields the columns that `list` gave. */
  open(name: string, signal?: AbortSignal): Promise<TableView>;
}

export interface UserTableInfo {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
}

/** What is to be read. Every bound is inclusive; one that is absent does not restrict. */
export interface Prune {
  readonly fromUs?: number;
  readonly toUs?: number;
  /** Exact metric name. */
  readonly name?: string;
  /** Id of one series or stream. */
  readonly seriesId?: bigint;
  /** Trace that all rows belong to, hex. */
  readonly traceId?: string;
  /** Which state of the table; absent: the newest. */
  readonly asOf?: AsOf;
}

/** A state of a table: that of a moment, of an Iceberg snapshot, or of a tag. */
export type AsOf =
  | { readonly kind: 'time'; readonly us: number }
  | { readonly kind: 'snapshot'; readonly id: bigint }
  | { readonly kind: 'tag'; readonly name: string };

/** The tables as they were, wherever a read does not say otherwise itself. Rollups stand for the newest state only. */
export const tablesAsOf = (tables: Tables, asOf: AsOf): Tables => ({
  ...tables,
  ...{ rollups: undefined, versions: undefined },
  open: (table, prune, signal) => tables.open(table, { asOf, ...prune }, signal),
});

export interface TableView extends AsyncDisposable {
  /**
   * Text for a FROM clause in the tenant's engine (lake/sql/duckdb/engine.ts), in parentheses where it needs them.
   * It yields exactly the columns of lake/schema/tables.ts, in that order, also when there is no file at all.
   */
  readonly from: string;
  /**
   * What `from` is made of, for readers that remember what they have learnt of a file. Absent when rows of the files are
   * not to be seen: then only `from` says which there are.
   */
  readonly parts?: ViewParts | undefined;
  readonly filesConsidered: number;
  readonly filesPruned: number;
}

/** The rows of a view: all of these files and of `rest`, no row twice. */
interface ViewParts {
  readonly files: readonly ImmutableFile[];
  /** FROM text for rows that are in no file yet, like `from`; undefined when there are none. */
  readonly rest: string | undefined;
}

/** A Parquet file of a table. Columns go by name; one that is absent is null in every row. */
export interface ImmutableFile {
  /** Absolute and local. As long as Firn runs it names the same bytes, so it can be a cache's key. */
  readonly path: string;
  readonly bytes: number;
}
