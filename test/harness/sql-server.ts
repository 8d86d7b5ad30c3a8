import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createLogger } from '../../lake/base/log.ts';
import { pgTls } from '../../lake/pgwire/encryption.ts';
import { makeScramVerifier } from '../../lake/pgwire/scram.ts';
import { type PgServer, startPgServer } from '../../lake/pgwire/server.ts';
import { constantTables, fixedClock } from '../../lake/sql/constant-tables.fixture.ts';
import { openEngine } from '../../lake/sql/duckdb/engine.ts';
import { openSqlSession } from '../../lake/sql/session.ts';

/** The PostgreSQL side of Firn over tables of constants, for real clients: user `ann`, password `pencil`. */
export interface SqlServer extends AsyncDisposable {
  readonly port: number;
  readonly connection: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly password: string;
    readonly database: string;
  };
  /** The same as libpq's environment variables. */
  readonly env: Readonly<Record<string, string>>;
}

/** What a program says that connects to the server by libpq's environment variables; `home` is its home folder. */
export async function runClient(
  server: SqlServer,
  home: string,
  program: string,
  args: readonly string[],
  stdin = '',
): Promise<string> {
  const running = promisify(execFile)(program, [...args], {
    env: { PATH: process.env.PATH, HOME: home, SQLALCHEMY_SILENCE_UBER_WARNING: '1', ...server.env },
  });
  running.child.stdin?.end(stdin);
  const { stdout, stderr } = await running;
  return stdout + stderr;
}

export async function startSqlServer(tls?: {
  readonly certFile: string;
  readonly keyFile: string;
}): Promise<SqlServer> {
  const engine = await openEngine({ directories: [], memoryBytesMax: 512e6, threads: 2 });
  const logger = createLogger('silent');
  const key = { verifier: makeScramVerifier('pencil') };
  const server: PgServer = await startPgServer({
    ...{ host: '127.0.0.1', port: 0, logger, ...(tls && pgTls({ ...tls, requireTls: false }, logger)) },
    authenticate: { kind: 'scram', keyOf: (user) => (user === 'ann' ? key : undefined) },
    openSession: async ({ user, database, parameters }) =>
      openSqlSession({
        ...{ engine, tables: constantTables(), clock: fixedClock, user, database },
        startParameters: parameters,
      }),
  });
  const connection = {
    ...{ host: '127.0.0.1', port: server.port, user: 'ann', password: 'pencil', database: 'demo' },
  };
  return {
    port: server.port,
    connection,
    env: {
      ...{ PGHOST: '127.0.0.1', PGPORT: String(server.port), PGUSER: 'ann' },
      ...{ PGPASSWORD: 'pencil', PGDATABASE: 'demo' },
    },
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}
