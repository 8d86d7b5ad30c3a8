import type { StoredLogs } from '../logql/source.ts';
import { filesSql } from '../parquet/files-sql.ts';
import { tableSchemas } from '../schema/tables.ts';
import type { Engine } from '../sql/duckdb/engine.ts';
import type { ImmutableFile, Tables, TableView } from '../tables.ts';
import { duckdbLogs } from './duckdb-logs.ts';

export interface LogViewsOptions {
  readonly tables: Tables;
  readonly engine: Engine;
}

/** Consistent views of one tenant's logs. */
export interface LogViews {
  /** Of a time; nanoseconds, from inclusive, to exclusive. */
  open(fromNs: bigint, toNs: bigint, signal: AbortSignal): Promise<LogView>;
}

/** Its files stay readable until it is disposed. */
export interface LogView extends AsyncDisposable {
  readonly files: readonly ImmutableFile[];
  /** Lines that are in no file, and those of these files; undefined where there are none. */
  rest(paths: readonly string[]): StoredLogs | undefined | Promise<StoredLogs | undefined>;
  readonly filesConsidered: number;
  readonly filesPruned: number;
}

export function logViews({ tables, engine }: LogViewsOptions): LogViews {
  return {
    open: async (fromNs, toNs, signal) => {
      const view = await openTable(tables, fromNs, toNs, signal);
      const { parts, filesConsidered, filesPruned } = view;
      return {
        ...{ files: parts?.files ?? [], filesConsidered, filesPruned },
        rest: (paths) => {
          const from = restOf(view, paths);
          return from === undefined ? undefined : duckdbLogs({ engine, from });
        },
        [Symbol.asyncDispose]: () => view[Symbol.asyncDispose](),
      };
    },
  };
}

function restOf({ from, parts }: TableView, paths: readonly string[]): string | undefined {
  if (parts === undefined) return from;
  if (paths.length === 0) return parts.rest;
  const files = filesSql(tableSchemas.logs, paths);
  return parts.rest === undefined ? files : `(SELECT * FROM ${files} UNION ALL SELECT * FROM ${parts.rest})`;
}

/** Opens the logs of a time; nanoseconds, from inclusive, to exclusive. */
function openTable(tables: Tables, fromNs: bigint, toNs: bigint, signal: AbortSignal): Promise<TableView> {
  signal.throwIfAborted();
  return tables.open('logs', { fromUs: microseconds(fromNs), toUs: microseconds(toNs) }, signal);
}

/** Rounded down; beyond what is safe there is nothing stored. */
function microseconds(ns: bigint): number {
  const us = Number(ns / 1000n);
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, us));
}
