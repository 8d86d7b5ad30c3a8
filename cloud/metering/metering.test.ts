import { Hono } from 'hono';
import { describe, expect, test } from 'vitest';
import { createLogger } from '../../lake/base/log.ts';
import { createRate } from '../../lake/base/rate.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { heldClock, type TenantPlace, tenantPlaces } from '../../test/harness/tenant-places.ts';
import { openTenantStore } from '../tenants/tenant-store.ts';
import { limitSettings } from './limits.ts';
import { meteredSession } from './metered-source.ts';
import { openMetering } from './open-metering.ts';
import { queryGate } from './query-gate.ts';

const me = { name: 'test', address: '127.0.0.1' };
const [a, b] = [tenantId('a'), tenantId('b')];
const defaults = limitSettings.parse({});
const startMs = Date.UTC(2027, 0, 31, 23, 59);

const places = tenantPlaces();
const [onSqlite] = places;
if (!onSqlite) throw new Error('there is a place without a server');
const makePlace = onSqlite.make;

async function openCloud(place: TenantPlace, clock = heldClock(startMs), storedBytes = 0) {
  const stack = new AsyncDisposableStack();
  const store = stack.use(await openTenantStore({ ...place, clock }));
  for (const tenant of [a, b]) if (!store.tenants().includes(tenant)) await store.createTenant(tenant, me);
  const metering = stack.use(
    await openMetering({
      ...{ store, defaults, logger: createLogger('silent') },
      storedBytesOf: async () => storedBytes,
    }),
  );
  return { metering, store, clock, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe.each(places)('$name', ({ make, canRun }) => {
  const testIt = test.skipIf(!canRun);

  testIt('use is counted by hour and tenant, over restarts, by several clouds together', async () => {
    const place = await make();
    const clock = heldClock(startMs);
    {
      await using first = await openCloud(place, clock);
      await using second = await openCloud(place, clock);
      first.metering.meterOf('a').ingested(10, 1000);
      first.metering.meterOf('a').peak('active_series', 7);
      second.metering.meterOf('a').ingested(5, 500);
      second.metering.meterOf('a').peak('active_series', 3);
      second.metering.meterOf('b').scanned(99);
      clock.pass(60_000);
      first.metering.meterOf('a').startQuery();
    }
    await using again = await openCloud(place, clock);
    again.metering.meterOf('a').startQuery();
    expect(await again.metering.readUsage('a', 0, clock.nowMs())).toMatchObject([
      {
        hourMs: startMs - 59 * 60_000,
        ingested_rows: 15,
        ingested_bytes: 1500,
        queries: 0,
        active_series: 7,
      },
    ]);
    clock.pass(1);
    expect(await again.metering.readUsage('a', startMs, clock.nowMs())).toMatchObject([
      { hourMs: startMs + 60_000, ingested_rows: 0, queries: 2 },
    ]);
    expect(await again.metering.readUsage('b', 0, startMs)).toMatchObject([{ scanned_bytes: 99 }]);
  });

  testIt('limits are set for one tenant, are the defaults again, and are in the audit log', async () => {
    const place = await make();
    {
      await using cloud = await openCloud(place);
      await cloud.metering.setLimits('a', { queriesMax: 2, storedBytesMax: 5 }, me);
      await cloud.metering.setLimits('a', { storedBytesMax: null }, me);
      await expect(cloud.metering.setLimits('c', {}, me)).rejects.toThrow('there is no tenant c');
      const [line] = await cloud.store.auditLog({ tenant: 'a', limit: 1 });
      expect(line).toMatchObject({ action: 'set limits', detail: { storedBytesMax: null } });
    }
    await using cloud = await openCloud(place);
    expect(cloud.metering.meterOf('a').limits).toEqual({ ...defaults, queriesMax: 2 });
    expect(cloud.metering.meterOf('b').limits).toEqual(defaults);
  });
});

test('what is sent too fast is told when to come again, and nobody else is', async () => {
  await using cloud = await openCloud(await makePlace());
  await cloud.metering.setLimits('a', { ingestRowsPerSecondMax: 100 }, me);
  const meter = cloud.metering.meterOf('a');
  meter.admit(10);
  meter.received(500);
  const refused = expect.objectContaining({ code: 'limit', subject: 'ingestRowsPerSecondMax' });
  expect(() => meter.admit(10)).toThrow(refused);
  cloud.metering.meterOf('b').admit(10);
  cloud.clock.pass(2_999);
  expect(() => meter.admit(10)).toThrow(expect.objectContaining({ retryAfterMs: 1 }));
  cloud.clock.pass(2);
  meter.admit(10);
  expect(await cloud.metering.readUsage('a', 0, cloud.clock.nowMs())).toMatchObject([
    { received_rows: 500, received_bytes: 20, refused_requests: 2 },
  ]);
});

test('a tenant that stores too much may send no more', async () => {
  await using cloud = await openCloud(await makePlace(), heldClock(startMs), 1001);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await cloud.metering.setLimits('a', { storedBytesMax: 1000 }, me);
  expect(() => cloud.metering.meterOf('a').admit(1)).toThrow('storedBytesMax = 1000');
  cloud.metering.meterOf('b').admit(1);
});

test.each([
  ['/api/v1/query', { status: 'error', errorType: 'too_many_requests' }],
  ['/loki/api/v1/query', 'queriesMax'],
  ['/api/v1/firn/sql', { error: { code: '53400' } }],
])('%s: a query too many is refused in the words of its API', async (path, said) => {
  await using cloud = await openCloud(await makePlace());
  await cloud.metering.setLimits('a', { queriesMax: 1 }, me);
  const app = new Hono<{ Variables: { access: unknown } }>();
  app.use('*', async (c, next) => {
    c.set('access', { tenant: a });
    await next();
  });
  app.use('*', queryGate(cloud.metering.meterOf));
  app.get('*', (c) => c.text('answered'));
  const end = cloud.metering.meterOf('a').startQuery();
  const answer = await app.request(path);
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '1']);
  const text = await answer.text();
  if (typeof said === 'string') expect(text).toContain(said);
  else expect(JSON.parse(text)).toMatchObject(said);
  end();
  for (let again = 0; again < 3; again++) expect((await app.request(path)).status).toBe(200);
});

test('queries may look into so many bytes an hour, also after a restart', async () => {
  const place = await makePlace();
  const clock = heldClock(startMs);
  {
    await using cloud = await openCloud(place, clock);
    await cloud.metering.setLimits('a', { scannedBytesPerHourMax: 1000 }, me);
    cloud.metering.meterOf('a').startQuery()();
    cloud.metering.meterOf('a').scanned(1000);
  }
  await using cloud = await openCloud(place, clock);
  const late = expect.objectContaining({ subject: 'scannedBytesPerHourMax', retryAfterMs: 60_000 });
  expect(() => cloud.metering.meterOf('a').startQuery()).toThrow(late);
  clock.pass(60_000);
  cloud.metering.meterOf('a').startQuery();
});

test('a SQL statement is one query, from its first table to its last', async () => {
  let running = 0;
  const meter = {
    startQuery: () => {
      running++;
      return () => void running--;
    },
  };
  const view = { from: '', filesConsidered: 0, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined };
  const tables = { tenant: a, open: async () => view, metricMetadata: async () => [] };
  const session = meteredSession({ tables }, meter);
  const first = await session.tables.open('metrics', {});
  const second = await session.tables.open('logs', {});
  expect(running).toBe(1);
  await first[Symbol.asyncDispose]();
  expect(running).toBe(1);
  await second[Symbol.asyncDispose]();
  expect(running).toBe(0);
  const failing = meteredSession(
    { tables: { ...tables, open: () => Promise.reject(new Error('gone')) } },
    meter,
  );
  await expect(failing.tables.open('metrics', {})).rejects.toThrow('gone');
  expect(running).toBe(0);
});

test('a rate lets in on average what it says, whatever its pieces', () => {
  const clock = heldClock(startMs);
  const rate = createRate(() => 50, clock.monotonicMs);
  let taken = 0;
  for (let ms = 0; ms < 60_000; ms += 10) {
    clock.pass(10);
    if (rate.waitMs() > 0) continue;
    rate.take(70);
    taken += 70;
  }
  expect(taken / 60).toBeGreaterThan(50);
  expect(taken / 60).toBeLessThan(50 + (2 * 50 + 70) / 60);
});
