import { type Signal, signals } from './batch.ts';

/** Tables that the cloud makes of `metrics` itself: no gateway ships rows of them. The finest first. */
export const rollupTables = ['metrics_rollup_1m', 'metrics_rollup_1h'] as const;
export type RollupTable = (typeof rollupTables)[number];

/** How much time a row of it stands for. */
export const bucketMsOf: Readonly<Record<RollupTable, number>> = {
  metrics_rollup_1m: 60_000,
  metrics_rollup_1h: 3_600_000,
};

/** Everything that has a schema of ours (lake/schema/tables.ts). */
export type TableName = Signal | RollupTable;
/** A new one goes to the end: the places are part of ids that SQL clients see. */
export const tableNames: readonly TableName[] = [...signals, ...rollupTables];

export const isRollupTable = (table: TableName): table is RollupTable =>
  rollupTables.some((name) => name === table);

/** What SQL calls the audit log where there is one; no table of a tenant can be called so. */
export const auditTable = 'audit';
