import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Hono } from 'hono';
import { afterEach, expect, test } from 'vitest';
import { httpLimits, startHttpServer } from './http-server.ts';

// Senders that take all the time and room that they are given.

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function open(limits: Partial<typeof httpLimits> = {}) {
  const app = new Hono();
  app.get('/', (c) => c.text('here'));
  app.post('/', async (c) => c.text(await c.req.text().catch(() => 'cut off')));
  const server = await startHttpServer(
    app,
    { host: '127.0.0.1', port: 0 },
    {},
    {},
    { ...httpLimits, ...limits },
  );
  const talk = async (text: string) => {
    const socket = connect(server.port, '127.0.0.1');
    sockets.push(socket);
    let answer = '';
    socket.on('data', (bytes) => {
      answer += bytes.toString();
    });
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(text);
    const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(answer)));
    return { socket, closed };
  };
  const answers = async (): Promise<boolean> =>
    (await (await fetch(`http://127.0.0.1:${server.port}/`)).text()) === 'here';
  return { server, talk, answers };
}

/** Sends a byte now and then until the connection is closed. */
async function dribble(socket: Socket, text: string): Promise<void> {
  while (!socket.destroyed) {
    socket.write(text);
    await delay(20);
  }
}

const head = 'POST / HTTP/1.1\r\nHost: x\r\n';

test.each([
  ['headers that never end', head, 'X-More: 1\r\n', { headersMsMax: 300 }],
  [
    'a body that never ends',
    `${head}Content-Length: 100000\r\n\r\n`,
    'x',
    { requestMsMax: 300, headersMsMax: 300 },
  ],
])('%s: the connection is closed, and others are answered meanwhile', async (_, start, more, limits) => {
  const { server, talk, answers } = await open({ ...limits, lookIntervalMs: 50 });
  await using _server = server;
  const slow = await Promise.all(Array.from({ length: 50 }, () => talk(start)));
  const dribbling = slow.map(({ socket }) => dribble(socket, more));
  expect(await answers()).toBe(true);
  const said = await Promise.all(slow.map(({ closed }) => closed));
  for (const answer of said) expect(answer).toMatch(/^(HTTP\/1\.1 408 |$)/);
  await Promise.all(dribbling);
  expect(await answers()).toBe(true);
});

test('headers that are too large are refused', async () => {
  const { server, talk, answers } = await open();
  await using _server = server;
  const { closed } = await talk(`${head}X-Large: ${'x'.repeat(httpLimits.headersBytesMax)}\r\n\r\n`);
  expect(await closed).toMatch(/^HTTP\/1\.1 431 /);
  expect(await answers()).toBe(true);
});

test('one connection too many is closed', async () => {
  const { server, talk } = await open({ connectionsMax: 2 });
  await using _server = server;
  const first = await Promise.all([talk(head), talk(head)]);
  const third = await talk(head);
  expect(await third.closed).toBe('');
  for (const { socket } of first) socket.destroy();
});
