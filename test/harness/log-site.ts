import { once } from 'node:events';
import { join } from 'node:path';
import { expect } from 'vitest';
import { WebSocket } from 'ws';
import { call, type Part, readKey, startPart, temporaryFolder } from './firn.ts';

// A gateway and the cloud that it ships to, asked for logs by Loki's API.

/** One of the two, as a client of Loki sees it. */
export interface LogPlace {
  readonly name: 'gateway' | 'cloud';
  readonly url: string;
  readonly key: { readonly id: string; readonly secret: string } | undefined;
}

export interface LogSite extends AsyncDisposable {
  readonly gateway: Part;
  readonly places: readonly [gateway: LogPlace, cloud: LogPlace];
}

export async function startLogSite(
  flags: {
    readonly gateway?: readonly string[];
    readonly cloud?: readonly string[];
    readonly folder?: string;
  } = {},
): Promise<LogSite> {
  await using stack = new AsyncDisposableStack();
  const path = flags.folder ?? stack.use(temporaryFolder()).path;
  const store = ['--store-kind', 'directory', '--store-path', join(path, 'lake')];
  const cloud = stack.use(
    await startPart('cloud', ['--data-dir', join(path, 'cloud'), ...store, ...(flags.cloud ?? [])]),
  );
  const gateway = stack.use(
    await startPart('gateway', [
      ...['--data-dir', join(path, 'gateway'), ...store, '--seal-interval-ms', '1000'],
      ...(flags.gateway ?? []),
    ]),
  );
  const open = stack.move();
  return {
    gateway,
    places: [
      { name: 'gateway', url: `http://127.0.0.1:${gateway.port('gatewayHttp')}`, key: undefined },
      {
        ...{ name: 'cloud', url: `http://127.0.0.1:${cloud.port('cloudHttp')}` },
        key: readKey(String(cloud.ready.keyFile ?? join(path, 'cloud', 'key.env'))),
      },
    ],
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

export interface LokiAnswer {
  readonly resultType: string;
  readonly encodingFlags?: readonly string[];
  readonly result: readonly {
    readonly stream: Readonly<Record<string, string>>;
    readonly metric: Readonly<Record<string, string>>;
    readonly values: readonly (readonly [string, string, object?])[];
    readonly value: readonly [number, string];
  }[];
  readonly stats: { readonly summary: { readonly totalLinesProcessed: number } };
}

type Texts = Readonly<Record<string, string>>;

/** What a place answers, whatever it is: status and text. The time is the last hour, where the parameters do not say. */
export async function askRaw(
  { url, key }: LogPlace,
  path: string,
  parameters: Texts,
  headers: Texts = {},
): Promise<readonly [status: number, text: string]> {
  const times = { start: `${Date.now() - 3_600_000}000000`, end: `${Date.now() + 60_000}000000` };
  const query = new URLSearchParams({ ...times, ...parameters });
  const response = await call(`${url}${path}?${query}`, key, { headers });
  return [response.status, await response.text()];
}

export async function ask(
  place: LogPlace,
  path: string,
  parameters: Texts,
  headers: Texts = {},
): Promise<unknown> {
  const [status, text] = await askRaw(place, path, parameters, headers);
  if (status !== 200) throw new Error(`${status} ${text}`);
  return JSON.parse(text);
}

export async function range(
  place: LogPlace,
  query: string,
  more: Texts = {},
  headers: Texts = {},
): Promise<LokiAnswer> {
  const parameters = { query, limit: '1000', step: '3600', ...more };
  return ((await ask(place, '/loki/api/v1/query_range', parameters, headers)) as { data: LokiAnswer }).data;
}

export const linesOf = async (place: LogPlace, query: string, more: Texts = {}): Promise<readonly string[]> =>
  (await range(place, query, more)).result.flatMap(({ values }) => values.map(([, line]) => line)).sort();

/** What the gateway answers, once it answers so many lines, and that the cloud comes to answer the same. */
export async function bothAnswer(
  { places: [gateway, cloud] }: LogSite,
  query: string,
  lines: number,
  more: Texts = {},
): Promise<readonly string[]> {
  await expect.poll(() => linesOf(gateway, query, more), { timeout: 30_000 }).toHaveLength(lines);
  const here = await linesOf(gateway, query, more);
  await expect.poll(() => linesOf(cloud, query, more), { timeout: 60_000, interval: 500 }).toEqual(here);
  return here;
}

/** What both answer, which must be the same but for stats. */
export async function both(site: LogSite, path: string, parameters: Texts): Promise<unknown> {
  const end = parameters.end ?? `${Date.now() + 60_000}000000`;
  const start = parameters.start ?? `${Date.now() - 3_600_000}000000`;
  const answers = await Promise.all(
    site.places.map((place) => ask(place, `/loki/api/v1${path}`, { ...parameters, start, end })),
  );
  const [here, there] = answers.map((answer): unknown =>
    JSON.parse(JSON.stringify(answer, (name, value) => (name === 'stats' ? undefined : value))),
  );
  expect(there, path).toEqual(here);
  return here;
}

/** Pushes lines of one stream to the gateway, as JSON. */
export function push(
  { places: [{ url }] }: LogSite,
  stream: Texts,
  values: readonly (readonly [string, string, Texts?])[],
): Promise<Response> {
  return call(`${url}/loki/api/v1/push`, undefined, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ streams: [{ stream, values }] }),
  });
}

export interface Tailed extends Disposable {
  /** Each with its stream's labels, as they came. */
  readonly seen: readonly { readonly labels: Texts; readonly line: string }[];
}

/** A tail that is open. */
export async function tail({ url, key }: LogPlace, query: string): Promise<Tailed> {
  const authorization = `Basic ${Buffer.from(`${key?.id}:${key?.secret}`).toString('base64')}`;
  const address = `${url.replace('http', 'ws')}/loki/api/v1/tail?query=${encodeURIComponent(query)}`;
  const socket = new WebSocket(address, { headers: key ? { authorization } : {} });
  const seen: { labels: Texts; line: string }[] = [];
  socket.on('message', (data) => {
    const { streams } = JSON.parse(String(data)) as {
      streams: { stream: Texts; values: [string, string][] }[];
    };
    for (const { stream, values } of streams)
      for (const [, line] of values) seen.push({ labels: stream, line });
  });
  await once(socket, 'open');
  return { seen, [Symbol.dispose]: () => socket.close() };
}
