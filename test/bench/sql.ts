import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';
import { call, type Part, readKey, run, startPart } from '../harness/firn.ts';
import { type Postgres, postgresPrograms, startPostgres } from '../harness/postgres.ts';
import { childrenOf, cpuSeconds, peakMemoryBytes } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';
import { readCommand } from './flags.ts';
import { forget, makeLake } from './sql-lake.ts';

// SQL clients on a real cloud, beside a real PostgreSQL on the same rows and beside plain DuckDB on the same files.

const streamedRows = 1_000_000;
const rounds = 3;
const pgbenchSeconds = 5;
const psqlProgram = findProgram('psql') ?? 'psql';

interface Subject {
  readonly name: string;
  readonly url: string;
  /** CPU seconds of the server so far. */
  readonly cpu: () => number;
}

export async function main(argv: readonly string[]): Promise<void> {
  const flags = { rows: { type: 'string', default: '10000000', about: 'that are aggregated' } } as const;
  const { values, parts: chosen } = readCommand(argv, flags, ['connect', 'stream', 'aggregate', 'pgbench']);
  const rows = Number(values.rows);
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-sql-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => forget(folder));
  console.log(`making ${rows} rows`);
  const { storePath, files } = await makeLake(folder, Math.max(rows, streamedRows));
  const dataDir = join(folder, 'cloud');
  const cloud = stack.use(
    await startPart('cloud', [
      ...['--data-dir', dataDir, '--store-path', storePath, '--log-level', 'error'],
      ...['--maintain-interval-ms', '86400000', '--pgwire-connections-max', '200'],
    ]),
  );
  const { keyFile } = cloud.ready;
  const key = readKey(String(keyFile));
  const firn: Subject = {
    name: 'Firn',
    url: `postgresql://${key.id}:${encodeURIComponent(key.secret)}@127.0.0.1:${cloud.port('cloudPg')}/demo`,
    cpu: () => familyOf(cloud.pid).reduce((sum, pid) => sum + cpuSeconds(pid), 0),
  };
  const postgres = postgresPrograms === undefined ? undefined : stack.use(await startPostgres());
  if (!postgres) console.log('PostgreSQL is not installed (test/setup): measured without it');
  const subjects = [firn, ...(postgres ? [await postgresWith(postgres, files[0] ?? '', folder)] : [])];
  const parts: Readonly<Record<string, () => Promise<void>>> = {
    connect: () => benchConnections(subjects),
    stream: () => benchStream(subjects, cloud, key),
    aggregate: () => benchAggregate(firn, files, rows),
    ...(postgres && { pgbench: () => benchPgbench(subjects, folder) }),
  };
  for (const name of chosen) await parts[name]?.();
  const peak = familyOf(cloud.pid).map((pid) => Math.round(peakMemoryBytes(pid) / 2 ** 20));
  console.log(`peak memory of the cloud's processes: ${peak.join(' + ')} MiB`);
}

/** A process and its children, which have its work. */
function familyOf(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(familyOf)];
}

/** The same rows as a table of PostgreSQL's, loaded from text. */
async function postgresWith({ connection, port }: Postgres, file: string, folder: string): Promise<Subject> {
  const csv = join(folder, 'rows.csv');
  const duckdb = await openDuckdb({ threads: '2' });
  const writer = await duckdb.connect();
  await writer.run(
    `COPY (SELECT name, timestamp, value, labels, site FROM read_parquet(${sqlText(file)})) TO ${sqlText(csv)} (FORMAT csv, HEADER false)`,
  );
  writer.closeSync();
  duckdb.closeSync();
  const url = `postgresql://postgres@127.0.0.1:${port}/postgres`;
  const client = new pg.Client(connection);
  await client.connect();
  await client.query(
    'CREATE TABLE metrics (name text, timestamp timestamptz, value float8, labels text, site text)',
  );
  await psql(url, `\\copy metrics from '${csv}' with (format csv)`);
  await client.query('VACUUM ANALYZE metrics');
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const postmaster = Number(statOf(rows[0]?.pid ?? 0)[1]);
  await client.end();
  return { name: 'PostgreSQL 15', url, cpu: () => cpuWithEnded(postmaster) };
}

/** What follows the name in a process' `stat`. */
const statOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .trim()
    .split(' ');

/** Of a process, of the children that it has and of those that it had. */
function cpuWithEnded(pid: number): number {
  const ended = statOf(pid);
  const live = familyOf(pid).reduce((sum, each) => sum + cpuOfLiving(each), 0);
  return live + (Number(ended[13]) + Number(ended[14])) / 100;
}

/** A backend may end between being listed and being looked at; its time is its parent's then. */
function cpuOfLiving(pid: number): number {
  try {
    return cpuSeconds(pid);
  } catch {
    return 0;
  }
}

const connect = async ({ url }: Subject): Promise<pg.Client> => {
  const client = new pg.Client(url);
  await client.connect();
  return client;
};

/** To connect, ask once and leave, one after another and from 64 at a time; and to ask on an open connection. */
async function benchConnections(subjects: readonly Subject[]): Promise<void> {
  console.log('\nconnect + SELECT 1, ms               p50      p99');
  const visit = async (subject: Subject): Promise<number> => {
    const startMs = performance.now();
    const client = await connect(subject);
    await client.query('SELECT 1');
    const ms = performance.now() - startMs;
    await client.end();
    return ms;
  };
  for (const at of [1, 64]) {
    for (const subject of subjects) {
      await visit(subject);
      const times: number[] = [];
      const visitor = async (): Promise<void> => {
        for (let left = Math.ceil(320 / at); left > 0; left--) times.push(await visit(subject));
      };
      const before = subject.cpu();
      await Promise.all(Array.from({ length: at }, visitor));
      const cpuMs = ((subject.cpu() - before) * 1000) / times.length;
      console.log(
        `${label(subject.name, `${at} at a time`)}${quantiles(times)}   ${cpuMs.toFixed(1)} ms CPU each`,
      );
    }
  }
  for (const subject of subjects) {
    const client = await connect(subject);
    const times: number[] = [];
    for (let left = 1000; left > 0; left--) {
      const startMs = performance.now();
      await client.query('SELECT 1');
      times.push(performance.now() - startMs);
    }
    await client.end();
    console.log(`${label(subject.name, 'connected')}${quantiles(times)}`);
  }
}

const label = (name: string, what: string): string => `${name.padEnd(15)} ${what.padEnd(18)}`;

function quantiles(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  return [0.5, 0.99]
    .map((q) =>
      (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0).toFixed(2).padStart(9),
    )
    .join('');
}

const streamedSql = `SELECT name, timestamp, value, labels, site FROM metrics LIMIT ${streamedRows}`;

/** A million rows of five columns, to psql and over HTTP. */
async function benchStream(
  subjects: readonly Subject[],
  cloud: Part,
  key: { readonly id: string; readonly secret: string },
): Promise<void> {
  console.log(`\n${streamedRows} rows of 5 columns         s     CPU-s of the server   MB`);
  const show = (name: string, what: string, seconds: number, cpu: number, bytes: number): void =>
    console.log(
      `${label(name, what)}${seconds.toFixed(2).padStart(9)}${cpu.toFixed(2).padStart(9)}${(bytes / 1e6).toFixed(0).padStart(18)}`,
    );
  for (let round = 0; round < rounds; round++) {
    for (const subject of subjects) {
      for (const [what, sql] of [
        ['psql, rows', streamedSql],
        ['psql, COPY', `COPY (${streamedSql}) TO STDOUT`],
      ] as const) {
        const before = subject.cpu();
        const { seconds, bytes } = await psql(subject.url, sql);
        show(subject.name, what, seconds, subject.cpu() - before, bytes);
      }
    }
    const [firn] = subjects;
    for (const accept of ['application/vnd.apache.arrow.stream', 'text/csv', 'application/json']) {
      const before = firn?.cpu() ?? 0;
      const startMs = performance.now();
      const answer = await call(`http://127.0.0.1:${cloud.port('cloudHttp')}/api/v1/firn/sql`, key, {
        method: 'POST',
        headers: { Accept: accept },
        body: streamedSql,
      });
      let bytes = 0;
      for await (const piece of answer.body ?? []) bytes += piece.length;
      show(
        'Firn',
        `HTTP, ${accept.split(/[/.]/).at(accept.includes('arrow') ? -2 : -1)}`,
        (performance.now() - startMs) / 1000,
        (firn?.cpu() ?? 0) - before,
        bytes,
      );
    }
  }
}

/** Runs psql, throws its output away, and says how long it took and how much there was. */
async function psql(url: string, sql: string): Promise<{ readonly seconds: number; readonly bytes: number }> {
  const startMs = performance.now();
  const child = spawn(psqlProgram, [url, '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', sql], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let bytes = 0;
  child.stdout.on('data', (piece: Buffer) => {
    bytes += piece.length;
  });
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`psql ended with ${code}`);
  return { seconds: (performance.now() - startMs) / 1000, bytes };
}

const aggregates = [
  [
    'count, avg by name',
    'SELECT name, count(*), avg(value), max(value) FROM metrics GROUP BY name ORDER BY name',
  ],
  ['per hour', `SELECT date_trunc('hour', timestamp) AS hour, avg(value) FROM metrics GROUP BY 1 ORDER BY 1`],
  ['by a label', `SELECT labels->>'room' AS room, sum(value) FROM metrics GROUP BY 1 ORDER BY 1`],
] as const;

/** The same statements by Firn and by a plain DuckDB that reads the same files. */
async function benchAggregate(firn: Subject, files: readonly string[], rows: number): Promise<void> {
  console.log(`\naggregates over ${rows} rows, s       Firn   DuckDB    ratio`);
  const duckdb = await openDuckdb({ threads: '2', memory_limit: '1GB' });
  const connection = await duckdb.connect();
  await connection.run(`SET TimeZone = 'UTC'`);
  await connection.run(`CREATE VIEW metrics AS SELECT * FROM read_parquet([${files.map(sqlText).join()}])`);
  const client = await connect(firn);
  for (const [what, sql] of aggregates) {
    const best = { firn: Number.POSITIVE_INFINITY, duckdb: Number.POSITIVE_INFINITY };
    for (let round = 0; round < rounds; round++) {
      best.firn = Math.min(best.firn, await secondsOf(() => client.query(sql)));
      best.duckdb = Math.min(best.duckdb, await secondsOf(() => connection.runAndReadAll(sql)));
    }
    console.log(
      `${what.padEnd(32)}${best.firn.toFixed(3).padStart(9)}${best.duckdb.toFixed(3).padStart(9)}${(best.firn / best.duckdb).toFixed(2).padStart(9)}`,
    );
  }
  await client.end();
  connection.closeSync();
  duckdb.closeSync();
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
}

/** Like pgbench -S, a small SELECT, from 32 clients. */
async function benchPgbench(subjects: readonly Subject[], folder: string): Promise<void> {
  const script = join(folder, 'select.sql');
  writeFileSync(script, '\\set n random(1, 1000)\nSELECT :n + 1 AS answer;\n');
  console.log('\npgbench, 32 clients');
  for (const mode of ['simple', 'extended', 'prepared']) {
    for (const { name, url, cpu } of subjects) {
      const flags = ['-n', '-c', '32', '-j', '2', '-T', String(pgbenchSeconds), '-M', mode, '-f', script];
      const before = cpu();
      const { stdout } = await run(join(postgresPrograms ?? '', 'pgbench'), [...flags, url]);
      const [, latency] = /latency average = ([\d.]+)/.exec(stdout) ?? [];
      const [, perSecond] = /tps = ([\d.]+)/.exec(stdout) ?? [];
      const [, count] = /actually processed: (\d+)/.exec(stdout) ?? [];
      const cpuMs = ((cpu() - before) * 1000) / Number(count);
      console.log(
        `${label(name, mode)}${Number(perSecond).toFixed(0).padStart(9)} a second, ${latency} ms, ${cpuMs.toFixed(3)} ms CPU each`,
      );
    }
  }
}
