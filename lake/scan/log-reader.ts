import type { DuckDBDataChunk } from '@duckdb/node-api';
import type { Engine } from '../sql/duckdb/engine.ts';
import { interruptOnAbort } from '../sql/duckdb/interrupt.ts';
import { storageError } from './storage-error.ts';

/** A connection to read logs with. */
export interface LogReader extends AsyncDisposable {
  /** Rows of a statement as chunks, as they come. */
  chunks(sql: string): AsyncIterable<DuckDBDataChunk>;
  /** All rows of a statement of few rows. */
  rows(sql: string): Promise<readonly (readonly unknown[])[]>;
}

/** An abort ends what runs. */
export async function openLogReader(engine: Engine, signal: AbortSignal): Promise<LogReader> {
  signal.throwIfAborted();
  const connection = await engine.connect();
  const interruption = interruptOnAbort(connection, signal);
  const failed = (error: unknown): unknown => {
    signal.throwIfAborted();
    return storageError(error, 'read logs');
  };
  async function* chunks(sql: string): AsyncGenerator<DuckDBDataChunk> {
    try {
      signal.throwIfAborted();
      const result = await connection.stream(sql);
      for (;;) {
        const chunk = await result.fetchChunk();
        signal.throwIfAborted();
        if (chunk === null || chunk.rowCount === 0) return;
        yield chunk;
      }
    } catch (error) {
      throw failed(error);
    }
  }
  return {
    chunks,
    rows: async (sql) => {
      const rows: (readonly unknown[])[] = [];
      for await (const chunk of chunks(sql)) rows.push(...chunk.getRows());
      return rows;
    },
    [Symbol.asyncDispose]: async () => {
      interruption[Symbol.dispose]();
      connection.closeSync();
    },
  };
}
