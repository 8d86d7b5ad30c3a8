import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { SeverityNumber } from '@opentelemetry/api';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { call, type Part, readKey, startPart, temporaryFolder } from '../harness/firn.ts';

// Logs by senders that users have, into a gateway, and out through Loki's API: of the gateway at once, of the cloud when
// they are shipped, and the same from both.

const folder = temporaryFolder();
const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
let cloud: Part;
let gateway: Part;
let key: { id: string; secret: string };
let cloudUrl: string;
let gatewayUrl: string;

beforeAll(async () => {
  cloud = await startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store]);
  gateway = await startPart('gateway', [
    ...['--data-dir', join(folder.path, 'gateway'), ...store, '--seal-interval-ms', '1000'],
    ...['--syslog-listen', '--syslog-port', '0'],
  ]);
  key = readKey(String(cloud.ready.keyFile));
  cloudUrl = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
  gatewayUrl = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
});
afterAll(async () => {
  await gateway?.stop();
  await cloud?.stop();
  folder[Symbol.dispose]();
});

const startNs = `${Date.now() - 3_600_000}000000`;

interface LokiAnswer {
  readonly resultType: string;
  readonly encodingFlags?: readonly string[];
  readonly result: readonly {
    readonly stream: Readonly<Record<string, string>>;
    readonly metric: Readonly<Record<string, string>>;
    readonly values: readonly (readonly [string, string, object?])[];
    readonly value: readonly [number, string];
  }[];
}

async function ask(
  base: string,
  path: string,
  parameters: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const times = { start: startNs, end: `${Date.now() + 60_000}000000` };
  const query = new URLSearchParams({ ...times, ...parameters });
  const response = await call(`${base}${path}?${query}`, base === cloudUrl ? key : undefined, { headers });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text}`);
  return JSON.parse(text);
}

const range = async (base: string, query: string, headers = {}): Promise<LokiAnswer> =>
  (
    (await ask(base, '/loki/api/v1/query_range', { query, limit: '1000', step: '3600' }, headers)) as {
      data: LokiAnswer;
    }
  ).data;
const linesOf = async (base: string, query: string): Promise<readonly string[]> =>
  (await range(base, query)).result.flatMap(({ values }) => values.map(([, line]) => line)).sort();

/** What the gateway answers, once it answers so many lines, and that the cloud comes to answer the same. */
async function bothAnswer(query: string, lines: number): Promise<readonly string[]> {
  await expect.poll(() => linesOf(gatewayUrl, query), { timeout: 30_000 }).toHaveLength(lines);
  const here = await linesOf(gatewayUrl, query);
  await expect.poll(() => linesOf(cloudUrl, query), { timeout: 60_000, interval: 500 }).toEqual(here);
  return here;
}

describe('logs in, and out on gateway and cloud', { timeout: 120_000 }, () => {
  test('winston-loki', async () => {
    const { createLogger } = await import('winston');
    const { default: LokiTransport } = await import('winston-loki');
    const transport = new LokiTransport({
      ...{ host: gatewayUrl, json: true, labels: { app: 'winston' }, batching: true, interval: 1 },
      gracefulShutdown: false,
    });
    const logger = createLogger({ transports: [transport] });
    logger.info('belt started');
    logger.error('belt stopped');
    await transport.flush();
    const lines = await bothAnswer('{app="winston"}', 2);
    expect(lines.join()).toContain('belt started');
    expect(await linesOf(cloudUrl, '{app="winston"} |= "stopped" | detected_level="error"')).toHaveLength(1);
    logger.close();
  });

  test('pino-loki', async () => {
    const { pino } = await import('pino');
    const { pinoLoki } = await import('pino-loki');
    const stream = pinoLoki({ host: gatewayUrl, labels: { app: 'pino' }, batching: { interval: 1 } });
    const logger = pino({ level: 'debug' }, stream);
    logger.info({ order: 4711 }, 'belt started');
    logger.fatal('belt stopped');
    stream.end();
    await once(stream, 'close');
    await bothAnswer('{app="pino"}', 2);
    const formatted = '{app="pino"} | json | order=4711 | line_format "{{.msg}} {{.order}}"';
    for (const base of [gatewayUrl, cloudUrl])
      expect(await linesOf(base, formatted)).toEqual(['belt started 4711']);
  });

  test('OpenTelemetry', async () => {
    const exporter = new OTLPLogExporter({ url: `${gatewayUrl}/otlp/v1/logs` });
    const provider = new LoggerProvider({
      resource: resourceFromAttributes({ 'service.name': 'press' }),
      processors: [new SimpleLogRecordProcessor({ exporter })],
    });
    const logger = provider.getLogger('test');
    logger.emit({ severityNumber: SeverityNumber.WARN, body: 'oil is low', attributes: { tank: '7' } });
    await provider.forceFlush();
    await bothAnswer('{service_name="press"} | tank="7" | detected_level="warn"', 1);
    await provider.shutdown();
  });

  test('syslog', async () => {
    const socket = createSocket('udp4');
    const message = '<11>1 2026-01-01T00:00:00Z plc-3 scada 42 - - valve stuck';
    socket.send(message.replace('2026-01-01T00:00:00Z', new Date().toISOString()), gateway.port('syslogUdp'));
    await bothAnswer('{service_name="scada"} |= "valve" | detected_level="error"', 1);
    socket.close();
  });
});

test('lines that are odd come back as they were, from both', { timeout: 120_000 }, async () => {
  const push = (values: readonly (readonly [string, string])[], app: string) =>
    call(`${gatewayUrl}/loki/api/v1/push`, undefined, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ streams: [{ stream: { app }, values }] }),
    });
  const now = `${Date.now()}000000`;
  const long = `${'x'.repeat(1_000_000)} end`;
  const odd = [
    '',
    ' ',
    'a\0b\0',
    '\u0001\u001b[31mred\u001b[0m',
    '\ud83d\ude00 \ufffd',
    'two\nlines\r\n',
    '"\\',
  ];
  // Half a character is no text: JSON.stringify writes it as an escape, and it is stored as what is not to be read.
  const wrong = 'half \ud83d';
  expect(
    (
      await push(
        [...odd, wrong].map((line) => [now, line] as const),
        'odd',
      )
    ).status,
  ).toBe(204);
  expect((await push([[now, long]], 'long')).status).toBe(204);
  const stored = [...odd, wrong.toWellFormed()].sort();
  expect(await bothAnswer('{app="odd"}', stored.length)).toEqual(stored);
  expect(await bothAnswer('{app="odd"} |= "\\x00"', 1)).toEqual(['a\0b\0']);
  expect((await bothAnswer('{app="long"} |= "x end"', 1))[0]).toBe(long);
  const refused = await push([[now, long.repeat(10)]], 'long');
  expect([refused.status, await refused.text()]).toEqual([
    400,
    "Max entry size '1048576' bytes exceeded by an entry of '10000040' bytes\n",
  ]);
  const oldNs = ['0', '1', '999999999', '1000000001'];
  expect(
    (
      await push(
        oldNs.map((ns) => [ns, `at ${ns}`] as const),
        'old',
      )
    ).status,
  ).toBe(204);
  const old = { query: '{app="old"}', start: '0', end: '2000000000', direction: 'forward' };
  const times = async (base: string): Promise<readonly string[]> =>
    ((await ask(base, '/loki/api/v1/query_range', old)) as { data: LokiAnswer }).data.result.flatMap(
      ({ values }) => values.map(([ns]) => ns),
    );
  for (const base of [gatewayUrl, cloudUrl])
    await expect.poll(() => times(base), { timeout: 60_000, interval: 500 }).toEqual(oldNs);
});

test('what Grafana asks has the same answer from both', { timeout: 120_000 }, async () => {
  const values = Array.from({ length: 300 }, (_, index) => [
    `${BigInt(Date.now()) * 1_000_000n + BigInt(index)}`,
    `{"level":"${index % 3 === 0 ? 'error' : 'info'}","status":${200 + (index % 4) * 100},"took":"${index}ms"}`,
    { trace: `t${index % 10}` },
  ]);
  const pushed = await call(`${gatewayUrl}/loki/api/v1/push`, undefined, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ streams: [{ stream: { app: 'grafana', line: '1' }, values }] }),
  });
  expect(pushed.status).toBe(204);
  await bothAnswer('{app="grafana"}', 300);
  const both = async (path: string, parameters: Readonly<Record<string, string>>): Promise<unknown> => {
    const end = `${Date.now() + 60_000}000000`;
    const [here, there] = await Promise.all(
      [gatewayUrl, cloudUrl].map((base) => ask(base, path, { ...parameters, end })),
    );
    const bare = (answer: unknown): unknown =>
      JSON.parse(JSON.stringify(answer, (name, value) => (name === 'stats' ? undefined : value)));
    expect(bare(there)).toEqual(bare(here));
    return bare(here);
  };
  const api = '/loki/api/v1';
  expect(await both(`${api}/labels`, { query: '{app="grafana"}' })).toEqual({
    status: 'success',
    data: ['app', 'gateway', 'line', 'service_name', 'site'],
  });
  expect(await both(`${api}/label/line/values`, {})).toEqual({ status: 'success', data: ['1'] });
  await both(`${api}/series`, { 'match[]': '{app="grafana"}' });
  const query = '{app="grafana"}';
  expect(await both(`${api}/index/stats`, { query })).toMatchObject({ streams: 1, entries: 300 });
  await both(`${api}/index/volume`, { query: '{service_name=~".+"}', limit: '5000' });
  await both(`${api}/index/volume_range`, { query, step: '60' });
  expect(await both(`${api}/detected_labels`, { query })).toMatchObject({
    detectedLabels: [{ label: 'app', cardinality: 1 }, {}, { label: 'line' }, {}, {}],
  });
  const fields = (await both(`${api}/detected_fields`, { query })) as { fields: { label: string }[] };
  expect(fields.fields).toContainEqual({
    ...{ label: 'status', type: 'int', cardinality: 4, parsers: ['json'], jsonPath: ['status'] },
  });
  expect(fields.fields).toContainEqual({ label: 'trace', type: 'string', cardinality: 10, parsers: null });
  await both(`${api}/detected_field/status/values`, { query });
  expect(await both(`${api}/patterns`, { query })).toMatchObject({ status: 'success', data: [{}, {}] });
  const counted = 'sum by (level) (count_over_time({app="grafana"} | json | status >= 400 [1h]))';
  await both(`${api}/query_range`, { query: counted, step: '600' });
  await both(`${api}/query`, {
    query: 'topk(2, sum by (trace) (count_over_time({app="grafana"}[1h])))',
    time: `${Date.now() + 1000}000000`,
  });
});

test('labels stand by where they come from when Grafana asks for it', async () => {
  const headers = { 'x-loki-response-encoding-flags': 'categorize-labels' };
  const { encodingFlags, result } = await range(gatewayUrl, '{app="grafana"} | json took="took"', headers);
  expect(encodingFlags).toEqual(['categorize-labels']);
  expect(result).toHaveLength(1);
  expect(result[0]?.stream).toMatchObject({ app: 'grafana', line: '1', service_name: 'grafana' });
  expect(result[0]?.values[0]?.[2]).toEqual({
    structuredMetadata: { detected_level: 'info', trace: 't9' },
    parsed: { took: '299ms' },
  });
});

test.each([
  ['gateway', () => gatewayUrl],
  ['cloud', () => cloudUrl],
])('tail of the %s: what there was, and what comes in', { timeout: 120_000 }, async (name, base) => {
  const app = `tail-${name}`;
  const push = async (line: string): Promise<void> => {
    const response = await call(`${gatewayUrl}/loki/api/v1/push`, undefined, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ streams: [{ stream: { app }, values: [[`${Date.now()}000000`, line]] }] }),
    });
    expect(response.status).toBe(204);
  };
  await push('level=error n=before');
  await expect.poll(() => linesOf(base(), `{app="${app}"}`), { timeout: 60_000 }).toHaveLength(1);
  const query = encodeURIComponent(`{app="${app}"} |= "error" | logfmt n`);
  const authorization = `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`;
  const socket = new WebSocket(`${base().replace('http', 'ws')}/loki/api/v1/tail?query=${query}`, {
    headers: base() === cloudUrl ? { authorization } : {},
  });
  const seen: string[] = [];
  socket.on('message', (data) => {
    const { streams } = JSON.parse(String(data)) as {
      streams: { stream: { n: string }; values: [string, string][] }[];
    };
    for (const { stream, values } of streams)
      for (const [, line] of values) seen.push(`${stream.n}: ${line}`);
  });
  await once(socket, 'open');
  await expect.poll(() => seen, { timeout: 30_000 }).toEqual(['before: level=error n=before']);
  await push('level=error n=after');
  await push('level=info n=other');
  await expect.poll(() => seen, { timeout: 60_000 }).toContain('after: level=error n=after');
  expect(seen).toHaveLength(2);
  socket.close();
});

test('a query that is wrong is answered in Loki’s words, as text', async () => {
  const response = await call(
    `${gatewayUrl}/loki/api/v1/query_range?query=${encodeURIComponent('{app="x"} | nope')}x{`,
  );
  expect([response.status, response.headers.get('content-type')]).toEqual([400, 'text/plain; charset=utf-8']);
  expect(await response.text()).toMatch(/^parse error at line 1, col \d+: syntax error: unexpected /);
  expect((await call(`${cloudUrl}/loki/api/v1/labels`)).status).toBe(401);
});
