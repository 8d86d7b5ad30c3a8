import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';

// A real PostgreSQL, from Debian's packages, on a folder that is gone afterwards.

const debianFolder = '/usr/lib/postgresql';

/** The folder of PostgreSQL's programs, of the newest version that is installed; undefined where there is none. */
export const postgresPrograms: string | undefined = (() => {
  try {
    const versions = readdirSync(debianFolder).toSorted((a, b) => Number(b) - Number(a));
    return versions[0] && join(debianFolder, versions[0], 'bin');
  } catch {
    return undefined;
  }
})();

export interface Postgres extends AsyncDisposable {
  readonly port: number;
  readonly connection: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly database: string;
  };
}

/** Starts one that trusts whom it hears on loopback; the server refuses to run as root, so it runs as the user postgres then. */
export async function startPostgres(): Promise<Postgres> {
  const programs = postgresPrograms ?? '';
  const folder = mkdtempSync(join(tmpdir(), 'firn-postgres-'));
  const user = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {};
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  const init = ['-D', data, '-A', 'trust', '-U', 'postgres', '--locale=C.UTF-8', '-E', 'UTF8', '--no-sync'];
  execFileSync(join(programs, 'initdb'), init, { stdio: 'pipe', ...user });
  const port = await freePort();
  const settings = { port, fsync: 'off', timezone: 'UTC', listen_addresses: '127.0.0.1' };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = spawn(join(programs, 'postgres'), ['-D', data, '-k', folder, ...flags], {
    stdio: 'ignore',
    ...user,
  });
  const connection = { host: '127.0.0.1', port, user: 'postgres', database: 'postgres' };
  const postgres: Postgres = {
    port,
    connection,
    [Symbol.asyncDispose]: async () => {
      if (server.exitCode === null && server.signalCode === null) {
        const ended = once(server, 'exit');
        server.kill('SIGINT');
        await ended;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
  for (let tries = 0; ; tries++) {
    const client = new Client(connection);
    try {
      await client.connect();
      await client.end();
      return postgres;
    } catch (error) {
      if (tries < 300 && server.exitCode === null) await delay(100);
      else {
        await postgres[Symbol.asyncDispose]();
        throw error;
      }
    }
  }
}

const idOf = (flag: '-u' | '-g'): number =>
  Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  server.close();
  await once(server, 'close');
  return port;
}
