import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type FaultProxy, startFaultProxy } from '../harness/fault-proxy.ts';

// The faults that other tests rely on are really faults, and without them nothing is changed.

const answer = Buffer.alloc(100_000, 'answer ');
let open: AsyncDisposableStack;
let proxy: FaultProxy;
/** What reached the server, whole or not. */
let reached: { method: string; bytes: number; whole: boolean }[];
let targetPort: number;
beforeEach(async () => {
  open = new AsyncDisposableStack();
  reached = [];
  const server = createServer((incoming, response) => {
    const seen = { method: incoming.method ?? '', bytes: 0, whole: false };
    reached.push(seen);
    incoming.on('data', (chunk: Buffer) => {
      seen.bytes += chunk.byteLength;
    });
    incoming.on('error', () => undefined);
    incoming.on('end', () => {
      seen.whole = true;
      response.setHeader('x-host', incoming.headers.host ?? '');
      response.end(answer);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  targetPort = (server.address() as AddressInfo).port;
  proxy = open.use(await startFaultProxy({ targetPort, seed: 7 }));
});
afterEach(() => open.disposeAsync());

/** What a request ends with: the status and the size of the whole body, or the error's code, or `silence`. */
async function ask(
  options: {
    readonly method?: string;
    readonly body?: Buffer;
    readonly agent?: Agent;
    readonly waitMs?: number;
  } = {},
): Promise<string> {
  const { method = 'GET', body, agent = new Agent(), waitMs = 5000 } = options;
  const call = request({ port: proxy.port, host: '127.0.0.1', method, agent, timeout: waitMs });
  call.on('timeout', () => call.destroy(Object.assign(new Error(), { code: 'silence' })));
  call.end(body);
  try {
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    const bytes = Buffer.concat(await response.toArray());
    return `${response.statusCode} ${bytes.byteLength}`;
  } catch (error) {
    return (error as { code: string }).code;
  }
}
const body = Buffer.alloc(50_000, 'body ');
const put = { method: 'PUT', body };
const fine = `200 ${answer.byteLength}`;

test('without a fault it changes nothing, and counts', async () => {
  const agent = new Agent({ keepAlive: true });
  expect(await ask({ agent })).toBe(fine);
  expect(await ask({ ...put, agent })).toBe(fine);
  agent.destroy();
  expect(reached).toEqual([
    { method: 'GET', bytes: 0, whole: true },
    { method: 'PUT', bytes: body.byteLength, whole: true },
  ]);
  expect([proxy.count(), proxy.count('PUT'), proxy.count('POST')]).toEqual([2, 1, 0]);
  expect(proxy.requests[1]).toEqual({ method: 'PUT', url: '/', bodyBytes: body.byteLength, outcome: 200 });
  expect(proxy.bytes.up).toBeGreaterThan(body.byteLength);
  expect(proxy.bytes.down).toBeGreaterThan(2 * answer.byteLength);
  proxy.forget();
  expect([proxy.count(), proxy.requests.length]).toEqual([0, 0]);
});

test('a status for so many requests of a kind; the server sees none of them', async () => {
  proxy.spoil({ kind: 'status', status: 503, times: 2, match: ({ method }) => method === 'PUT' });
  const answers = [await ask(put), await ask(), await ask(put), await ask(put)];
  expect(answers.map((text) => text.split(' ')[0])).toEqual(['503', '200', '503', '200']);
  expect(reached.length).toBe(2);
  const heal = proxy.spoil({ kind: 'status', status: 403 });
  expect(await ask()).toMatch(/^403/);
  heal();
  expect(await ask()).toBe(fine);
});

test('a probability is drawn from the seed', async () => {
  const draw = async (seed: number) => {
    proxy = open.use(await startFaultProxy({ targetPort, seed }));
    proxy.spoil({ kind: 'status', status: 500, probability: 0.5 });
    const drawn: string[] = [];
    for (let index = 0; index < 20; index++) drawn.push((await ask()).slice(0, 1));
    return drawn.join('');
  };
  const first = await draw(3);
  expect(first).toMatch(/2.*5|5.*2/);
  expect(await draw(3)).toBe(first);
  expect(await draw(4)).not.toBe(first);
});

test('a request that is dropped reaches the server by half', async () => {
  proxy.spoil({ kind: 'drop-request', times: 1 });
  expect(await ask(put)).toBe('ECONNRESET');
  await expect.poll(() => reached[0]?.bytes).toBe(body.byteLength / 2);
  expect(reached[0]?.whole).toBe(false);
  expect(proxy.requests[0]?.outcome).toBe('drop-request');
  expect(await ask(put)).toBe(fine);
});

test('an answer that is dropped, or lost, is to a request that was done', async () => {
  for (const kind of ['drop-answer', 'lose-reply'] as const) {
    const before = proxy.bytes.down;
    proxy.spoil({ kind, times: 1 });
    expect(await ask(put)).toBe('ECONNRESET');
    expect(reached.at(-1)).toEqual({ method: 'PUT', bytes: body.byteLength, whole: true });
    expect(proxy.requests.at(-1)?.outcome).toBe(kind);
    const passed = proxy.bytes.down - before;
    expect(passed > answer.byteLength / 2 && passed < answer.byteLength).toBe(kind === 'drop-answer');
    if (kind === 'lose-reply') expect(passed).toBe(0);
  }
});

test('a line that refuses, and opens again at the same port', async () => {
  const agent = new Agent({ keepAlive: true });
  expect(await ask({ agent })).toBe(fine);
  await proxy.setLine({ refuse: true });
  expect(await ask()).toBe('ECONNREFUSED');
  await proxy.heal();
  expect(await ask({ agent })).toBe(fine);
  agent.destroy();
});

test('a connection of a silent time stays silent for ever, a new one does not', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  expect(await ask({ agent })).toBe(fine);
  await proxy.setLine({ silent: true });
  expect(await ask({ waitMs: 100 })).toBe('silence');
  await proxy.heal();
  expect(await ask({ agent, waitMs: 100 })).toBe('silence');
  expect(await ask({ agent })).toBe(fine);
  expect(reached.length).toBe(2);
  agent.destroy();
});

test('a line that holds lets everything pass when it is released', async () => {
  await proxy.setLine({ held: true });
  const asked = ask();
  expect(await Promise.race([asked, ask({ waitMs: 100 })])).toBe('silence');
  await proxy.heal();
  expect(await asked).toBe(fine);
});

test('latency and rate', async () => {
  const timed = async () => {
    const before = performance.now();
    expect(await ask()).toBe(fine);
    return performance.now() - before;
  };
  await proxy.setLine({ latencyMs: 100 });
  const slow = await timed();
  expect(slow).toBeGreaterThan(195);
  await proxy.setLine({ bytesPerSecond: 400_000 });
  expect(await timed()).toBeGreaterThan(225);
});

test('any TCP server', async () => {
  const tcp = open.use(await startFaultProxy({ targetPort, protocol: 'tcp' }));
  const socket = connect(tcp.port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n');
  const text = Buffer.concat(await socket.toArray()).toString();
  expect(text).toMatch(/^HTTP\/1.1 200/);
  expect(text).toMatch(/x-host: here/);
  expect(tcp.count()).toBe(0);
  const cut = connect(tcp.port, '127.0.0.1');
  await once(cut, 'connect');
  const closed = once(cut, 'close');
  cut.on('error', () => undefined);
  tcp.cut();
  await closed;
});
