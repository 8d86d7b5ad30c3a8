import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Metadata } from '@grpc/grpc-js';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call, type Part, promql, readKey, run, sql, startPart, temporaryFolder } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';
import { newSequence, valuesOf, writeSequence, wrongWith } from '../harness/sequence-load.ts';
import { writeSamples } from '../harness/write-samples.ts';

// Sources without a gateway send to the cloud itself.

const folder = temporaryFolder();
const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
const dataDir = join(folder.path, 'cloud');
const program = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
type Key = ReturnType<typeof readKey>;

let cloud: Part;
let url: string;
let owner: Key;
let operator: Key;

async function start(...flags: string[]): Promise<void> {
  cloud = await startPart('cloud', ['--data-dir', dataDir, ...store, ...flags]);
  url = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
}
async function firn<T>(key: Key, ...argv: string[]): Promise<T> {
  const env = { FIRN_URL: url, FIRN_KEY: `${key.id}:${key.secret}` };
  const { code, stdout, stderr } = await run(process.execPath, [program, ...argv, '--json'], env);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as T;
}
const newKey = (tenant: string, ...flags: string[]): Promise<Key> =>
  firn<Key>(operator, 'keys', 'create', '--tenant', tenant, '--scopes', 'ingest,read', ...flags);

beforeAll(async () => {
  await start('--direct-idle-seconds', '1');
  owner = readKey(join(dataDir, 'keys', 'demo.key'));
  operator = readKey(join(dataDir, 'keys', '_operator.key'));
});
afterAll(async () => {
  await cloud?.stop();
  folder[Symbol.dispose]();
});

const nowNs = (): string => `${Date.now()}000000`;
const json = { 'Content-Type': 'application/json' };
const otlpGauge = (name: string): string =>
  JSON.stringify({
    resourceMetrics: [
      {
        scopeMetrics: [
          { metrics: [{ name, gauge: { dataPoints: [{ timeUnixNano: nowNs(), asDouble: 2 }] } }] },
        ],
      },
    ],
  });

interface Sent {
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body: () => string;
}
const push: Sent = {
  ...{ path: '/loki/api/v1/push', headers: json },
  body: () => JSON.stringify({ streams: [{ stream: { app: 'press' }, values: [[nowNs(), 'valve open']] }] }),
};
const otlpMetrics: Sent = { path: '/v1/metrics', headers: json, body: () => otlpGauge('by_otlp') };
const otlpLogs: Sent = {
  ...{ path: '/v1/logs', headers: json },
  body: () =>
    JSON.stringify({
      resourceLogs: [
        { scopeLogs: [{ logRecords: [{ timeUnixNano: nowNs(), body: { stringValue: 'otlp line' } }] }] },
      ],
    }),
};
const influx: Sent = {
  path: '/api/v2/write?bucket=plant',
  body: () => `by_influx value=3 ${nowNs()}`,
};

const send = ({ path, headers = {}, body }: Sent, key: Key | undefined, more: Record<string, string> = {}) =>
  call(`${url}${path}`, key, { method: 'POST', headers: { ...headers, ...more }, body: body() });

const statusOf = async (sent: Sent, key: Key, more?: Record<string, string>): Promise<number> =>
  (await send(sent, key, more)).status;

test('what each protocol brings is in the lake, by the tenant of the key', async () => {
  expect((await writeSamples(url, 'by_remote_write', [[Date.now(), 1]], owner)).status).toBe(204);
  const statuses = [];
  for (const sent of [push, otlpMetrics, otlpLogs]) statuses.push(await statusOf(sent, owner));
  expect(statuses).toEqual([204, 200, 200]);
  // As the client libraries of InfluxDB say who they are.
  const token = await send(influx, undefined, { Authorization: `Token ${owner.secret}` });
  expect(token.status).toBe(204);
  const rows = await waitFor('rows in the lake', 60_000, async () => {
    const metrics = await sql(
      url,
      "SELECT name, value, site, labels->>'site' FROM metrics WHERE name LIKE 'by_%' ORDER BY name",
      owner,
    );
    const lines = await sql(url, 'SELECT line, site FROM logs ORDER BY line', owner);
    return metrics.length === 3 && lines.length === 2 ? [...metrics, ...lines] : undefined;
  });
  expect(rows).toEqual([
    ['by_influx', 3, 'cloud', 'cloud'],
    ['by_otlp', 2, 'cloud', 'cloud'],
    ['by_remote_write', 1, 'cloud', 'cloud'],
    ['otlp line', 'cloud'],
    ['valve open', 'cloud'],
  ]);
  await firn(operator, 'tenants', 'create', 'other');
  const other = await newKey('other');
  expect(await sql(url, 'SELECT count(*) FROM metrics', other)).toEqual([[0]]);
});

test('OpenTelemetry’s exporter sends over gRPC, for the site of its metadata', async () => {
  const key = await newKey('demo', '--sites', 'north,south', '--signals', 'metrics');
  const sent = async (headers: Record<string, string>): Promise<string> => {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const to = `http://127.0.0.1:${cloud.port('cloudGrpc')}`;
    const exporter = new OTLPMetricExporter({ url: to, metadata, compression: 'gzip' as never });
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    const provider = new MeterProvider({ readers: [reader] });
    provider.getMeter('test').createGauge('by_grpc').record(7);
    const answer = new Promise<string>((resolve) => {
      const really = exporter.export.bind(exporter);
      exporter.export = (batch, done) =>
        really(batch, (result) => {
          done(result);
          resolve(result.error === undefined ? 'stored' : result.error.message);
        });
    });
    await provider.forceFlush().catch(() => undefined);
    await provider.shutdown().catch(() => undefined);
    return answer;
  };
  const authorization = `Bearer ${key.secret}`;
  expect(await sent({ authorization, 'x-firn-site': 'north' })).toBe('stored');
  expect(await sent({ authorization })).toMatch(/3 INVALID_ARGUMENT.*name one in the header X-Firn-Site/);
  expect(await sent({ authorization, 'x-firn-site': 'east' })).toMatch(
    /7 PERMISSION_DENIED.*not for this site/,
  );
  expect(await sent({ authorization: 'Bearer wrong' })).toMatch(/16 UNAUTHENTICATED/);
  const rows = await waitFor('the row in the lake', 60_000, async () => {
    const found = await sql(url, "SELECT DISTINCT value, site FROM metrics WHERE name = 'by_grpc'", owner);
    return found.length > 0 ? found : undefined;
  });
  expect(rows).toEqual([[7, 'north']]);
});

test('a site for which nothing comes is closed when all is shipped, and nobody waits for it', async () => {
  await waitFor('the site to be closed', 60_000, async () =>
    existsSync(join(dataDir, 'direct', 'demo', 'cloud', 'empty')) ? true : undefined,
  );
  const { warnings } = (await promql(url, 'by_otlp', owner)) as { warnings?: string[] };
  expect(warnings).toBeUndefined();
  const complete = await call(`${url}/api/v1/firn/completeness?signal=metrics`, owner);
  expect(await complete.json()).toMatchObject({ data: { complete: true } });
  expect(await statusOf(otlpMetrics, owner)).toBe(200);
  expect(existsSync(join(dataDir, 'direct', 'demo', 'cloud', 'empty'))).toBe(false);
  await waitFor('the second row', 60_000, async () => {
    const [count] = await sql(url, "SELECT count(*) FROM metrics WHERE name = 'by_otlp'", owner);
    return count?.[0] === 2 ? true : undefined;
  });
});

describe('what a key is restricted to holds for what it sends', () => {
  const siteHeader = (site: string): Record<string, string> => ({ 'X-Firn-Site': site });

  test('sites', async () => {
    const north = await newKey('demo', '--sites', 'north');
    const both = await newKey('demo', '--sites', 'north,south');
    expect(await statusOf(otlpMetrics, north, siteHeader('south'))).toBe(403);
    expect(await statusOf(otlpMetrics, both)).toBe(400);
    expect(await statusOf({ ...otlpMetrics, body: () => otlpGauge('of_site') }, north)).toBe(200);
    const of = { ...otlpMetrics, body: () => otlpGauge('of_site') };
    expect(await statusOf(of, both, siteHeader('south'))).toBe(200);
    const sites = await waitFor('rows of both sites', 60_000, async () => {
      const rows = await sql(url, "SELECT site FROM metrics WHERE name = 'of_site' ORDER BY site", owner);
      return rows.length === 2 ? rows : undefined;
    });
    expect(sites).toEqual([['north'], ['south']]);
    expect(await sql(url, "SELECT site FROM metrics WHERE name = 'of_site'", north)).toEqual([['north']]);
  });
  test('signals and labels', async () => {
    const logs = await newKey('demo', '--signals', 'logs');
    expect([await statusOf(push, logs), await statusOf(otlpMetrics, logs)]).toEqual([204, 403]);
    expect([await statusOf(otlpLogs, logs), await statusOf(influx, logs)]).toEqual([403, 403]);
    const line = await newKey('demo', '--labels', 'line=3');
    expect(await statusOf(push, line)).toBe(403);
  });
  test.each(['../other', '..', 'a/b', 'North', `${'x'.repeat(64)}`, '%2e%2e', 'a.b', '-'])(
    'no site is called %j',
    async (site) => {
      const answer = await send(otlpMetrics, owner, siteHeader(site));
      expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('X-Firn-Site')]);
      expect(existsSync(join(dataDir, 'direct', 'other'))).toBe(false);
    },
  );
});

test('limits of the tenant: each protocol says so in its own words', async () => {
  await firn(operator, 'tenants', 'create', 'fast');
  const key = await newKey('fast');
  await firn(operator, 'tenants', 'limits', 'fast', '--set', 'ingestBytesPerSecondMax=1');
  // The first makes the debt.
  expect(await statusOf(otlpMetrics, key)).toBe(200);
  const refused = async (answer: Response): Promise<string> => {
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(1);
    return answer.text();
  };
  const why = 'ingestBytesPerSecondMax = 1';
  expect(await refused(await send(push, key))).toContain(why);
  expect(await refused(await writeSamples(url, 'm', [[Date.now(), 1]], key))).toContain(why);
  expect(JSON.parse(await refused(await send(otlpMetrics, key)))).toEqual({
    code: 8,
    message: expect.stringContaining(why),
  });
  expect(JSON.parse(await refused(await send(influx, key)))).toMatchObject({
    ...{ code: 'too many requests', message: expect.stringContaining(why) },
  });
  await firn(operator, 'tenants', 'limits', 'fast', '--set', 'ingestBytesPerSecondMax=0,activeSeriesMax=2');
  const answers = [];
  for (const name of ['by_otlp', 'one_more', 'two_more'])
    answers.push(await (await send({ ...otlpMetrics, body: () => otlpGauge(name) }, key)).json());
  expect(answers).toEqual([
    {},
    {},
    { partialSuccess: { rejectedDataPoints: '1', errorMessage: expect.stringContaining('activeSeriesMax') } },
  ]);
  const usage = await firn<{ buckets: Record<string, number>[] }>(key, 'usage', '--tenant', 'fast').catch(
    (error: unknown) => error,
  );
  expect(`${usage}`).toContain('may not');
  const { buckets } = await firn<{ buckets: Record<string, number>[] }>(
    operator,
    'usage',
    '--tenant',
    'fast',
  );
  expect(buckets.at(-1)).toMatchObject({ receivedRows: 3, refusedRequests: 4 });
});

test('kill -9 at any moment loses nothing that was acknowledged, and stores nothing twice', async () => {
  const sequences = [newSequence('first'), newSequence('second')];
  for (let kill = 0; kill < 4; kill++) {
    const writers = sequences.map((sequence) =>
      writeSequence(cloud.port('cloudHttp'), sequence, undefined, owner),
    );
    await delay(1500 + 700 * kill);
    await cloud.kill();
    await Promise.all(writers.map((writer) => writer.stop()));
    await start('--direct-idle-seconds', '1');
  }
  const isEmpty = async () => existsSync(join(dataDir, 'direct', 'demo', 'cloud', 'empty')) || undefined;
  await waitFor('all to be shipped', 60_000, isEmpty);
  for (const sequence of sequences) {
    expect(sequence.acknowledged.size).toBeGreaterThan(100);
    const values = () => valuesOf(url, sequence.name, owner);
    await waitFor('all that was acknowledged', 60_000, async () =>
      (await values()).length >= sequence.acknowledged.size ? true : undefined,
    );
    // What was shipped is committed by now, also what nobody was told of.
    await delay(3_000);
    const stored = await values();
    console.log(`${sequence.sent} sent, ${sequence.acknowledged.size} acknowledged, ${stored.length} stored`);
    expect(wrongWith(sequence, stored)).toEqual([]);
  }
});

test('it can be switched off', async () => {
  await cloud.stop();
  await start('--direct-enabled', 'false');
  expect((await send(push, owner)).status).toBe(404);
});
