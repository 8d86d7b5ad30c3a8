import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Part, readKey, startPart, temporaryFolder } from '../../harness/firn.ts';
import { childrenOf, cpuSeconds, memoryBytes, waitFor } from '../../harness/process.ts';

// A result of more than two gigabytes, and clients that stop reading it: each of the two processes between DuckDB and the
// client waits, and keeps next to nothing.

const rows = 10_000_000;
const rowsSql = (count: number): string =>
  `SELECT i, repeat('x', 200) || i AS text, i / 8.0 AS part FROM generate_series(1, ${count}) t(i)`;
/** What the processes may grow by: buffers of sockets, the chunks that DuckDB has ready, garbage not collected yet. */
const growthBytesMax = 120 * 2 ** 20;

const folder = temporaryFolder();
let cloud: Part;
let key: { readonly id: string; readonly secret: string };

beforeAll(async () => {
  const data = join(folder.path, 'cloud');
  cloud = await startPart('cloud', ['--data-dir', data, '--store-path', join(folder.path, 'lake')]);
  key = readKey(join(data, 'keys', 'demo.key'));
});
afterAll(async () => {
  await cloud?.stop();
  folder[Symbol.dispose]();
});

const processes = (): readonly number[] => [cloud.pid, ...childrenOf(cloud.pid)];
const sumOf = (of: (pid: number) => number): number => processes().reduce((sum, pid) => sum + of(pid), 0);

/** Until nothing is done any more: everybody waits for the client. */
const stalled = (): Promise<boolean> =>
  waitFor('the processes to wait', 120_000, async () => {
    const before = sumOf(cpuSeconds);
    await delay(1000);
    return sumOf(cpuSeconds) - before < 0.1 || undefined;
  });

async function ask(accept: string, count: number): Promise<IncomingMessage> {
  const asked = request({
    ...{ port: cloud.port('cloudHttp'), host: '127.0.0.1', method: 'POST', path: '/api/v1/firn/sql' },
    ...{ auth: `${key.id}:${key.secret}`, headers: { accept }, agent: false },
  });
  asked.end(rowsSql(count));
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  expect(answer.statusCode).toBe(200);
  return answer;
}

async function connected(): Promise<pg.Client> {
  const { id: user, secret: password } = key;
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port: cloud.port('cloudPg'), user, password, database: 'demo' },
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Asks for the rows and stops reading after the first. */
async function firstRow(client: pg.Client, count: number): Promise<void> {
  const query = new pg.Query(rowsSql(count));
  query.on('error', () => undefined); // It is left unread.
  client.query(query);
  query.once('row', () => client.connection.stream.pause());
  await once(query, 'row');
}

const ways: readonly (readonly [string, () => Promise<() => void>])[] = [
  ...(['application/vnd.apache.arrow.stream', 'text/csv', 'application/json'] as const).map(
    (accept) =>
      [
        `HTTP ${accept}`,
        async () => {
          const answer = await ask(accept, rows);
          await once(answer, 'readable');
          return () => void answer.destroy();
        },
      ] as const,
  ),
  [
    'pgwire',
    async () => {
      const client = await connected();
      await firstRow(client, rows);
      return () => void client.connection.stream.destroy();
    },
  ],
];

test.each(ways)('%s: a client that stops reading costs little memory', async (_, begin) => {
  // What is loaded and compiled once has its memory before.
  for await (const piece of await ask('text/csv', 100_000)) expect(piece.length).toBeGreaterThan(0);
  const before = sumOf(memoryBytes);
  const cpuBefore = sumOf(cpuSeconds);
  const leave = await begin();
  await stalled();
  const grown = sumOf(memoryBytes) - before;
  leave();
  expect(grown).toBeLessThan(growthBytesMax);
  // Not the whole result was made.
  expect(sumOf(cpuSeconds) - cpuBefore).toBeLessThan(2);
  // The engine is free for others.
  const client = await connected();
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await client.end();
});
