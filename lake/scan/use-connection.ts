import type { DuckDBConnection } from '@duckdb/node-api';
import type { Engine } from '../sql/duckdb/engine.ts';
import { storageError } from './storage-error.ts';

/** Runs statements on a connection of its own, which is closed after them; what runs ends when the signal is aborted. */
export async function useConnection<T>(
  engine: Engine,
  signal: AbortSignal,
  use: (connection: DuckDBConnection) => Promise<T>,
): Promise<T> {
  const connection = await engine.connect();
  const interrupt = (): void => connection.interrupt();
  signal.addEventListener('abort', interrupt, { once: true });
  try {
    return await use(connection);
  } catch (error) {
    signal.throwIfAborted();
    throw storageError(error, 'read series');
  } finally {
    signal.removeEventListener('abort', interrupt);
    connection.closeSync();
  }
}
