import type { DuckDBDataChunk } from '@duckdb/node-api';
import type { Engine } from '../sql/duckdb/engine.ts';
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
    chunks,
    rows: async (sql) => {
      const rows: (readonly unknown[])[] = [];
      for await (const chunk of chunks(sql)) rows.push(...chunk.getRows());
      return rows;
    },
    [Symbol.asyncDispose]: async () => {
      signal.removeEventListener('abort', interrupt);
      connection.closeSync();
    },
  };
}
