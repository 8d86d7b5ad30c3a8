import type { ConnectionPool, PooledConnection } from '../duckdb/connection-pool.ts';

/** A connection for one statement. */
interface Lease extends Disposable, Pick<PooledConnection, 'connection' | 'prepare'> {
  /** What ran on it has been read to its end, so that the next statement may have it; else it is closed. */
  reusable: boolean;
}

export interface Connections extends Disposable {
  lease(): Promise<Lease>;
}

/**
 * Connections of one session. Each statement has one to itself, because a result may be read slowly while others run; the
 * last that was given back is kept. `facts` is the SQL that makes the session's facts known to a connection; another
 * `factsVersion` tells that they have changed.
 */
export function createConnections(
  pool: ConnectionPool,
  facts: () => string,
  factsVersion: () => number,
): Connections {
  let idle: PooledConnection | undefined;
  let ended = false;
  let version: number | undefined;
  let current = '';
  const take = async (): Promise<PooledConnection> => {
    if (version !== factsVersion()) {
      version = factsVersion();
      current = facts();
    }
    const kept = idle;
    idle = undefined;
    if (kept?.facts === current) return kept;
    if (kept) pool.giveBack(kept);
    return pool.take(current);
  };
  return {
    lease: async () => {
      const taken = await take();
      const lease: Lease = {
        connection: taken.connection,
        prepare: taken.prepare,
        reusable: false,
        [Symbol.dispose]: () => {
          if (!lease.reusable) taken.connection.closeSync();
          else if (idle || ended) pool.giveBack(taken);
          else idle = taken;
        },
      };
      return lease;
    },
    [Symbol.dispose]: () => {
      ended = true;
      if (idle) pool.giveBack(idle);
      idle = undefined;
    },
  };
}
