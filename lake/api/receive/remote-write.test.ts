import { request } from 'node:http';
import { connect } from 'node:net';
import { Hono } from 'hono';
import { compress } from 'snappyjs';
import { expect, test, vi } from 'vitest';
import { type ErrorCode, FirnError } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import { encodeWriteRequestV2, writeRequestBody } from '../../receive/remote-write/encode.fixture.ts';
import { remoteWriteLimits } from '../../receive/remote-write/limits.ts';
import { createSeriesCache } from '../../receive/series-cache.ts';
import { startHttpServer } from '../http-server.ts';
import { type RemoteWriteAnswer, remoteWriteHandler } from './remote-write.ts';

const body = writeRequestBody([
  {
    labels: [['__name__', 'up']],
    samples: [
      [1, 1],
      [2, 2],
    ],
  },
]);

function setUp(options: { fails?: ErrorCode | 'bug'; bodyBytesMax?: number } = {}) {
  const batches: Batch[] = [];
  const answers: RemoteWriteAnswer[] = [];
  const append = async (...stored: readonly Batch[]): Promise<void> => {
    const { fails } = options;
    if (fails === 'bug') throw new TypeError('bug');
    if (fails) throw new FirnError({ code: fails, operation: 'append', subject: 'test', message: 'not now' });
    batches.push(...stored);
  };
  const bodyBytesMax = options.bodyBytesMax ?? remoteWriteLimits.bodyBytesMax;
  const handler = remoteWriteHandler({
    append,
    cache: createSeriesCache({ identity: [] }),
    limits: { ...remoteWriteLimits, bodyBytesMax },
    onAnswer: (answer) => answers.push(answer),
  });
  const serve = () =>
    startHttpServer(new Hono(), { host: '127.0.0.1', port: 0 }, { 'POST /api/v1/write': handler });
  const post = async (sent: NonNullable<RequestInit['body']>, headers: Record<string, string> = {}) => {
    await using server = await serve();
    const url = `http://127.0.0.1:${server.port}/api/v1/write?x=y`;
    const response = await fetch(url, {
      ...{ method: 'POST', body: sent, headers, duplex: 'half' },
    } as RequestInit);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  return { batches, answers, post, serve };
}

/** A body that comes in pieces, without a content-length. */
function streamed(piece: Uint8Array): ReadableStream {
  return new ReadableStream({
    start: (controller) => {
      controller.enqueue(piece);
      controller.close();
    },
  });
}

test('204 after the append; series that are stored do not go along again', async () => {
  const { batches, answers, post } = setUp();
  expect((await post(Buffer.from(body))).status).toBe(204);
  expect((await post(streamed(body))).status).toBe(204);
  expect(batches.map(({ rows, series }) => [rows, series.length])).toEqual([
    [2, 1],
    [2, 0],
  ]);
  expect(answers).toEqual(
    Array(2).fill({ status: 204, samples: 2, histograms: 0, exemplars: 0, bodyBytes: body.length }),
  );
});

const v2 = { 'content-type': 'application/x-protobuf;proto=io.prometheus.write.v2.Request' };

test('a request with metadata, histograms and exemplars is one append, and metadata is not said again', async () => {
  const { batches, post } = setUp();
  const sent = compress(
    encodeWriteRequestV2([
      {
        labels: [['__name__', 'up']],
        samples: [[1, 1]],
        histograms: [{ count_int: 0, sum: 0, timestamp: 5 }],
        exemplars: [{ labels: [['trace_id', 'x']], value: 1, timestampMs: 1 }],
        metadata: { type: 1, help: 'Up.', unit: '' },
      },
    ]),
  );
  for (const described of [1, 0]) {
    const response = await post(Buffer.from(sent), v2);
    const counts = ['samples', 'histograms', 'exemplars'].map((what) =>
      response.headers.get(`x-prometheus-remote-write-${what}-written`),
    );
    expect([response.status, counts]).toEqual([204, ['1', '1', '1']]);
    const [metrics, exemplars] = batches.splice(0);
    expect([metrics?.rows, exemplars?.rows]).toEqual([2, 1]);
    expect(metrics?.signal === 'metrics' && metrics.metadata).toHaveLength(described);
  }
});

test('what could be read is stored before the sender is told what could not', async () => {
  const { batches, post } = setUp();
  const bad = [
    { labels: [['__name__', 'up']] as const, samples: [[1, 1]] as const },
    { labels: [], samples: [[1, 1]] as const },
  ];
  const response = await post(Buffer.from(writeRequestBody(bad)));
  expect([response.status, response.text]).toEqual([400, 'series 2: it has no labels\n']);
  expect(batches).toMatchObject([{ rows: 1 }]);
  const failing = setUp({ fails: 'unavailable' });
  expect((await failing.post(Buffer.from(writeRequestBody(bad)))).status).toBe(503);
});

test('an answer of an error to 2.0 says that nothing was written', async () => {
  const response = await setUp({ fails: 'unavailable' }).post(
    Buffer.from(compress(encodeWriteRequestV2([{ labels: [['__name__', 'up']], samples: [[1, 1]] }]))),
    v2,
  );
  expect([response.status, response.headers.get('x-prometheus-remote-write-samples-written')]).toEqual([
    503,
    '0',
  ]);
});

test('an empty request is fine and appends nothing', async () => {
  const { batches, post } = setUp();
  expect((await post(Buffer.from(writeRequestBody([])))).status).toBe(204);
  expect(batches).toEqual([]);
});

test.each([
  ['limit', 503],
  ['unavailable', 503],
  ['corrupt', 500],
] as const)('an append that fails with %s is answered with %i', async (fails, status) => {
  const { post, answers } = setUp({ fails });
  const response = await post(Buffer.from(body));
  expect(response.status).toBe(status);
  expect(response.headers.get('retry-after')).toBe(status === 503 ? '1' : null);
  expect(response.text).toBe('not now\n');
  expect(answers).toMatchObject([{ status, samples: 0 }]);
});

test('an error that nobody expected is not swallowed', async () => {
  const printed = vi.spyOn(console, 'error').mockReturnValue(undefined);
  expect((await setUp({ fails: 'bug' }).post(Buffer.from(body))).status).toBe(500);
  expect(printed).toHaveBeenCalledWith(expect.objectContaining({ message: 'bug' }));
  printed.mockRestore();
});

test.each([
  ['malformed', Buffer.from('?'), {}, 400, /not a valid snappy block/],
  [
    'the wrong type',
    Buffer.from(body),
    { 'content-type': 'text/plain' },
    415,
    /send application\/x-protobuf/,
  ],
  ['too large by its header', Buffer.alloc(2000), {}, 413, /larger than 1000/],
])('%s: nothing is stored', async (_, sent, headers, status, message) => {
  const { batches, post } = setUp({ bodyBytesMax: 1000 });
  const response = await post(sent, headers);
  expect([response.status, response.text]).toEqual([status, expect.stringMatching(message)]);
  expect(batches).toEqual([]);
});

test('a body that turns out too large is not read to its end', async () => {
  const { serve, batches } = setUp({ bodyBytesMax: 1000 });
  await using server = await serve();
  const call = request({ port: server.port, path: '/api/v1/write', method: 'POST' });
  const closed = new Promise((resolve) => call.on('close', resolve));
  call.on('error', () => undefined);
  const status = new Promise((resolve) => call.on('response', (answer) => resolve(answer.statusCode)));
  // More than fits into the buffers of both ends, and never to its end.
  const piece = Buffer.alloc(1024 * 1024);
  let taken = 0;
  const send = (): void => {
    while (!call.destroyed && call.write(piece, () => taken++) && taken < 100);
  };
  call.on('drain', send);
  send();
  expect(await status).toBe(413);
  await closed;
  expect(taken).toBeLessThan(50);
  expect(batches).toEqual([]);
});

test('a body that is cut off is refused', async () => {
  const { serve, batches, answers } = setUp();
  await using server = await serve();
  const socket = connect(server.port, '127.0.0.1');
  socket.write('POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nnot all of it', () => {
    socket.destroy();
  });
  await vi.waitFor(() => expect(answers).toMatchObject([{ status: 400 }]));
  expect(batches).toEqual([]);
});
