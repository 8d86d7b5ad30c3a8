import type { DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api';
import type { Engine } from '../sql/duckdb/engine.ts';
import type { Tables, TableView } from '../tables.ts';
import { storageError } from './storage-error.ts';

/** One consistent view of the logs, and a connection to read it with. */
export interface LogReader extends AsyncDisposable {
  readonly view: TableView;
  /** Rows of a statement as chunks, as they come. */
  chunks(sql: string): AsyncIterable<DuckDBDataChunk>;
  /** All rows of a statement of few rows. */
  rows(sql: string): Promise<readonly (readonly unknown[])[]>;
}

/** Opens the logs of a time; nanoseconds, from inclusive, to exclusive. An abort ends what runs. */
export async function openLogReader(
  { tables, engine }: { readonly tables: Tables; readonly engine: Engine },
  fromNs: bigint,
  toNs: bigint,
  signal: AbortSignal,
): Promise<LogReader> {
  signal.throwIfAborted();
  const prune = { fromUs: microseconds(fromNs), toUs: microseconds(toNs) };
  const view = await tables.open('logs', prune, signal);
  let connection: DuckDBConnection;
  try {
    connection = await engine.connect();
  } catch (error) {
    await view[Symbol.asyncDispose]();
    throw error;
  }
  const interrupt = (): void => connection.interrupt();
  signal.addEventListener('abort', interrupt, { once: true });
  const failed = (error: unknown): unknown => {
    signal.throwIfAborted();
    return storageError(error, 'read logs');
  };
  async function* chunks(sql: string): AsyncGenerator<DuckDBDataChunk> {
    try {
      const result = await connection.stream(sql);
      for (;;) {
        const chunk = await result.fetchChunk();
        if (chunk === null || chunk.rowCount === 0) return;
        yield chunk;
      }
    } catch (error) {
      throw failed(error);
    }
  }
  return {
    view,
    chunks,
    rows: async (sql) => {
      const rows: (readonly unknown[])[] = [];
      for await (const chunk of chunks(sql)) rows.push(...chunk.getRows());
      return rows;
    },
    [Symbol.asyncDispose]: async () => {
      signal.removeEventListener('abort', interrupt);
      connection.closeSync();
      await view[Symbol.asyncDispose]();
    },
  };
}

/** Rounded down; beyond what is safe there is nothing stored. */
function microseconds(ns: bigint): number {
  const us = Number(ns / 1000n);
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, us));
}
