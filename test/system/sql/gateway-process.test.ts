import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Part, startPart, temporaryFolder } from '../../harness/firn.ts';
import { waitFor } from '../../harness/process.ts';

// A gateway whose SQL is answered by a process of its own: what was received last is there, and when the process dies,
// nothing else does.

const folder = temporaryFolder();
let gateway: Part;
beforeAll(async () => {
  // The tail of the log stays one: nothing is sealed in the time of the test.
  const slow = ['--seal-interval-ms', '600000'];
  gateway = await startPart('gateway', ['--data-dir', folder.path, '--sql-process', 'own', ...slow]);
});
afterAll(async () => {
  await gateway?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

async function connected(): Promise<Client> {
  const client = new Client({
    host: '127.0.0.1',
    port: gateway.port('gatewayPg'),
    user: 'ada',
    database: 'default',
  });
  await client.connect();
  return client;
}

async function publish(value: number): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
  await client.publishAsync('hall/temperature', String(value), { qos: 1 });
  await client.endAsync();
}

/** The processes for SQL that a process has started. */
function enginesOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(/\s+/).filter(Boolean);
  const isEngine = (child: string): boolean =>
    readFileSync(`/proc/${child}/cmdline`, 'utf8').includes(join('sql-process', 'main.ts'));
  return children.filter(isEngine).map(Number);
}

const values = async (client: Client): Promise<number[]> =>
  (await client.query(`SELECT value FROM metrics WHERE name = 'temperature' ORDER BY value`)).rows.map(
    ({ value }) => value,
  );

const tailFiles = (): string[] => readdirSync(join(folder.path, 'spill', 'sql-tail'));

test.skipIf(process.platform !== 'linux')(
  'what was just received is read there, and its death is nobody else’s',
  async () => {
    expect(enginesOf(gateway.pid)).toEqual([]);
    await publish(20.5);
    const client = await connected();
    expect(await values(client)).toEqual([20.5]);
    await publish(21.5);
    expect(await values(client)).toEqual([20.5, 21.5]);
    await waitFor('files of the tail to be removed', 5000, async () =>
      tailFiles().length === 0 ? true : undefined,
    );
    const [engine = 0, ...others] = enginesOf(gateway.pid);
    expect(others).toEqual([]);
    const died = new Promise<{ code?: string }>((resolve) => client.once('error', resolve));
    const running = client
      .query('SELECT count(*) FROM metrics, generate_series(1, 1000000000000) i')
      .catch((error) => error);
    await waitFor('the view to be open', 5000, async () => (tailFiles().length === 1 ? true : undefined));
    process.kill(engine, 'SIGKILL');
    expect(await running).toMatchObject({ code: '57P02' });
    await died;
    await publish(22.5);
    const again = await connected();
    expect(await values(again)).toEqual([20.5, 21.5, 22.5]);
    const sql = async (text: string): Promise<unknown> => {
      const body = JSON.stringify({ sql: text });
      const headers = { 'content-type': 'application/json' };
      const url = `http://127.0.0.1:${gateway.port('gatewayHttp')}/api/v1/firn/sql`;
      return (await fetch(url, { method: 'POST', body, headers })).json();
    };
    expect(
      JSON.stringify(await sql(`SELECT max(value) AS m FROM metrics WHERE name = 'temperature'`)),
    ).toContain('22.5');
    expect(enginesOf(gateway.pid)).toHaveLength(1);
    expect(enginesOf(gateway.pid)).not.toContain(engine);
    await waitFor('no file of the tail to be left', 5000, async () =>
      tailFiles().length === 0 ? true : undefined,
    );
    await again.end();
  },
);
