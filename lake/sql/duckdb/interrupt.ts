import type { DuckDBConnection } from '@duckdb/node-api';

const interruptAgainMs = 100;

/**
 * Interrupts what runs on the connection when the signal is aborted, until it is disposed: DuckDB forgets an
 * interruption that comes before a statement has begun, so it is repeated.
 */
export function interruptOnAbort(connection: DuckDBConnection, signal: AbortSignal): Disposable {
  let again: NodeJS.Timeout | undefined;
  const interrupt = (): void => {
    connection.interrupt();
    again = setTimeout(interrupt, interruptAgainMs);
  };
  if (signal.aborted) interrupt();
  else signal.addEventListener('abort', interrupt, { once: true });
  return {
    [Symbol.dispose]: () => {
      clearTimeout(again);
      signal.removeEventListener('abort', interrupt);
    },
  };
}
