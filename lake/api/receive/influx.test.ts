import { gzipSync } from 'node:zlib';
import { InfluxDB, Point } from '@influxdata/influxdb-client';
import { expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { type ErrorCode, FirnError } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import { influxLimits } from '../../receive/influx/receive.ts';
import { kept } from '../../receive/logs.fixture.ts';
import { createSeriesCache } from '../../receive/series-cache.ts';
import { createSeriesGuard } from '../../receive/series-guard.ts';
import { startHttpServer } from '../http-server.ts';
import { influxRoutes } from './influx.ts';

function setUp(options: { fails?: ErrorCode; series?: number } = {}) {
  const batches: Batch[] = [];
  const guard = createSeriesGuard(
    { activeSeriesMax: options.series ?? 0, newSeriesPerMinuteMax: 0 },
    () => 0,
  );
  const app = influxRoutes({
    append: async (...given) => {
      const { fails } = options;
      if (fails) throw new FirnError({ code: fails, operation: 'append', subject: 't', message: 'not now' });
      batches.push(...given.map(kept));
    },
    cache: createSeriesCache({ identity: [], guard }),
    limits: { ...influxLimits, bodyBytesMax: 1000, decodedBytesMax: 5000 },
    clock: systemClock,
    ownTime: () => ({ trusted: true, floorUs: 0 }),
  });
  const post = async (path: string, body: string | Buffer, headers: Record<string, string> = {}) => {
    const response = await app.request(path, { method: 'POST', body: body, headers });
    const text = await response.text();
    return { status: response.status, headers: response.headers, json: text === '' ? {} : JSON.parse(text) };
  };
  return { app, batches, post };
}

test('204 after both tables have the rows, in one append', async () => {
  const { batches, post } = setUp();
  const answer = await post('/api/v2/write?org=o&bucket=b&precision=s', 'm f=1,s="x" 1700000000');
  expect(answer.status).toBe(204);
  expect((await post('/write?db=b&u=x&p=y', gzipSync('m f=1'), { 'content-encoding': 'gzip' })).status).toBe(
    204,
  );
  expect(batches.map(({ signal, rows, series }) => [signal, rows, series.length])).toEqual([
    ['metrics', 1, 1],
    ['logs', 1, 1],
    ['metrics', 1, 0],
  ]);
});

test.each([
  [
    'm f=1\nbroken',
    {},
    400,
    'unable to parse line 2: there are no fields after the measurement and its tags',
  ],
  ['x'.repeat(1001), {}, 413, 'the body is larger than 1000 bytes'],
  [gzipSync(Buffer.alloc(6000, 'a')), { 'content-encoding': 'gzip' }, 413, 'decodedBytesMax'],
  ['no gzip', { 'content-encoding': 'gzip' }, 400, 'not valid gzip'],
  ['m f=1', { 'content-encoding': 'br' }, 415, 'send gzip, or none'],
  [Buffer.from([0x6d, 0xff]), {}, 400, 'not UTF-8'],
] as const)(
  '%s: nothing is stored, each interface has its own error',
  async (body, headers, status, message) => {
    const { batches, post } = setUp();
    const v2 = await post('/api/v2/write?bucket=b', body, headers);
    expect([v2.status, v2.json.message]).toEqual([status, expect.stringContaining(message)]);
    expect(v2.json.code).toEqual(expect.any(String));
    const v1 = await post('/write?db=b', body, headers);
    expect([v1.status, v1.json]).toEqual([status, { error: v2.json.message }]);
    expect(batches).toEqual([]);
  },
);

test('a precision that is not known', async () => {
  expect((await setUp().post('/write?precision=fortnight', 'm f=1')).json.error).toMatch(
    /use ns, us, ms or s/,
  );
});

test('no room: come back later', async () => {
  const answer = await setUp({ fails: 'unavailable' }).post('/api/v2/write', 'm f=1');
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
  expect(answer.json).toEqual({ code: 'unavailable', message: 'not now' });
});

test('one series too many: the others are stored, and the answer is not one that is tried again', async () => {
  const { batches, post } = setUp({ series: 1 });
  const answer = await post('/api/v2/write', 'm f=1\nm g=1\nm f=2');
  expect([answer.status, answer.json.message]).toEqual([
    400,
    expect.stringMatching(/^partial write: .* dropped=1$/),
  ]);
  expect(batches.map(({ rows }) => rows)).toEqual([2]);
});

test('what clients ask before they write', async () => {
  const { app } = setUp();
  expect((await app.request('/ping')).headers.get('x-influxdb-version')).toBe('1.8.10');
  expect((await app.request('/ping', { method: 'HEAD' })).status).toBe(204);
  expect(await (await app.request('/health')).json()).toMatchObject({ status: 'pass' });
  const ask = async (q: string) => {
    const body = new URLSearchParams({ q });
    return (await app.request('/query', { method: 'POST', body })).json();
  };
  expect(await ask('CREATE DATABASE "telegraf"')).toEqual({ results: [{ statement_id: 0 }] });
  expect(await ask('SHOW DATABASES')).toMatchObject({ results: [{ series: [{ values: [['firn']] }] }] });
  expect(await ask('DROP DATABASE x')).toMatchObject({
    error: expect.stringContaining('only CREATE DATABASE'),
  });
});

test('the client of InfluxDB 2 writes points of every type', async () => {
  const { app, batches } = setUp();
  await using server = await startHttpServer(app, { host: '127.0.0.1', port: 0 });
  const client = new InfluxDB({ url: `http://127.0.0.1:${server.port}`, token: 'any' });
  const api = client.getWriteApi('org', 'bucket', 'ms', { gzipThreshold: 0, maxRetries: 0 });
  api.useDefaultTags({ host: 'pi' });
  const point = new Point('press')
    .tag('line', 'one, two')
    .floatField('force', 12.5)
    .intField('strokes', 7)
    .uintField('parts', 9)
    .booleanField('running', true)
    .stringField('note', 'says "hi"\\')
    .timestamp(1_700_000_000_123);
  api.writePoint(point);
  await api.close();
  const [metrics, logs] = batches;
  expect(metrics).toMatchObject({
    signal: 'metrics',
    rows: 4,
    timestampUs: BigInt64Array.from(Array(4).fill(1_700_000_000_123_000n)),
  });
  expect(metrics?.series[0]?.labels).toBe(
    '{"__name__":"press_force","db":"bucket","host":"pi","line":"one, two"}',
  );
  expect(logs).toMatchObject({ signal: 'logs', line: ['says "hi"\\'] });
});
