import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { type ErrorCode, FirnError } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import { kept } from '../../receive/logs.fixture.ts';
import { pushBody } from '../../receive/loki-push/encode.fixture.ts';
import { lokiPushLimits } from '../../receive/loki-push/limits.ts';
import { createSeriesCache } from '../../receive/series-cache.ts';
import { createSeriesGuard } from '../../receive/series-guard.ts';
import { lokiPushRoutes } from './loki-push.ts';

function setUp(
  options: {
    seriesMax?: number;
    fails?: ErrorCode;
    bodyBytesMax?: number;
    serviceNameFrom?: readonly string[];
  } = {},
) {
  const batches: Batch[] = [];
  const answers: unknown[] = [];
  const { fails, serviceNameFrom, seriesMax = 0, ...limits } = options;
  const guardLimits = { activeSeriesMax: seriesMax, newSeriesPerMinuteMax: 0 };
  const app = lokiPushRoutes({
    append: async (...sent) => {
      if (fails)
        throw new FirnError({ code: fails, operation: 'append', subject: 'test', message: 'not now' });
      batches.push(...sent.map(kept));
    },
    cache: createSeriesCache({ identity: [], guard: createSeriesGuard(guardLimits, () => 0) }),
    limits: { ...lokiPushLimits, ...limits },
    onAnswer: (answer) => answers.push(answer),
    ...(serviceNameFrom && { serviceNameFrom }),
  });
  const post = async (sent: Uint8Array, headers: Record<string, string> = {}) => {
    const response = await app.request('/loki/api/v1/push', {
      ...{ method: 'POST', headers, body: Buffer.from(sent) },
    });
    return { status: response.status, text: await response.text(), headers: response.headers };
  };
  return { batches, answers, post };
}

const text = Buffer.from('{"streams":[{"stream":{"app":"press"},"values":[["1","a"]]}]}');
const json = { 'content-type': 'application/json' };

test.each([
  ['', text],
  ['gzip', gzipSync(text)],
  ['deflate', deflateRawSync(text)],
  ['deflate', deflateSync(text)],
])('JSON with encoding "%s": 204 after the append', async (encoding, body) => {
  const { post, batches, answers } = setUp();
  const headers = { ...json, ...(encoding && { 'content-encoding': encoding }) };
  expect(await post(body, headers)).toMatchObject({ status: 204, text: '' });
  expect(batches).toMatchObject([{ signal: 'logs', rows: 1, line: ['a'] }]);
  expect(answers).toEqual([{ status: 204, rows: 1, bodyBytes: body.length }]);
});

test('protobuf with snappy, named as an encoding or not', async () => {
  const { post, batches } = setUp();
  const body = pushBody([{ labels: '{app="press"}', entries: [[1n, 'a']] }]);
  expect((await post(body)).status).toBe(204);
  expect((await post(body, { 'content-encoding': 'snappy' })).status).toBe(204);
  expect(batches.map(({ rows }) => rows)).toEqual([1, 1]);
});

test.each([
  ['limit', 429, '1'],
  ['unavailable', 503, '1'],
  ['corrupt', 500, null],
] as const)('an append that fails with %s is answered with %i', async (fails, status, retryAfter) => {
  const answer = await setUp({ fails }).post(text, json);
  expect(answer).toMatchObject({ status, text: 'not now\n' });
  expect(answer.headers.get('retry-after')).toBe(retryAfter);
});

test.each([
  ['another encoding', text, { ...json, 'content-encoding': 'br' }, 400, /not supported/],
  ['gzip that is none', text, { ...json, 'content-encoding': 'gzip' }, 400, /not valid gzip/],
  ['too large', Buffer.alloc(2000), json, 413, /larger than 1000/],
  [
    'a bomb',
    gzipSync(Buffer.alloc(5_000_000)).subarray(0),
    { ...json, 'content-encoding': 'gzip' },
    413,
    /decoded/,
  ],
])('%s: nothing is stored', async (_, body, headers, status, message) => {
  const { post, batches } = setUp({ bodyBytesMax: body.length > 1500 && body[0] === 0 ? 1000 : 10_000 });
  expect(await post(body, headers)).toMatchObject({ status, text: expect.stringMatching(message) });
  expect(batches).toEqual([]);
});

test('streams beyond the guard are refused, the others are stored', async () => {
  const { post, batches } = setUp({ seriesMax: 1 });
  const pushed = (...apps: string[]): Buffer =>
    Buffer.from(JSON.stringify({ streams: apps.map((app) => ({ stream: { app }, values: [['1', app]] })) }));
  expect((await post(pushed('a', 'b'), json)).status).toBe(400);
  const refused = await post(pushed('c'), json);
  expect(refused).toMatchObject({
    status: 429,
    text: expect.stringMatching(/activeSeriesMax.*1 lines refused/),
  });
  expect(batches).toMatchObject([{ line: ['a'] }]);
});

interface Case {
  readonly id: string;
  readonly headers: Record<string, string>;
  readonly body_base64: string;
  readonly valid: boolean;
  readonly service_name_discovery: boolean;
  readonly expected_stream_labels?: readonly Record<string, string>[];
}

const corpus = join(import.meta.dirname, '../../../..', 'shared/corpora/wire/loki-push/dev/push_http.jsonl');
test.skipIf(!existsSync(corpus))("Loki's own requests (skipped: no corpus)", async () => {
  const cases = readFileSync(corpus, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Case);
  for (const { id, headers, body_base64, valid, service_name_discovery, expected_stream_labels } of cases) {
    const { post, batches } = setUp(service_name_discovery ? {} : { serviceNameFrom: [] });
    const { status } = await post(Buffer.from(body_base64, 'base64'), headers);
    expect([id, status]).toEqual([id, valid ? 204 : 400]);
    const labels = batches.flatMap(({ series }) => series.map((each) => JSON.parse(each.labels)));
    expect([id, labels]).toEqual([id, expected_stream_labels ?? []]);
  }
  expect(cases.length).toBeGreaterThan(10);
});

const decoding = join(
  import.meta.dirname,
  '../../../..',
  'shared/corpora/wire/loki-push/dev/decode_json.jsonl',
);
test.skipIf(!existsSync(decoding))("Loki's own JSON (skipped: no corpus)", async () => {
  for (const line of readFileSync(decoding, 'utf8').trim().split('\n')) {
    const { name, body_text, error } = JSON.parse(line) as {
      name: string;
      body_text: string;
      error: boolean;
    };
    const { status } = await setUp().post(Buffer.from(body_text), json);
    expect([name, status]).toEqual([name, error ? 400 : 204]);
  }
});
