import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'pg';
import { afterAll } from 'vitest';
import { type Postgres, postgresPrograms, startPostgres } from './postgres.ts';

/** Where tenants and keys are kept. */
export interface TenantPlace {
  readonly directory: string;
  readonly database?: string;
}

/** Each kind of place, with what makes an empty one; `canRun` is false where test/setup has not installed PostgreSQL. */
export function tenantPlaces() {
  const folder = mkdtempSync(join(tmpdir(), 'firn-tenants-'));
  let server: Postgres | undefined;
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });
  const onSqlite = async (): Promise<TenantPlace> => ({ directory: mkdtempSync(join(folder, 'sqlite-')) });
  const onPostgres = async (): Promise<TenantPlace> => {
    server ??= await startPostgres();
    const database = `postgres://postgres@127.0.0.1:${server.port}/postgres`;
    const pool = new Pool({ connectionString: database });
    await pool.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
    await pool.end();
    return { directory: mkdtempSync(join(folder, 'postgres-')), database };
  };
  return [
    { name: 'SQLite', make: onSqlite, canRun: true },
    { name: 'PostgreSQL', make: onPostgres, canRun: postgresPrograms !== undefined },
  ];
}

/** Time that passes when a test says so; whoever sleeps is woken by the end alone. */
export function heldClock(startMs: number) {
  let nowMs = startMs;
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: (_: number, signal?: AbortSignal) =>
      new Promise<void>((_resolve, reject) => {
        if (signal?.aborted) reject(signal.reason);
        signal?.addEventListener('abort', () => reject(signal.reason));
      }),
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}
