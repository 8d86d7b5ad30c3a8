import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { systemClock } from '../../base/clock.ts';
import { createLogger } from '../../base/log.ts';
import { defaultLogqlLimits } from '../../logql/limits.ts';
import type { LineBatch, LinesRequest } from '../../logql/source.ts';
import { tenantId } from '../../model/ids.ts';
import type { LogScan } from '../../scan/log-scan.ts';
import { type HttpServer, startHttpServer } from '../http-server.ts';
import { openTail, type Tail, tailPath, tailsPerTenantMax } from './tail.ts';
import { createTailQueue, type TailLine, waitingLinesMax } from './tail-queue.ts';

// Tails by real WebSocket clients: what there was, what comes in, and who does not keep up.

const labels = new Map([['app', 'x']]);

const batchOf = (lines: readonly (readonly [ns: bigint, line: string])[]): LineBatch => ({
  ...{ rows: lines.length, timestampNs: BigInt64Array.from(lines, ([ns]) => ns) },
  ...{ lines: lines.map(([, line]) => line), metadata: lines.map(() => null), stream: () => ({ labels }) },
});

const listeners = new Set<(batch: LineBatch) => void>();
const publish = (...lines: readonly (readonly [ns: bigint, line: string])[]): void => {
  for (const listener of listeners) listener(batchOf(lines));
};
let asked: LinesRequest[] = [];
let stored: readonly (readonly [bigint, string])[] = [];
let tail: Tail;
let server: HttpServer;

const logs = {
  tenant: tenantId('demo'),
  evaluator: undefined,
  lines: async function* (request: LinesRequest) {
    asked.push(request);
    yield batchOf([...stored].reverse().slice(0, request.limit));
  },
} as unknown as LogScan;

beforeEach(async () => {
  [asked, stored] = [[], []];
  const live = {
    subscribe: async (_: unknown, onLines: (batch: LineBatch) => void) => {
      listeners.add(onLines);
      return () => void listeners.delete(onLines);
    },
  };
  tail = openTail({
    ...{ context: () => ({ logs, live }), limits: defaultLogqlLimits, clock: systemClock },
    logger: createLogger('silent'),
  });
  const app = { fetch: () => new Response(null, { status: 404 }) };
  server = await startHttpServer(app, { host: '127.0.0.1', port: 0 }, {}, { [tailPath]: tail.upgrade });
});
afterEach(async () => {
  await tail[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

interface Frame {
  readonly streams: readonly { readonly stream: object; readonly values: readonly [string, string][] }[];
  readonly dropped_entries: readonly { readonly labels: object; readonly timestamp: string }[];
}

function connect(parameters: Readonly<Record<string, string>> = {}): WebSocket & { frames: Frame[] } {
  const query = new URLSearchParams({ query: '{app="x"}', ...parameters });
  const client = new WebSocket(`ws://127.0.0.1:${server.port}${tailPath}?${query}`);
  const frames: Frame[] = [];
  client.on('message', (data) => frames.push(JSON.parse(String(data)) as Frame));
  return Object.assign(client, { frames });
}

const linesOf = ({ frames }: { readonly frames: readonly Frame[] }): string[] =>
  frames.flatMap(({ streams }) => streams.flatMap(({ values }) => values.map(([, line]) => line)));

const subscribed = (count: number) => expect.poll(() => listeners.size).toBe(count);

test('the newest lines since start, so many as limit, then each as it comes in; none twice', async () => {
  stored = [1n, 2n, 3n].map((ns) => [ns, `old ${ns}`] as const);
  const client = connect({ start: '1600000000000000000', limit: '2', query: '{app="x"} != "no"' });
  await subscribed(1);
  await expect.poll(() => linesOf(client)).toEqual(['old 2', 'old 3']);
  expect(asked[0]).toMatchObject({ fromNs: 1_600_000_000_000_000_000n, direction: 'backward' });
  publish([3n, 'old 3'], [4n, 'new'], [5n, 'no']);
  await expect.poll(() => linesOf(client)).toEqual(['old 2', 'old 3', 'new']);
  expect(client.frames[0]?.streams[0]?.stream).toEqual({ app: 'x' });
  client.close();
  await subscribed(0);
});

test('delay_for holds lines back, so that older ones that come later are in their order', () => {
  const line = (ns: bigint): TailLine => ({ timestampNs: ns, line: `${ns}`, labels: [] });
  const queue = createTailQueue(1000);
  queue.add([line(5n)], 0);
  queue.add([line(3n)], 400);
  expect(queue.take(999)).toBeUndefined();
  queue.add([line(4n)], 1100);
  expect(queue.take(1400)?.lines.map((one) => one.line)).toEqual(['3', '5']);
  expect(queue.take(2100)?.lines.map((one) => one.line)).toEqual(['4']);
  expect(queue.take(9000)).toBeUndefined();
});

test('frames are bounded in lines and bytes, what does not fit is dropped and named', () => {
  const queue = createTailQueue(0);
  const lines = (count: number, size: number): TailLine[] =>
    Array.from({ length: count }, (_, at) => ({
      ...{ timestampNs: BigInt(at), line: 'x'.repeat(size), labels: [['app', 'x']] },
    }));
  queue.add(lines(waitingLinesMax + 7, 1), 0);
  const first = queue.take(0);
  expect([first?.lines.length, first?.dropped.length]).toEqual([1000, 7]);
  for (let frame = 1; frame < 10; frame++) expect(queue.take(0)?.dropped).toEqual([]);
  expect(queue.take(0)).toBeUndefined();
  queue.add(lines(40, 1_000_000), 0);
  expect(queue.take(0)).toMatchObject({ lines: { length: 1 }, dropped: { length: 24 } });
});

test('a client that does not read loses lines, and is told which', async () => {
  const client = connect();
  await once(client, 'open');
  await subscribed(1);
  client.pause();
  const line = 'x'.repeat(100_000);
  let ns = 0n;
  for (let round = 0; round < 100; round++) {
    publish(...Array.from({ length: 10 }, () => [ns++, line] as const));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  client.resume();
  const dropped = () => client.frames.flatMap((frame) => frame.dropped_entries);
  await expect.poll(() => linesOf(client).length + dropped().length).toBe(1000);
  expect(dropped().length).toBeGreaterThan(100);
  expect(dropped()[0]).toEqual({ labels: { app: 'x' }, timestamp: expect.stringMatching(/^\d+$/) });
  publish([9_999n, 'goes on']);
  await expect.poll(() => linesOf(client).at(-1)).toBe('goes on');
});

test.each([
  [{ delay_for: '6' }, "delay_for can't be greater than 5"],
  [{ limit: '0' }, 'limit must be a positive value'],
  [{ start: 'today' }, "could not parse 'start' parameter"],
  [{ query: '{app="x"' }, 'parse error at line 1, col 9: syntax error: unexpected $end'],
  [{ query: '{app="x"} |~ "("' }, 'stage \'|~ "("\' : error parsing regexp: missing closing ): `(`'],
  [{ query: 'rate({app="x"}[1m])' }, 'only log selector is supported'],
])('%j is refused before the connection becomes one', async (parameters, message) => {
  const client = connect(parameters as Record<string, string>);
  client.on('error', () => undefined);
  const [, response] = await once(client, 'unexpected-response');
  expect(response.statusCode).toBe(400);
  expect((await response.setEncoding('utf8').toArray()).join('')).toContain(message);
});

test('one tail more than a tenant may have is refused by the name of the limit; one that ends makes room', async () => {
  const clients = Array.from({ length: tailsPerTenantMax }, () => connect());
  await subscribed(tailsPerTenantMax);
  const more = connect();
  more.on('error', () => undefined);
  const [, response] = await once(more, 'unexpected-response');
  expect(response.statusCode).toBe(429);
  expect((await response.setEncoding('utf8').toArray()).join('')).toContain('tailsPerTenantMax');
  clients[0]?.terminate();
  await subscribed(tailsPerTenantMax - 1);
  connect();
  await subscribed(tailsPerTenantMax);
});
