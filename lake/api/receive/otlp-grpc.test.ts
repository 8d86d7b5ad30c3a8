import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { callRpc, framed } from '../../../test/harness/grpc.ts';
import { createLogger } from '../../base/log.ts';
import { otlpLimits } from '../../receive/otlp/limits.ts';
import { type OtlpGrpcServer, startOtlpGrpc } from './otlp-grpc.ts';
import type { OtlpOutcome } from './otlp-receiver.ts';

// The wire by hand; OpenTelemetry's own client is in test/system/otlp.test.ts.

let server: OtlpGrpcServer;
let client: ClientHttp2Session;
let outcome: OtlpOutcome;
let received: [signal: string, body: string][];

const stored: OtlpOutcome = { kind: 'stored', rejected: { count: 0, messages: [] } };

beforeEach(async () => {
  outcome = stored;
  received = [];
  server = await startOtlpGrpc({
    ...{ host: '127.0.0.1', port: 0, connectionsMax: 2, logger: createLogger('error', () => undefined) },
    limits: { ...otlpLimits, bodyBytesMax: 1000, decodedBytesMax: 2000 },
    receiverFor: () => async (signal, _, body) => {
      received.push([signal, Buffer.from(body).toString()]);
      return outcome;
    },
  });
  client = connect(`http://127.0.0.1:${server.port}`);
});
afterEach(async () => {
  client.destroy();
  await server[Symbol.asyncDispose]();
});

const logs = '/opentelemetry.proto.collector.logs.v1.LogsService/Export';

const call = (path: string, body: Uint8Array, headers: Record<string, string> = {}) =>
  callRpc(client, path, body, headers);

test.each([
  [logs, 'logs'],
  ['/opentelemetry.proto.collector.trace.v1.TraceService/Export', 'traces'],
  ['/opentelemetry.proto.collector.metrics.v1.MetricsService/Export', 'metrics'],
])('%s takes %s, compressed or not', async (path, signal) => {
  expect(await call(path, framed(Buffer.from('a')))).toMatchObject({
    status: 0,
    body: framed(Buffer.alloc(0)),
  });
  const compressed = framed(gzipSync(Buffer.from('b')), 1);
  expect(await call(path, compressed, { 'grpc-encoding': 'gzip' })).toMatchObject({ status: 0 });
  expect(received).toEqual([
    [signal, 'a'],
    [signal, 'b'],
  ]);
});

test('a partial success is in the answer', async () => {
  outcome = { kind: 'stored', rejected: { count: 2, messages: ['why'] } };
  const { body } = await call(logs, framed(Buffer.from('a')));
  expect(body.subarray(5)).toEqual(Buffer.from([0x0a, 7, 0x08, 2, 0x12, 3, ...Buffer.from('why')]));
});

test.each<[OtlpOutcome, number, RegExp]>([
  [{ kind: 'later', code: 'limit', message: 'füll', retryAfterSeconds: 1 }, 8, /RetryInfo/],
  [{ kind: 'later', code: 'unavailable', message: 'füll', retryAfterSeconds: 1 }, 14, /RetryInfo/],
  [{ kind: 'invalid', message: 'füll' }, 3, /^$/],
])('%j: status %i', async (given, status, details) => {
  outcome = given;
  const answer = await call(logs, framed(Buffer.from('a')));
  expect(answer).toMatchObject({
    http: 200,
    status,
    message: 'füll',
    details: expect.stringMatching(details),
  });
});

test.each<[string, string, Uint8Array, Record<string, string>, number]>([
  ['another method', '/grpc.health.v1.Health/Check', framed(Buffer.from('')), {}, 12],
  ['too large', logs, framed(Buffer.alloc(1001)), {}, 8],
  ['a bomb', logs, framed(gzipSync(Buffer.alloc(3000)), 1), { 'grpc-encoding': 'gzip' }, 8],
  ['another encoding', logs, framed(Buffer.from('a'), 1), { 'grpc-encoding': 'br' }, 12],
  ['gzip that is none', logs, framed(Buffer.from('a'), 1), { 'grpc-encoding': 'gzip' }, 3],
  ['no message', logs, Buffer.alloc(0), {}, 3],
  ['a message that is cut off', logs, framed(Buffer.from('abc')).subarray(0, 6), {}, 3],
])('%s is refused', async (_, path, body, headers, status) => {
  const answer = await call(path, body, headers);
  expect([answer.status, answer.message !== '']).toEqual([status, true]);
  expect(received).toEqual([]);
});

test('what is not gRPC is told so', async () => {
  expect((await call(logs, Buffer.from('{}'), { 'content-type': 'application/json' })).http).toBe(415);
});

test('connections beyond the limit are closed', async () => {
  const others = [1, 2].map(() => connect(`http://127.0.0.1:${server.port}`));
  const closed = others.map((other) => {
    other.on('error', () => undefined);
    return once(other, 'close').then(() => true);
  });
  await call(logs, framed(Buffer.from('a')));
  expect(await Promise.race(closed)).toBe(true);
  for (const other of others) other.destroy();
});
