import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { icebirdRead } from '../contract/lake-readers.ts';
import { call, type Part, promql, readKey, run, sql, startPart, temporaryFolder } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';

// The path of a measurement through the real processes and real clients: published, stored, shipped, committed, asked.

const folder = temporaryFolder();
const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
let cloud: Part;
let gateway: Part;
let key: { id: string; secret: string };
let cloudUrl: string;
let gatewayUrl: string;

beforeAll(async () => {
  cloud = await startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store]);
  gateway = await startPart('gateway', ['--data-dir', join(folder.path, 'gateway'), ...store]);
  key = readKey(String(cloud.ready.keyFile));
  cloudUrl = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
  gatewayUrl = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
});
afterAll(async () => {
  await gateway?.stop();
  await cloud?.stop();
  folder[Symbol.dispose]();
});

async function publish(topic: string, payload: string): Promise<void> {
  const program = findProgram('mosquitto_pub');
  if (program) {
    const result = await run(program, [
      '-h',
      '127.0.0.1',
      '-p',
      `${gateway.port('mqtt')}`,
      '-q',
      '1',
      '-t',
      topic,
      '-m',
      payload,
    ]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    return;
  }
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
  await client.publishAsync(topic, payload, { qos: 1 });
  await client.endAsync();
}

describe('a reading that is published', () => {
  test('is answered by the gateway at once and by the cloud soon after', async () => {
    const start = performance.now();
    await publish('plant/line1/temperature', '21.5');
    const published = performance.now();
    const local = await waitFor(
      'the gateway to answer',
      5000,
      async () => (await promql(gatewayUrl, 'temperature')).data.result[0],
    );
    const localMs = performance.now() - published;
    const central = await waitFor(
      'the cloud to answer',
      15_000,
      async () => (await promql(cloudUrl, 'temperature', key)).data.result[0],
    );
    const centralMs = performance.now() - start;
    for (const series of [local, central]) {
      expect(series.value[1]).toBe('21.5');
      expect(series.metric).toMatchObject({
        __name__: 'temperature',
        topic: 'plant/line1/temperature',
        site: 'demo-site',
        gateway: 'gateway-1',
      });
    }
    expect(local.metric).toEqual(central.metric);
    console.log(`published -> gateway ${localMs.toFixed(0)} ms, -> cloud ${centralMs.toFixed(0)} ms`);
  });

  test('as JSON, text or rubbish is kept in its own way, and the connection goes on', async () => {
    const client = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
    const sentMs = Date.now() - 60_000;
    await client.publishAsync(
      'plant/line2/press',
      JSON.stringify({ force: 12.5, motor: { rpm: 1480 }, running: true }),
      { qos: 1 },
    );
    await client.publishAsync('plant/line2/flow', JSON.stringify({ value: 7.25, ts: sentMs }), { qos: 1 });
    await client.publishAsync('plant/line2/log', 'belt stopped', { qos: 1 });
    await client.publishAsync('plant/line2/press', '{"force": 12.', { qos: 1 });
    await client.publishAsync('plant/line2/blob', Buffer.from([0xff, 0xfe, 0, 1]), { qos: 1 });
    await client.publishAsync('plant/line2/after', '1', { qos: 2 });
    await client.endAsync();
    for (const [query, value] of [
      ['force', '12.5'],
      ['motor_rpm', '1480'],
      ['running', '1'],
      ['after', '1'],
    ] as const) {
      expect((await promql(gatewayUrl, query)).data.result.map((series) => series.value[1])).toEqual([value]);
    }
    const at = await promql(gatewayUrl, 'timestamp(flow)');
    expect(Number(at.data.result[0]?.value[1]) * 1000).toBeCloseTo(sentMs, 0);
    const lines = await sql(gatewayUrl, `SELECT line, labels->>'stream' AS stream FROM logs ORDER BY line`);
    expect(lines).toEqual(
      expect.arrayContaining([
        ['belt stopped', null],
        ['{"force": 12.', 'dead-letter'],
      ]),
    );
    expect(lines.filter(([, stream]) => stream === 'dead-letter')).toHaveLength(2);
  });
});

describe('the keys of tenants', () => {
  test.each([
    ['no key', undefined],
    ['a wrong secret', { id: 'x', secret: 'y' }],
  ])('%s is refused everywhere', async (_, who) => {
    const http = await call(`${cloudUrl}/api/v1/query?query=up`, who);
    expect(http.status).toBe(401);
    const psql = findProgram('psql');
    if (!psql) return;
    const result = await run(
      psql,
      [
        '-w',
        '-h',
        '127.0.0.1',
        '-p',
        `${cloud.port('cloudPg')}`,
        '-U',
        who?.id ?? 'nobody',
        'demo',
        '-c',
        'SELECT 1',
      ],
      { PGPASSWORD: who?.secret ?? 'none' },
    );
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/password authentication failed/);
  });

  test('the key file is for its owner alone', async () => {
    const path = String(cloud.ready.keyFile);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, 'utf8')).toContain(key.id);
  });
});

describe.skipIf(!findProgram('psql'))('psql (skipped where it is not installed)', () => {
  const psql = async (port: number, statement: string): Promise<string> => {
    const result = await run(
      findProgram('psql') ?? '',
      ['-w', '-h', '127.0.0.1', '-p', `${port}`, '-U', key.id, 'demo', '-A', '-t', '-c', statement],
      { PGPASSWORD: key.secret },
    );
    expect(result.stderr).toBe('');
    return result.stdout.trim();
  };

  test('the statements of the README, verbatim', async () => {
    const nowMs = Date.now();
    await publish('shop/http_requests_total', JSON.stringify({ value: 42, ts: nowMs - 1000 }));
    await waitFor(
      'the cloud to have it',
      10_000,
      async () => (await promql(cloudUrl, 'http_requests_total', key)).data.result[0],
    );
    for (const column of ['timestamp', 'time']) {
      const statement = `SELECT ${column}, value, labels FROM metrics WHERE __name__ = 'http_requests_total' AND ${column} > now() - interval '1 hour' ORDER BY ${column} DESC;`;
      for (const port of [cloud.port('cloudPg'), gateway.port('gatewayPg')]) {
        expect(await psql(port, statement)).toMatch(
          /^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00\|42\|\{"__name__":"http_requests_total",.*"topic":"shop\/http_requests_total"\}$/,
        );
      }
    }
    const logs = `SELECT timestamp, message, labels FROM logs WHERE labels->>'service' = 'api-gateway' AND timestamp > now() - interval '30 minutes';`;
    expect(await psql(cloud.port('cloudPg'), logs)).toBe('');
    expect(
      await psql(
        cloud.port('cloudPg'),
        `SELECT message FROM logs WHERE labels->>'topic' = 'plant/line2/log' AND timestamp > now() - interval '30 minutes';`,
      ),
    ).toBe('belt stopped');
  });
});

test('an independent Iceberg reader sees the same rows as SQL', async () => {
  const table = pathToFileURL(join(folder.path, 'lake', 'demo', 'lake', 'metrics')).href;
  // The gateway measures itself meanwhile, so what is compared is what was published.
  const published = (row: string): boolean => row.includes('"topic":');
  const statement = `SELECT name, series_id::text, epoch_ms(timestamp)::text || '000', value, labels::text, site,
    quality, device_timestamp::text, histogram, start_timestamp::text FROM metrics`;
  const expected = (await sql(cloudUrl, statement, key))
    .map((row) => row.map((value) => value ?? 'null').join(' | '))
    .filter(published);
  const { rows } = await icebirdRead(table, 'metrics');
  expect(expected.length).toBeGreaterThan(5);
  expect(rows.filter(published)).toEqual(expected.sort());
});

test('with the store cut off the gateway goes on answering, and ships everything when it is back', async () => {
  const lake = join(folder.path, 'lake');
  renameSync(lake, `${lake}.away`);
  writeFileSync(lake, 'a file where the folder was: nothing can be stored');
  await publish('plant/line3/temperature', '99.5');
  await new Promise((resolve) => setTimeout(resolve, 3000));
  expect(
    (await promql(gatewayUrl, 'temperature{topic="plant/line3/temperature"}')).data.result[0]?.value[1],
  ).toBe('99.5');
  expect(
    await sql(gatewayUrl, `SELECT count(*) FROM metrics WHERE labels->>'topic' = 'plant/line3/temperature'`),
  ).toEqual([[1]]);
  rmSync(lake);
  renameSync(`${lake}.away`, lake);
  const back = await waitFor(
    'the cloud to have it',
    30_000,
    async () => (await promql(cloudUrl, 'temperature{topic="plant/line3/temperature"}', key)).data.result[0],
  );
  expect(back.value[1]).toBe('99.5');
});

test('both stop cleanly on SIGTERM and what was published last is in the lake', async () => {
  await publish('plant/line1/last', '7');
  expect(await gateway.stop()).toBe(0);
  await waitFor(
    'the cloud to have the last reading',
    10_000,
    async () => (await promql(cloudUrl, 'last', key)).data.result[0],
  );
  expect(await cloud.stop()).toBe(0);
});
