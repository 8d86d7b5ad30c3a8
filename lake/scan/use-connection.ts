import type { DuckDBConnection } from '@duckdb/node-api';
import type { Engine } from '../sql/duckdb/engine.ts';
import { interruptOnAbort } from '../sql/duckdb/interrupt.ts';
import { storageError } from './storage-error.ts';

/** Runs statements on a connection of its own, which is closed after them; what runs ends when the signal is aborted. */
export async function useConnection<T>(
  engine: Engine,
  signal: AbortSignal,
  use: (connection: DuckDBConnection) => Promise<T>,
): Promise<T> {
  const connection = await engine.connect();
  const interruption = interruptOnAbort(connection, signal);
  try {
    return await use(connection);
  } catch (error) {
    signal.throwIfAborted();
    throw storageError(error, 'read series');
  } finally {
    interruption[Symbol.dispose]();
    connection.closeSync();
  }
}
