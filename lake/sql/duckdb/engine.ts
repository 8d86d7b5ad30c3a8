import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { FirnError, messageOf } from '../../base/errors.ts';
import { type ConnectionPool, createConnectionPool } from './connection-pool.ts';

/**
 * A DuckDB instance for queries. It can read files below `directories` and nothing else; extensions can't be loaded and
 * no setting can be changed after it is open, so arbitrary SELECTs may run in it. (Statements that write are refused
 * by the SQL front before they get here.)
 */
export interface Engine extends AsyncDisposable {
  connect(): Promise<DuckDBConnection>;
  /** Connections for sessions of SQL. */
  readonly sessions: ConnectionPool;
}

export interface EngineOptions {
  /** Absolute folders that may be read. */
  readonly directories: readonly string[];
  /** Memory that query results and operators may use. */
  readonly memoryBytesMax: number;
  readonly threads: number;
  /** A folder of its own, where operators spill when memory is short; without it nothing is spilled. */
  readonly spill?: { readonly directory: string; readonly bytesMax: number };
}

export async function openEngine(options: EngineOptions): Promise<Engine> {
  // DuckDB makes the folder when it first needs it, but none above it.
  if (options.spill) mkdirSync(dirname(options.spill.directory), { recursive: true });
  const instance = await openDuckdb({
    memory_limit: `${Math.floor(options.memoryBytesMax / 1e6)}MB`,
    threads: String(options.threads),
  });
  const connection = await instance.connect();
  try {
    const folders = options.directories.map((path) => (path.endsWith('/') ? path : `${path}/`));
    // DuckDB's own choice would be a folder wherever the process was started, as large as the disk.
    await connection.run(`SET temp_directory = ${sqlText(options.spill?.directory ?? '')}`);
    if (options.spill)
      await connection.run(`SET max_temp_directory_size = '${Math.floor(options.spill.bytesMax / 1e6)}MB'`);
    await connection.run(`SET TimeZone = 'UTC'`);
    await connection.run(`SET allowed_directories = [${folders.map(sqlText).join(', ')}]`);
    await connection.run('SET autoinstall_known_extensions = false');
    await connection.run('SET autoload_known_extensions = false');
    await connection.run('SET enable_external_access = false');
    await connection.run('SET lock_configuration = true');
  } finally {
    connection.closeSync();
  }
  const connect = (): Promise<DuckDBConnection> => instance.connect();
  const sessions = createConnectionPool(connect);
  return {
    connect,
    sessions,
    [Symbol.asyncDispose]: async () => {
      sessions.close();
      instance.closeSync();
    },
  };
}

/** The same, opened when the first connection is asked for: an engine that is never used costs no memory. */
export function lazyEngine(options: EngineOptions): Engine {
  let opened: Promise<Engine> | undefined;
  const open = (): Promise<Engine> => {
    opened ??= openEngine(options).catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };
  const connect = async (): Promise<DuckDBConnection> => (await open()).connect();
  const sessions = createConnectionPool(connect);
  return {
    connect,
    sessions,
    [Symbol.asyncDispose]: async () => {
      sessions.close();
      await (await opened)?.[Symbol.asyncDispose]();
    },
  };
}

/** What a statement has freed goes back to the system, of which DuckDB else keeps a hundred megabytes and more. */
const frugal = {
  allocator_background_threads: 'true',
  allocator_flush_threshold: '32MiB',
  allocator_bulk_deallocation_flush_threshold: '64MiB',
} as const;

/**
 * Opens an in-memory DuckDB with these settings; the one place where DuckDB's binary is loaded. Throws FirnError
 * `unsupported` on platforms for which DuckDB has no binary.
 */
export async function openDuckdb(settings: Record<string, string>): Promise<DuckDBInstance> {
  let duckdb: typeof import('@duckdb/node-api');
  try {
    duckdb = await import('@duckdb/node-api');
  } catch (cause) {
    throw new FirnError({
      code: 'unsupported',
      operation: 'load DuckDB',
      subject: `${process.platform}-${process.arch}`,
      message: `DuckDB has no binary for ${process.platform}-${process.arch}: ${messageOf(cause)}`,
      hint: 'SQL and PromQL are answered by the cloud for this gateway; receiving and shipping go on',
      cause,
    });
  }
  return duckdb.DuckDBInstance.create(':memory:', { ...frugal, ...settings });
}

/** A text as SQL: a literal, but that no statement can hold a NUL. */
export function sqlText(text: string): string {
  const [first = '', ...rest] = text.split('\0').map((part) => `'${part.replaceAll("'", "''")}'`);
  return rest.length === 0 ? first : `(${[first, ...rest].join(' || chr(0) || ')})`;
}
