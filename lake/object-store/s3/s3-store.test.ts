import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { writeIdName } from './bucket.ts';
import { s3Store } from './s3-store.ts';

// What a server and a network can do wrong, played by a server that follows a script. That the store agrees with a real
// server is what test/contract/object-store-s3.test.ts sees.

interface Request {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}
/** Answers one request. */
type Step = (request: Request, response: ServerResponse) => void;

const folder = mkdtempSync(join(tmpdir(), 'firn-s3-'));
afterAll(() => rmSync(folder, { recursive: true }));
let open = new AsyncDisposableStack();
afterEach(async () => {
  await open.disposeAsync();
  open = new AsyncDisposableStack();
});

/** A store before a server that answers with each step in turn; behind the last, with 599. */
async function play(...steps: readonly Step[]) {
  const requests: Request[] = [];
  const server = createServer(async (incoming, response) => {
    const body = Buffer.concat(await incoming.toArray());
    const request = {
      method: incoming.method ?? '',
      url: incoming.url ?? '',
      headers: incoming.headers,
      body,
    };
    (steps[requests.push(request) - 1] ?? status(599))(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const store = s3Store({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    bucket: 'b',
    prefix: 'p',
    pathStyle: true,
    accessKeyId: 'id',
    secretAccessKey: 'secret',
    limits: { requestAttemptsMax: 2, idleMsMax: 500, downloadAttemptsMax: 2, partBytes: 10 },
    clock: { ...systemClock, sleep: async () => undefined },
  });
  open.defer(() => store.close());
  return {
    store,
    requests,
    asked: () => requests.map(({ method, url }) => `${method} ${url.split('?')[0]}`),
  };
}

const status =
  (code: number, name = ''): Step =>
  (_request, response) => {
    response.writeHead(code, { 'content-type': 'application/xml' });
    response.end(name ? `<Error><Code>${name}</Code><Message>no</Message></Error>` : undefined);
  };
const lost: Step = (_request, response) => response.destroy();
const silent: Step = () => undefined;
const stored =
  (etag: string, writeId = 'another'): Step =>
  (_request, response) => {
    response.writeHead(200, {
      etag: `"${etag}"`,
      'content-length': 1,
      [`x-amz-meta-${writeIdName}`]: writeId,
    });
    response.end();
  };
/** HEAD of what the first request wrote. */
const storedByFirst = (requests: () => readonly Request[]): Step => {
  return (request, response) => {
    const first = requests()[0];
    const writeId = String(first?.headers[`x-amz-meta-${writeIdName}`]);
    stored(
      createHash('md5')
        .update(first?.body ?? '')
        .digest('hex'),
      writeId,
    )(request, response);
  };
};

const outcome = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => value,
    (error: { code?: string }) => error.code ?? error,
  );
const body = Buffer.from('x');

test.each<[string, Step[], string]>([
  ['412: someone was first', [status(412, 'PreconditionFailed')], 'conflict'],
  ['409: someone is at it', [status(409, 'ConditionalRequestConflict'), stored('theirs')], 'conflict'],
  ['reply lost, then 412 by another', [lost, status(412), stored('theirs')], 'conflict'],
  ['500 twice, nothing there', [status(500), status(500), status(404)], 'unavailable'],
  ['500 twice, another is there', [status(500), status(500), stored('theirs')], 'conflict'],
  ['reply lost twice, and no answer', [lost, lost, lost, lost], 'unavailable'],
  ['silence', [silent, silent, status(404)], 'unavailable'],
  ['403', [status(403, 'AccessDenied')], 'denied'],
  ['no bucket', [status(404, 'NoSuchBucket'), status(404)], 'unavailable'],
])('put if absent: %s', async (_name, steps, expected) => {
  const { store, requests } = await play(...steps);
  expect(await outcome(store.putIfAbsent('k', body))).toBe(expected);
  expect(requests[0]?.headers['if-none-match']).toBe('*');
  expect(requests.length).toBe(steps.length);
});

test.each<[string, Step[], string]>([
  ['412', [status(412)], 'conflict'],
  ['404: it was deleted', [status(404, 'NoSuchKey')], 'conflict'],
  ['500 twice, unchanged', [status(500), status(500), stored('old')], 'unavailable'],
  ['500 twice, changed', [status(500), status(500), stored('theirs')], 'conflict'],
  ['500 twice, deleted', [status(500), status(500), status(404)], 'conflict'],
])('put if match: %s', async (_name, steps, expected) => {
  const { store, requests } = await play(...steps);
  expect(await outcome(store.putIfMatch('k', body, 'old'))).toBe(expected);
  expect(requests[0]?.headers['if-match']).toBe('old');
  expect(requests.length).toBe(steps.length);
});

test.each<[string, Step[]]>([
  ['the reply is lost and the second try meets the first', [lost, status(412)]],
  ['no try is answered', [lost, status(500)]],
])('a conditional write that took effect succeeds when %s', async (_name, failures) => {
  for (const write of ['absent', 'match'] as const) {
    const steps = [
      ...failures,
      (request, response) => storedByFirst(() => requests)(request, response),
    ] as Step[];
    const { store, requests } = await play(...steps);
    const done = write === 'absent' ? store.putIfAbsent('k', body) : store.putIfMatch('k', body, 'old');
    expect(await outcome(done)).toEqual({
      key: 'k',
      etag: createHash('md5').update(body).digest('hex'),
      sizeBytes: 1,
    });
  }
});

test.each<[number, string, string]>([
  [400, 'ExpiredToken', 'denied'],
  [400, 'RequestTimeout', 'unavailable'],
  [401, '', 'denied'],
  [403, 'SignatureDoesNotMatch', 'denied'],
  [404, 'NoSuchKey', 'not-found'],
  [404, 'NoSuchBucket', 'unavailable'],
  [416, 'InvalidRange', 'invalid'],
  [429, 'TooManyRequests', 'unavailable'],
  [503, 'SlowDown', 'unavailable'],
])('%i %s is %s', async (code, name, expected) => {
  const { store } = await play(status(code, name), status(code, name));
  expect(await outcome(store.getRange('k', 0, 1))).toBe(expected);
});

const half: Step = (_request, response) => {
  response.writeHead(200, { etag: '"e"', 'content-length': 10 });
  response.write('01234', () => response.destroy());
};
const stuck: Step = (_request, response) => {
  response.writeHead(200, { etag: '"e"', 'content-length': 10 });
  response.write('01234');
};
const whole: Step = (_request, response) => {
  response.writeHead(200, { etag: '"e"', 'content-length': 10 });
  response.end('0123456789');
};

test('a download that breaks off or gets stuck is repeated, so many times', async () => {
  const path = join(folder, 'file');
  for (const broken of [half, stuck]) {
    const { store } = await play(broken, whole, broken, whole, broken, broken);
    expect(await store.getFile('k', path)).toBe(10);
    expect(readFileSync(path, 'utf8')).toBe('0123456789');
    expect(Buffer.from((await store.get('k')).body).toString()).toBe('0123456789');
    expect(await outcome(store.get('k'))).toBe('unavailable');
  }
});

test('a download can be aborted in the middle', async () => {
  const { store } = await play(stuck);
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error('enough')), 50);
  await expect(store.get('k', { signal: stop.signal })).rejects.toThrow('enough');
});

test('an object too large for memory is refused before its body is read', async () => {
  const { store } = await play((_request, response) => {
    response.writeHead(200, { etag: '"e"', 'content-length': 100e6 });
    response.write('a little');
  });
  expect(await outcome(store.get('k'))).toBe('limit');
});

test('when a part fails for good, the upload is thrown away', async () => {
  const path = join(folder, 'parts');
  writeFileSync(path, Buffer.alloc(15));
  const begun: Step = (_request, response) =>
    response.end('<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>');
  const { store, requests } = await play(begun, status(403), status(403), status(204), status(204));
  expect(await outcome(store.putFile('k', path))).toBe('denied');
  const last = requests.at(-1);
  expect([last?.method, last?.url]).toEqual(['DELETE', expect.stringContaining('uploadId=u')]);
});

test('a put is one request, below the prefix', async () => {
  const { store, asked } = await play((_request, response) => response.writeHead(200, { etag: '"e"' }).end());
  expect(await store.put('a b/ü', body)).toEqual({ key: 'a b/ü', etag: 'e', sizeBytes: 1 });
  expect(asked()).toEqual(['PUT /b/p/a%20b/%C3%BC']);
});
