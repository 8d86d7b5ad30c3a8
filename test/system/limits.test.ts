import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call, type Part, readKey, run, sql, startPart, temporaryFolder } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';

// What a tenant may use and has used, in a running cloud.

const folder = temporaryFolder();
const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
const program = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
type Key = ReturnType<typeof readKey>;
interface Usage {
  readonly limits: Record<string, number>;
  readonly buckets: readonly Record<string, number | string>[];
}

let cloud: Part;
let url: string;
let owner: Key;
let operator: Key;

const start = async (): Promise<void> => {
  cloud = await startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store]);
  url = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
};
async function firn<T>(key: Key, ...argv: string[]): Promise<T> {
  const env = { FIRN_URL: url, FIRN_KEY: `${key.id}:${key.secret}` };
  const { code, stdout, stderr } = await run(process.execPath, [program, ...argv, '--json'], env);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

beforeAll(async () => {
  await start();
  owner = readKey(join(folder.path, 'cloud', 'keys', 'demo.key'));
  operator = readKey(join(folder.path, 'cloud', 'keys', '_operator.key'));
  await using gateway = await startPart('gateway', [
    ...['--data-dir', join(folder.path, 'gateway'), ...store, '--seal-interval-ms', '300'],
  ]);
  const timeUnixNano = `${Date.now()}000000`;
  const metrics = [{ name: 'heat', gauge: { dataPoints: [{ timeUnixNano, asDouble: 1 }] } }];
  const sent = await fetch(`http://127.0.0.1:${gateway.port('gatewayHttp')}/v1/metrics`, {
    ...{ method: 'POST', headers: { 'Content-Type': 'application/json' } },
    body: JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }),
  });
  expect(sent.status).toBe(200);
  await waitFor('rows in the cloud', 60_000, async () => {
    const [count] = await sql(url, "SELECT count(*) FROM metrics WHERE name = 'heat'", owner);
    return count?.[0] === 1 ? true : undefined;
  });
});
afterAll(async () => {
  await cloud?.stop();
  folder[Symbol.dispose]();
});

test('the tenant sees what it has used, also after a restart', async () => {
  await cloud.stop();
  await start();
  const { buckets, limits } = await firn<Usage>(owner, 'usage', '--tenant', 'demo', '--by', 'hour');
  expect(limits).toMatchObject({ queriesMax: 100, scannedBytesPerHourMax: 0 });
  const sum = (name: string): number => buckets.reduce((all, bucket) => all + Number(bucket[name]), 0);
  // The gateway's own health metrics came with it.
  expect(sum('ingestedRows')).toBeGreaterThan(1);
  for (const name of ['ingestedBytes', 'queries', 'scannedBytes', 'storedBytes'])
    expect([name, sum(name)]).not.toEqual([name, 0]);
});

test('an operator sets limits; what is beyond them is refused in the words of each API', async () => {
  await expect(firn(owner, 'tenants', 'limits', 'demo', '--set', 'queriesMax=1')).rejects.toThrow('may not');
  await expect(firn(operator, 'tenants', 'limits', 'demo', '--set', 'wings=1')).rejects.toThrow('wings');
  await expect(firn(operator, 'tenants', 'limits', 'demo', '--set', 'queriesMax=-1')).rejects.toThrow(
    '--set: "queriesMax=-1" is not NAME=NUMBER',
  );
  const set = await firn(operator, 'tenants', 'limits', 'demo', '--set', 'scannedBytesPerHourMax=1');
  expect(set).toMatchObject({ scannedBytesPerHourMax: 1, queriesMax: 100 });
  const asked = async (path: string, init?: RequestInit) => {
    const answer = await call(`${url}${path}`, owner, init);
    expect([path, answer.status]).toEqual([path, 429]);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(Number(answer.headers.get('retry-after'))).toBeLessThanOrEqual(3600);
    return answer.text();
  };
  expect(JSON.parse(await asked('/api/v1/query?query=heat'))).toMatchObject({
    ...{ status: 'error', errorType: 'too_many_requests' },
    error: expect.stringContaining('scannedBytesPerHourMax = 1'),
  });
  expect(await asked('/loki/api/v1/labels')).toContain('scannedBytesPerHourMax = 1');
  const statement = { method: 'POST', body: 'SELECT count(*) FROM metrics' };
  expect(JSON.parse(await asked('/api/v1/firn/sql', statement))).toMatchObject({ error: { code: '53400' } });
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port: cloud.port('cloudPg'), database: 'demo' },
    ...{ user: owner.id, password: owner.secret },
  });
  await client.connect();
  try {
    await expect(client.query(statement.body)).rejects.toMatchObject({
      ...{ code: '53400', message: expect.stringContaining('scannedBytesPerHourMax') },
    });
    await firn(operator, 'tenants', 'limits', 'demo', '--set', 'scannedBytesPerHourMax=default');
    expect((await client.query("SELECT count(*)::int AS n FROM metrics WHERE name = 'heat'")).rows).toEqual([
      { n: 1 },
    ]);
  } finally {
    await client.end();
  }
  const { buckets } = await firn<Usage>(owner, 'usage', '--tenant', 'demo');
  expect(buckets.at(-1)).toMatchObject({ refusedRequests: 4 });
});

test('the API describes them', async () => {
  const answer = await call(`${url}/api/v1/firn/admin/openapi.json`, owner);
  const { paths } = (await answer.json()) as { paths: Record<string, { get: { parameters: object[] } }> };
  expect(paths['/api/v1/firn/admin/tenants/{tenant}/usage']?.get.parameters).toMatchObject([
    ...[
      { name: 'tenant', in: 'path' },
      { name: 'from', in: 'query' },
      { name: 'to', in: 'query' },
    ],
    { name: 'by', in: 'query', schema: { enum: ['hour', 'day'] } },
  ]);
});
