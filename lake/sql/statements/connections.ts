import type { DuckDBConnection } from '@duckdb/node-api';
import type { Engine } from '../duckdb/engine.ts';

/** A connection for one statement. */
interface Lease extends Disposable {
  readonly connection: DuckDBConnection;
  /** What ran on it has been read to its end, so that the next statement may have it; else it is closed. */
  reusable: boolean;
}

export interface Connections extends Disposable {
  lease(): Promise<Lease>;
}

/**
 * Connections of one session. Each statement has one to itself, because a result may be read slowly while others run; the
 * last that was given back is kept, because making one and naming the session in it costs more than a small statement.
 * `prepare` makes the session's facts known to it; `factsVersion` tells when they have changed.
 */
export function createConnections(
  engine: Engine,
  prepare: (connection: DuckDBConnection) => Promise<void>,
  factsVersion: () => number,
): Connections {
  let idle: { readonly connection: DuckDBConnection; readonly version: number } | undefined;
  let ended = false;
  const take = async (): Promise<{ readonly connection: DuckDBConnection; readonly version: number }> => {
    const version = factsVersion();
    const kept = idle;
    idle = undefined;
    if (kept?.version === version) return kept;
    kept?.connection.closeSync();
    const connection = await engine.connect();
    try {
      await prepare(connection);
    } catch (error) {
      connection.closeSync();
      throw error;
    }
    return { connection, version };
  };
  return {
    lease: async () => {
      const taken = await take();
      const lease: Lease = {
        connection: taken.connection,
        reusable: false,
        [Symbol.dispose]: () => {
          if (lease.reusable && !idle && !ended) idle = taken;
          else taken.connection.closeSync();
        },
      };
      return lease;
    },
    [Symbol.dispose]: () => {
      ended = true;
      idle?.connection.closeSync();
      idle = undefined;
    },
  };
}
