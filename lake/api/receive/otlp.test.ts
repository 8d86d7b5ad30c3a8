import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { type ErrorCode, FirnError } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import { kept } from '../../receive/logs.fixture.ts';
import { protobufOfJson } from '../../receive/otlp/json.ts';
import { otlpLimits } from '../../receive/otlp/limits.ts';
import type { OtlpSignal } from '../../receive/otlp/receive.ts';
import { createSeriesCache } from '../../receive/series-cache.ts';
import { createSeriesGuard } from '../../receive/series-guard.ts';
import { otlpRoutes } from './otlp.ts';
import { otlpReceiver } from './otlp-receiver.ts';

function setUp(options: { fails?: ErrorCode; bodyBytesMax?: number; seriesMax?: number } = {}) {
  const batches: Batch[] = [];
  let { fails } = options;
  const limits = { ...otlpLimits, ...(options.bodyBytesMax && { bodyBytesMax: options.bodyBytesMax }) };
  const guardLimits = { activeSeriesMax: options.seriesMax ?? 0, newSeriesPerMinuteMax: 0 };
  const receive = otlpReceiver({
    append: async (...sent) => {
      if (fails)
        throw new FirnError({ code: fails, operation: 'append', subject: 'test', message: 'not now' });
      batches.push(...sent.map(kept));
    },
    cache: createSeriesCache({ identity: [], guard: createSeriesGuard(guardLimits, () => 0) }),
    limits,
    clock: systemClock,
  });
  const app = otlpRoutes(receive, limits);
  const call = async (path: string, body: Uint8Array, headers: Record<string, string>, method = 'POST') => {
    const answer = await app.request(path, {
      ...{ method, headers },
      ...(method === 'POST' && { body: Buffer.from(body) }),
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    return { status: answer.status, bytes, text: bytes.toString(), headers: answer.headers };
  };
  const recover = (): void => {
    fails = undefined;
  };
  return { batches, call, recover };
}

const time = '1700000000000000000';
const requests: Readonly<Record<OtlpSignal, object>> = {
  logs: {
    resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: time, body: { stringValue: 'a' } }] }] }],
  },
  traces: {
    resourceSpans: [
      {
        scopeSpans: [
          { spans: [{ traceId: '01'.repeat(16), spanId: '02'.repeat(8), startTimeUnixNano: time }] },
        ],
      },
    ],
  },
  metrics: {
    resourceMetrics: [
      {
        scopeMetrics: [
          { metrics: [{ name: 'up', gauge: { dataPoints: [{ timeUnixNano: time, asInt: 1 }] } }] },
        ],
      },
    ],
  },
};
const jsonOf = (signal: OtlpSignal): Buffer => Buffer.from(JSON.stringify(requests[signal]));
const json = { 'content-type': 'application/json' };
const protobuf = { 'content-type': 'application/x-protobuf' };

test.each([
  ['/v1/logs', 'logs', 'logs'],
  ['/otlp/v1/logs', 'logs', 'logs'],
  ['/v1/traces', 'traces', 'spans'],
  ['/v1/metrics', 'metrics', 'metrics'],
  ['/api/v1/otlp/v1/metrics', 'metrics', 'metrics'],
] as const)('%s: JSON and protobuf, compressed or not, answered alike', async (path, signal, table) => {
  const { call, batches } = setUp();
  const plain = Buffer.from(protobufOfJson(signal, jsonOf(signal)));
  expect(await call(path, jsonOf(signal), { ...json })).toMatchObject({ status: 200, text: '{}' });
  expect(await call(path, plain, protobuf)).toMatchObject({ status: 200, text: '' });
  for (const [encoding, body] of [
    ['gzip', gzipSync(plain)],
    ['zstd', zstdCompressSync(plain)],
    ['identity', plain],
  ] as const) {
    const answer = await call(path, body, { ...protobuf, 'content-encoding': encoding });
    expect([encoding, answer.status, answer.headers.get('content-type')]).toEqual([
      ...[encoding, 200, 'application/x-protobuf'],
    ]);
  }
  expect(batches.map((batch) => [batch.signal, batch.rows])).toEqual(Array(5).fill([table, 1]));
});

test('what is rejected is counted in the answer, and the rest is stored', async () => {
  const { call, batches } = setUp();
  const span = { traceId: '01'.repeat(16), spanId: '02'.repeat(8) };
  const request = { resourceSpans: [{ scopeSpans: [{ spans: [span, { ...span, traceId: '' }] }] }] };
  const body = Buffer.from(JSON.stringify(request));
  const answer = await call('/v1/traces', body, json);
  expect([answer.status, JSON.parse(answer.text)]).toEqual([
    200,
    { partialSuccess: { rejectedSpans: '1', errorMessage: expect.stringMatching(/trace id/) } },
  ]);
  const bytes = (await call('/v1/traces', Buffer.from(protobufOfJson('traces', body)), protobuf)).bytes;
  // partial_success = 1 {rejected_spans = 1 varint, error_message = 2}
  expect([bytes[0], bytes[2], bytes[3], bytes[4]]).toEqual([0x0a, 0x08, 1, 0x12]);
  expect(batches.map(({ rows }) => rows)).toEqual([1, 1]);
});

test('series beyond the guard are rejected points', async () => {
  const { call } = setUp({ seriesMax: 1 });
  const named = (name: string) =>
    Buffer.from(JSON.stringify(requests.metrics).replace('"name":"up"', `"name":"${name}"`));
  expect((await call('/v1/metrics', named('a'), json)).text).toBe('{}');
  const answer = await call('/v1/metrics', named('b'), json);
  expect(JSON.parse(answer.text)).toEqual({
    partialSuccess: { rejectedDataPoints: '1', errorMessage: expect.stringMatching(/activeSeriesMax/) },
  });
});

test.each([
  ['limit', 429, 8],
  ['unavailable', 503, 14],
  ['corrupt', 503, 14],
] as const)(
  'an append that fails with %s is answered with %i, to come again',
  async (fails, status, code) => {
    const { call, recover, batches } = setUp({ fails });
    const answer = await call('/v1/logs', jsonOf('logs'), json);
    expect(answer).toMatchObject({ status, text: JSON.stringify({ code, message: 'not now' }) });
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(
      (await call('/v1/logs', Buffer.from(protobufOfJson('logs', jsonOf('logs'))), protobuf)).text,
    ).toContain('google.rpc.RetryInfo');
    recover();
    expect((await call('/v1/logs', jsonOf('logs'), json)).status).toBe(200);
    expect(batches).toHaveLength(1);
  },
);

test('differences of a request that could not be stored are not counted twice', async () => {
  const { call, recover, batches } = setUp({ fails: 'unavailable' });
  const sum = {
    aggregationTemporality: 1,
    isMonotonic: true,
    dataPoints: [{ timeUnixNano: time, asInt: 5 }],
  };
  const body = Buffer.from(
    JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'c', sum }] }] }] }),
  );
  expect((await call('/v1/metrics', body, json)).status).toBe(503);
  recover();
  expect((await call('/v1/metrics', body, json)).text).toBe('{}');
  expect(batches).toMatchObject([{ signal: 'metrics', value: Float64Array.of(5) }]);
});

test.each([
  ['malformed', Buffer.from('?'), protobuf, 400, /not a valid protobuf/],
  ['gzip that is none', jsonOf('logs'), { ...json, 'content-encoding': 'gzip' }, 400, /not valid gzip/],
  [
    'another encoding',
    jsonOf('logs'),
    { ...json, 'content-encoding': 'br' },
    400,
    /unsupported Content-Encoding/,
  ],
  ['too large', Buffer.alloc(2000), json, 413, /larger than 1000 bytes/],
  [
    'a bomb',
    gzipSync(Buffer.alloc(900_000_000)).subarray(0, 950),
    { ...json, 'content-encoding': 'gzip' },
    400,
    /gzip/,
  ],
])('%s: nothing is stored', async (_, body, headers, status, message) => {
  const { call, batches } = setUp({ bodyBytesMax: 1000 });
  const answer = await call('/v1/logs', body, headers);
  expect(answer).toMatchObject({ status, text: expect.stringMatching(message) });
  expect(batches).toEqual([]);
});

interface Case {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body_text?: string;
  readonly expected_status: number;
  readonly expected_body?: string | null;
  readonly expected_content_type?: string;
}

const corpus = join(import.meta.dirname, '../../../..', 'shared/corpora/wire/otlp/dev/http_receiver.jsonl');
test.skipIf(!existsSync(corpus))("the collector's own requests (skipped: no corpus)", async () => {
  const cases = readFileSync(corpus, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Case);
  for (const each of cases) {
    if (each.body_text === undefined) continue; // any valid request: as above
    const { call, batches } = setUp();
    const answer = await call(each.path, Buffer.from(each.body_text), each.headers, each.method);
    expect([each.name, answer.status]).toEqual([each.name, each.expected_status]);
    if (each.expected_body) expect([each.name, answer.text]).toEqual([each.name, each.expected_body]);
    if (each.expected_content_type)
      expect(answer.headers.get('content-type')).toContain(each.expected_content_type);
    expect(batches).toEqual([]);
  }
  expect(cases.length).toBeGreaterThan(10);
});
