import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { SeverityNumber } from '@opentelemetry/api';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call } from '../harness/firn.ts';
import {
  ask,
  askRaw,
  both,
  bothAnswer,
  type LogSite,
  linesOf,
  push,
  range,
  startLogSite,
  tail,
} from '../harness/log-site.ts';

// Logs by senders that users have, into a gateway, and out through Loki's API: of the gateway at once, of the cloud when
// they are shipped, and the same from both.

let site: LogSite;
beforeAll(async () => {
  site = await startLogSite({ gateway: ['--syslog-listen', '--syslog-port', '0'] });
});
afterAll(() => site?.[Symbol.asyncDispose]());

const urlOf = (): string => site.places[0].url;

async function sendByWinston(): Promise<void> {
  const { createLogger } = await import('winston');
  const { default: LokiTransport } = await import('winston-loki');
  const transport = new LokiTransport({
    ...{ host: urlOf(), json: true, labels: { app: 'winston' }, batching: true, interval: 1 },
    gracefulShutdown: false,
  });
  const logger = createLogger({ transports: [transport] });
  logger.info('belt started');
  logger.error('belt stopped');
  await transport.flush();
  logger.close();
}

async function sendByPino(): Promise<void> {
  const { pino } = await import('pino');
  const { pinoLoki } = await import('pino-loki');
  const stream = pinoLoki({ host: urlOf(), labels: { app: 'pino' }, batching: { interval: 1 } });
  const logger = pino({ level: 'debug' }, stream);
  logger.info({ order: 4711 }, 'belt started');
  logger.fatal('belt stopped');
  stream.end();
  await once(stream, 'close');
}

async function sendByOpenTelemetry(): Promise<void> {
  const exporter = new OTLPLogExporter({ url: `${urlOf()}/otlp/v1/logs` });
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ 'service.name': 'press' }),
    processors: [new SimpleLogRecordProcessor({ exporter })],
  });
  const logger = provider.getLogger('test');
  logger.emit({ severityNumber: SeverityNumber.WARN, body: 'oil is low', attributes: { tank: '7' } });
  logger.emit({ severityNumber: SeverityNumber.FATAL, body: 'oil is out', attributes: { tank: '7' } });
  await provider.forceFlush();
  await provider.shutdown();
}

async function sendBySyslog(): Promise<void> {
  const socket = createSocket('udp4');
  const send = (message: string) =>
    new Promise((resolve) => socket.send(message, site.gateway.port('syslogUdp'), resolve));
  const now = new Date();
  await send(`<11>1 ${now.toISOString()} plc-3 scada 42 - [plc@1 rack="2"] valve stuck`);
  const old = `${now.toUTCString().slice(8, 11)} ${String(now.getUTCDate()).padStart(2)} ${now.toISOString().slice(11, 19)}`;
  await send(`<14>${old} plc-3 scada: valve free`);
  socket.close();
}

async function sendByMqtt(): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${site.gateway.port('mqtt')}`);
  await client.publishAsync('hall/press/state', 'level=warn jammed', { qos: 1 });
  await client.publishAsync('hall/press/state', 'level=info running', { qos: 1 });
  await client.endAsync();
}

async function sendByLineProtocol(): Promise<void> {
  const body =
    'tail,host=plc-9 message="[error] no coolant"\ntail,host=plc-9 message="INFO: coolant is back"';
  expect((await call(`${urlOf()}/write`, undefined, { method: 'POST', body })).status).toBe(204);
}

/** Names, and what the lines of the newest have for labels of where they come from. */
const senders = [
  ['winston-loki', '{app="winston"}', sendByWinston, 'winston', ['error', 'info']],
  ['pino-loki', '{app="pino"}', sendByPino, 'pino', ['critical', 'info']],
  ['OpenTelemetry', '{service_name="press"}', sendByOpenTelemetry, 'press', ['fatal', 'warn']],
  ['syslog', '{source="syslog"}', sendBySyslog, 'scada', ['error', 'info']],
  ['MQTT', '{topic="hall/press/state"}', sendByMqtt, 'mqtt', ['info', 'warn']],
  ['line protocol', '{host="plc-9"}', sendByLineProtocol, 'tail', ['error', 'info']],
] as const;

describe('logs in; queries, tail and drilldown out, on gateway and cloud', { timeout: 180_000 }, () => {
  test.each(senders)('%s', async (_, query, send, service, levels) => {
    const [gateway, cloud] = site.places;
    using here = await tail(gateway, query);
    using there = await tail(cloud, query);
    await send();
    const lines = await bothAnswer(site, query, 2);
    for (const [name, { seen }] of Object.entries({ here, there }))
      await expect
        .poll(() => seen.map(({ line }) => line).sort(), { timeout: 60_000, message: `tail ${name}` })
        .toEqual(lines);
    const labelsSeen = (seen: typeof here.seen) => seen.map(({ labels }) => JSON.stringify(labels)).sort();
    expect(labelsSeen(there.seen)).toEqual(labelsSeen(here.seen));

    // What Logs Drilldown asks, from its first page on.
    const volume = (await both(site, '/index/volume', { query, targetLabels: 'service_name' })) as {
      data: { result: { metric: object }[] };
    };
    expect(volume.data.result.map(({ metric }) => metric)).toEqual([{ service_name: service }]);
    const counted = `sum by (detected_level) (count_over_time(${query} | drop __error__ [2h]))`;
    const counts = (await both(site, '/query', { query: counted, time: `${Date.now() + 1000}000000` })) as {
      data: { result: { metric: { detected_level: string } }[] };
    };
    expect(counts.data.result.map(({ metric }) => metric.detected_level)).toEqual(levels);
    expect(await both(site, '/detected_field/detected_level/values', { query })).toMatchObject({
      values: expect.arrayContaining([...levels]),
    });
    for (const path of ['/index/stats', '/detected_labels', '/detected_fields', '/labels', '/patterns'])
      await both(site, path, { query });
    await both(site, '/index/volume_range', { query, step: '60' });
    await both(site, '/series', { 'match[]': query });
    await both(site, '/label/service_name/values', { query });
  });

  test('what senders say besides the line can be asked for', async () => {
    const asked: readonly (readonly [string, string])[] = [
      ['{app="pino"} | json | order=4711 | line_format "{{.msg}} {{.order}}"', 'belt started 4711'],
      ['{service_name="press"} | tank="7" | detected_level="warn"', 'oil is low'],
      ['{service_name="scada"} | plc_1_rack="2" | process_id="42"', 'valve stuck'],
      ['{topic="hall/press/state"} | logfmt | level="warn"', 'level=warn jammed'],
    ];
    for (const [query, line] of asked)
      for (const place of site.places) expect(await linesOf(place, query), query).toEqual([line]);
  });
});

test('what Grafana asks has the same answer from both', { timeout: 120_000 }, async () => {
  const values = Array.from({ length: 300 }, (_, index) => {
    const ns = `${BigInt(Date.now()) * 1_000_000n + BigInt(index)}`;
    const level = index % 3 === 0 ? 'error' : 'info';
    const line = `{"level":"${level}","status":${200 + (index % 4) * 100},"took":"${index}ms"}`;
    return [ns, line, { trace: `t${index % 10}` }] as const;
  });
  expect((await push(site, { app: 'grafana', line: '1' }, values)).status).toBe(204);
  const query = '{app="grafana"}';
  await bothAnswer(site, query, 300);
  expect(await both(site, '/labels', { query })).toEqual({
    status: 'success',
    data: ['app', 'gateway', 'line', 'service_name', 'site'],
  });
  expect(await both(site, '/label/line/values', {})).toEqual({ status: 'success', data: ['1'] });
  await both(site, '/series', { 'match[]': query });
  expect(await both(site, '/index/stats', { query })).toMatchObject({ streams: 1, entries: 300 });
  await both(site, '/index/volume', { query: '{service_name=~".+"}', limit: '5000' });
  await both(site, '/index/volume_range', { query, step: '60' });
  expect(await both(site, '/detected_labels', { query })).toMatchObject({
    detectedLabels: [{ label: 'app', cardinality: 1 }, {}, { label: 'line' }, {}, {}],
  });
  const fields = (await both(site, '/detected_fields', { query })) as { fields: { label: string }[] };
  expect(fields.fields).toContainEqual({
    ...{ label: 'status', type: 'int', cardinality: 4, parsers: ['json'], jsonPath: ['status'] },
  });
  expect(fields.fields).toContainEqual({ label: 'trace', type: 'string', cardinality: 10, parsers: null });
  expect(await both(site, '/detected_field/status/values', { query })).toEqual({
    ...{ values: expect.arrayContaining(['200', '300', '400', '500']), limit: 1000 },
  });
  expect(await both(site, '/patterns', { query })).toMatchObject({ status: 'success', data: [{}, {}] });
  const counted = 'sum by (level) (count_over_time({app="grafana"} | json | status >= 400 [1h]))';
  await both(site, '/query_range', { query: counted, step: '600' });
  await both(site, '/query', {
    query: 'topk(2, sum by (trace) (count_over_time({app="grafana"}[1h])))',
    time: `${Date.now() + 1000}000000`,
  });
});

test('labels stand by where they come from when Grafana asks for it', async () => {
  const headers = { 'x-loki-response-encoding-flags': 'categorize-labels' };
  for (const place of site.places) {
    const { encodingFlags, result, stats } = await range(
      place,
      '{app="grafana"} | json took="took"',
      {},
      headers,
    );
    expect(encodingFlags).toEqual(['categorize-labels']);
    expect(result).toHaveLength(1);
    expect(result[0]?.stream).toMatchObject({ app: 'grafana', line: '1', service_name: 'grafana' });
    expect(result[0]?.values[0]?.[2]).toEqual({
      structuredMetadata: { detected_level: 'info', trace: 't9' },
      parsed: { took: '299ms' },
    });
    expect(stats.summary.totalLinesProcessed).toBeGreaterThanOrEqual(300);
  }
});

test('what the data source asks when it is saved, and what the apps ask first', async () => {
  for (const place of site.places) {
    const health = { query: 'vector(1)+vector(1)', time: '4000000000' };
    expect(await ask(place, '/loki/api/v1/query', health)).toMatchObject({
      status: 'success',
      data: { resultType: 'vector', result: [{ metric: {}, value: [4_000_000_000, '2'] }] },
    });
    expect(await ask(place, '/loki/api/v1/drilldown-limits', {})).toMatchObject({
      limits: {
        discover_log_levels: true,
        discover_service_name: expect.arrayContaining(['service', 'app', 'job']),
        log_level_fields: expect.arrayContaining(['level', 'severity_text']),
        max_entries_limit_per_query: 5000,
        volume_enabled: true,
      },
      pattern_ingester_enabled: true,
    });
    expect(await ask(place, '/loki/api/v1/format_query', { query: '{a="b"}|json|  c>1' })).toEqual({
      ...{ status: 'success', data: '{a="b"} | json | c>1' },
    });
    expect(await ask(place, '/loki/api/v1/status/buildinfo', {})).toHaveProperty('version');
    expect(await askRaw(place, '/ready', {})).toEqual([200, 'ready\n']);
    // No ruler: Grafana looks for these words.
    for (const path of ['/loki/api/v1/rules', '/api/prom/rules'])
      expect(await askRaw(place, path, {})).toEqual([404, '404 page not found\n']);
    expect(await ask(place, '/prometheus/api/v1/rules', {})).toMatchObject({ data: { groups: [] } });
    expect(await ask(place, '/prometheus/api/v1/alerts', {})).toMatchObject({ data: { alerts: [] } });
  }
});

test.each(['gateway', 'cloud'] as const)(
  'tail of the %s: what there was, and what comes in',
  { timeout: 120_000 },
  async (name) => {
    const place = site.places[name === 'gateway' ? 0 : 1];
    const app = `tail-${name}`;
    const pushLine = async (line: string): Promise<void> =>
      expect((await push(site, { app }, [[`${Date.now()}000000`, line]])).status).toBe(204);
    await pushLine('level=error n=before');
    await expect.poll(() => linesOf(place, `{app="${app}"}`), { timeout: 60_000 }).toHaveLength(1);
    using tailed = await tail(place, `{app="${app}"} |= "error" | logfmt n`);
    const seen = () => tailed.seen.map(({ labels, line }) => `${labels.n}: ${line}`);
    await expect.poll(seen, { timeout: 30_000 }).toEqual(['before: level=error n=before']);
    await pushLine('level=error n=after');
    await pushLine('level=info n=other');
    await expect.poll(seen, { timeout: 60_000 }).toContain('after: level=error n=after');
    expect(seen()).toHaveLength(2);
  },
);
