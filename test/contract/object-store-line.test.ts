import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { createTokenBucket } from '../../lake/base/token-bucket.ts';
import type { ObjectStore, Pace } from '../../lake/object-store/object-store.ts';
import type { S3Limits } from '../../lake/object-store/s3/connection.ts';
import { s3Store } from '../../lake/object-store/s3/s3-store.ts';
import { type FaultProxy, startFaultProxy } from '../harness/fault-proxy.ts';

// What the S3 store makes of a bad line, and of answers that are not an S3 service's: played by a small HTTP server.

interface Got {
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  readonly atMs: number;
}
let open: AsyncDisposableStack;
let got: Got[];
let answer: (response: ServerResponse, got: Got) => void;
let proxy: FaultProxy;
beforeEach(async () => {
  open = new AsyncDisposableStack();
  got = [];
  answer = (response) => response.writeHead(200, { etag: '"e"' }).end();
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = await incoming.toArray().catch(() => []);
    const seen = { headers: incoming.headers, body: Buffer.concat(chunks), atMs: performance.now() };
    got.push(seen);
    answer(response, seen);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const targetPort = address !== null && typeof address === 'object' ? address.port : 0;
  proxy = open.use(await startFaultProxy({ targetPort }));
});
afterEach(() => open.disposeAsync());

function openStore(limits: Partial<S3Limits> = {}, endpoint = proxy.url): ObjectStore {
  const store = s3Store({
    ...{ endpoint, region: 'us-east-1', bucket: 'b', pathStyle: true },
    ...{ accessKeyId: 'id', secretAccessKey: 'secret' },
    limits: { requestAttemptsMax: 1, connectMsMax: 2000, idleMsMax: 2000, ...limits },
  });
  open.defer(() => store.close());
  return store;
}

const x = Buffer.from('x');
const errorOf = async (promise: Promise<unknown>): Promise<FirnError> => {
  const error = await promise.then(
    () => new Error('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof FirnError) return error;
  throw error;
};
const timed = async <T>(promise: Promise<T>): Promise<readonly [T, number]> => {
  const before = performance.now();
  const value = await promise;
  return [value, performance.now() - before];
};

test.each<[string, number, Record<string, string>, string, object]>([
  ['503', 503, {}, '<Error><Code>SlowDown</Code></Error>', { code: 'unavailable', answered: true }],
  ['503 with a wait', 503, { 'retry-after': '7' }, '', { code: 'unavailable', retryAfterMs: 7000 }],
  ['429 with a wait', 429, { 'retry-after': '60' }, '', { answered: true, retryAfterMs: 60_000 }],
  ['a web page', 502, { 'content-type': 'text/html' }, '<html>Bad <b>gateway</html>', { answered: true }],
  ['a redirect to a login', 302, { location: 'http://login/' }, '', { code: 'unavailable', answered: true }],
  [
    'a login page',
    200,
    { 'content-type': 'text/html' },
    '<html>Login',
    { code: 'unavailable', answered: true },
  ],
  ['403', 403, {}, '<Error><Code>AccessDenied</Code></Error>', { code: 'denied', answered: undefined }],
])('an answer of %s', async (_, status, headers, body, expected) => {
  answer = (response) => response.writeHead(status, headers).end(body);
  expect(await errorOf(openStore().put('k', x))).toMatchObject(expected);
});

test('whoever gives no answer was not reached', async () => {
  const unreached = { code: 'unavailable', answered: false, retryAfterMs: undefined };
  proxy.spoil({ kind: 'lose-reply', times: 1 });
  expect(await errorOf(openStore().put('k', x))).toMatchObject(unreached);
  await proxy.setLine({ refuse: true });
  expect(await errorOf(openStore().put('k', x))).toMatchObject(unreached);
  await proxy.setLine({ silent: true });
  expect(await errorOf(openStore().put('k', x))).toMatchObject(unreached);
  const nowhere = openStore({}, 'http://no-such-host.invalid');
  expect(await errorOf(nowhere.put('k', x))).toMatchObject(unreached);
});

test('connections that died in a silent time cost one request its wait, not each', async () => {
  const store = openStore({ idleMsMax: 4000 });
  const four = () => Promise.allSettled(['a', 'b', 'c', 'd'].map((key) => store.put(key, x)));
  await four();
  await proxy.setLine({ silent: true });
  const [, failedMs] = await timed(errorOf(store.put('k', x)));
  expect(failedMs).toBeGreaterThan(3900);
  await proxy.heal();
  // Three of the dead connections were unused all the time.
  const [, ms] = await timed(store.put('k', x));
  expect(ms).toBeLessThan(3500);
});

test('with tries of its own the store gets over dead connections by itself', async () => {
  const store = openStore({ requestAttemptsMax: 2 });
  await Promise.all(['a', 'b', 'c'].map((key) => store.put(key, x)));
  await proxy.setLine({ silent: true });
  await proxy.setLine({});
  const [, ms] = await timed(store.put('k', x));
  expect(ms).toBeGreaterThan(1900);
});

test('a connection that nobody used for a while is not used again', async () => {
  const store = openStore({ unusedMsMax: 100, idleMsMax: 20_000 });
  await store.put('k', x);
  await proxy.setLine({ silent: true });
  await proxy.setLine({});
  await systemClock.sleep(300);
  const [, ms] = await timed(store.put('k', x));
  expect(ms).toBeLessThan(10_000);
});

test("the server's time, from its answers", async () => {
  const store = openStore({ idleMsMax: 20_000 });
  expect(store.serverTime?.()).toBeUndefined();
  const serverMs = Date.UTC(2031, 4, 5, 6, 7, 8);
  const date = (ms: number) => new Date(ms).toUTCString();
  answer = (response) => response.writeHead(200, { etag: '"e"', date: date(serverMs) }).end();
  const beforeMs = performance.now();
  await store.put('k', x);
  const known = store.serverTime?.();
  expect(known?.serverMs).toBe(serverMs + 500);
  expect(known?.atMonotonicMs).toBeGreaterThan(beforeMs);
  expect(known?.atMonotonicMs).toBeLessThan(performance.now());
  expect(known?.uncertaintyMs).toBeGreaterThanOrEqual(500);
  expect(known?.uncertaintyMs).toBeLessThan(3000);
  // A slow answer tells less, and one that refuses may be anybody's.
  await proxy.setLine({ latencyMs: 1000 });
  await store.put('k', x);
  expect(store.serverTime?.()).toEqual(known);
  await proxy.heal();
  answer = (response) => response.writeHead(503, { date: date(0) }).end();
  await errorOf(store.put('k', x));
  expect(store.serverTime?.()).toEqual(known);
});

test('a gateway whose clock is wrong is refused once, and then signs with the right time', async () => {
  const nowMs = Date.now() + 10 * 365 * 24 * 3600 * 1000;
  const signedMs = ({ headers }: Got): number =>
    Date.parse(String(headers['x-amz-date']).replace(/(....)(..)(..)T(..)(..)(..)Z/, '$1-$2-$3T$4:$5:$6Z'));
  answer = (response, request) => {
    const skewed = Math.abs(signedMs(request) - nowMs) > 15 * 60_000;
    response.writeHead(skewed ? 403 : 200, { date: new Date(nowMs).toUTCString(), etag: '"e"' });
    response.end(skewed ? '<Error><Code>RequestTimeTooSkewed</Code><Message>no</Message></Error>' : '');
  };
  const store = openStore();
  expect(await errorOf(store.put('k', x))).toMatchObject({ code: 'unavailable', answered: true });
  await store.put('k', x);
  expect(got.length).toBe(2);
  expect(store.serverTime?.()?.serverMs).toBeCloseTo(nowMs, -4);
});

test('a body goes out at its pace, in small pieces, and slower than a silent line may be', async () => {
  const store = openStore({ idleMsMax: 1500 });
  const body = Buffer.alloc(100_000, 'paced ');
  const bucket = createTokenBucket(systemClock, { bytesPerSecond: 50_000, burstBytes: 10_000 });
  const [info, ms] = await timed(store.put('k', body, { pace: bucket.pace(0) }));
  expect(info).toMatchObject({ etag: 'e', sizeBytes: body.byteLength });
  expect(got[0]?.body.equals(body)).toBe(true);
  expect(got[0]?.headers['content-length']).toBe(String(body.byteLength));
  expect(ms).toBeGreaterThan(1750);
  expect(bucket.spent.bytes).toBe(body.byteLength);
});

test('the first wait comes before the signature, and before each try', async () => {
  const store = openStore({ requestAttemptsMax: 2 });
  const asked: (readonly [number, number, number])[] = [];
  const pace: Pace = async (bytes, _, { sentBytes, totalBytes }) => {
    asked.push([bytes, sentBytes, totalBytes]);
    await systemClock.sleep(sentBytes === 0 ? 1100 : 0);
  };
  proxy.spoil({ kind: 'lose-reply', times: 1 });
  await store.put('k', Buffer.alloc(10_000), { pace });
  const once = [
    [8192, 0, 10_000],
    [1808, 8192, 10_000],
  ];
  expect(asked).toEqual([...once, ...once]);
  const [first, second] = got;
  expect(first?.headers['x-amz-date']).not.toBe(second?.headers['x-amz-date']);
});

test('what pace throws is what the caller sees, at once, and nothing is left waiting', async () => {
  const store = openStore({ idleMsMax: 20_000, connectionsMax: 1 });
  const reason = new FirnError({ code: 'limit', operation: 'pace', subject: 'x', message: 'enough' });
  for (const at of [0, 16_384]) {
    const pace: Pace = async (_, __, { sentBytes }) => {
      if (sentBytes === at) throw reason;
    };
    const [error, ms] = await timed(errorOf(store.put('k', Buffer.alloc(100_000), { pace })));
    expect(error).toBe(reason);
    expect(ms).toBeLessThan(10_000);
    // The only connection is free again.
    await store.put('k', x);
  }
  const stop = new AbortController();
  const why = new Error('stop');
  const pace: Pace = (_, signal, { sentBytes }) => {
    if (sentBytes > 0) setTimeout(() => stop.abort(why), 20);
    return sentBytes === 0 ? Promise.resolve() : systemClock.sleep(60_000, signal);
  };
  await expect(store.put('k', Buffer.alloc(100_000), { pace, signal: stop.signal })).rejects.toBe(why);
  await store.put('k', x);
});

test('an answer before the whole body went out ends the request', async () => {
  const early = createServer((_, response) => {
    response.writeHead(503, { 'retry-after': '3' }).end();
  });
  early.listen(0, '127.0.0.1');
  await once(early, 'listening');
  open.defer(() => {
    early.closeAllConnections();
    early.close();
  });
  const address = early.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const store = openStore({ idleMsMax: 20_000, connectionsMax: 1 }, `http://127.0.0.1:${port}`);
  const pace: Pace = (_, signal, { sentBytes }) => systemClock.sleep(sentBytes > 20_000 ? 60_000 : 1, signal);
  for (let round = 0; round < 3; round++) {
    const [error, ms] = await timed(errorOf(store.put('k', Buffer.alloc(100_000), { pace })));
    expect(error).toMatchObject({ answered: true, retryAfterMs: 3000 });
    expect(ms).toBeLessThan(10_000);
  }
});
