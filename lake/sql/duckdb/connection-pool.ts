import type { DuckDBConnection, DuckDBPreparedStatement } from '@duckdb/node-api';

// Connections of an engine, kept with what was prepared on them: to make one and tell it who asks costs more than a small
// statement does.

/** Connections that wait for a session. */
const waitingMax = 16;
/** Statements that a connection keeps prepared; longer ones are not kept. */
const preparedMax = 16;
const preparedTextMax = 4096;

export interface PooledConnection {
  readonly connection: DuckDBConnection;
  /** The SQL that has told it who asks, and how. */
  readonly facts: string;
  /** Prepares a statement, or takes the one that was kept. `keep`: for the next time, too. */
  prepare(sql: string, keep: boolean): Promise<PreparedLease>;
}

interface PreparedLease extends Disposable {
  readonly prepared: DuckDBPreparedStatement;
}

export interface ConnectionPool {
  /** One that was given back with these facts, or a new one, to which they are told. */
  take(facts: string): Promise<PooledConnection>;
  /** What ran on it must have been read to its end; else it is closed instead. */
  giveBack(connection: PooledConnection): void;
  close(): void;
}

export function createConnectionPool(connect: () => Promise<DuckDBConnection>): ConnectionPool {
  /** The latest last. */
  const waiting: PooledConnection[] = [];
  let isClosed = false;
  return {
    take: async (facts) => {
      const found = waiting.findLastIndex((each) => each.facts === facts);
      const [known] = found < 0 ? [] : waiting.splice(found, 1);
      if (known) return known;
      const connection = await connect();
      try {
        await connection.run(facts);
      } catch (error) {
        connection.closeSync();
        throw error;
      }
      return { connection, facts, prepare: preparing(connection) };
    },
    giveBack: (connection) => {
      waiting.push(connection);
      if (isClosed || waiting.length > waitingMax) waiting.shift()?.connection.closeSync();
    },
    close: () => {
      isClosed = true;
      for (const { connection } of waiting.splice(0)) connection.closeSync();
    },
  };
}

function preparing(connection: DuckDBConnection): PooledConnection['prepare'] {
  /** By their text, the latest last. */
  const kept = new Map<string, DuckDBPreparedStatement>();
  return async (sql, keep) => {
    const prepared = kept.get(sql) ?? (await connection.prepare(sql));
    kept.delete(sql);
    return {
      prepared,
      [Symbol.dispose]: () => {
        if (!keep || sql.length > preparedTextMax) return prepared.destroySync();
        kept.set(sql, prepared);
        for (const [oldest, statement] of kept) {
          if (kept.size <= preparedMax) return;
          kept.delete(oldest);
          statement.destroySync();
        }
      },
    };
  };
}
