import { once } from 'node:events';
import { expect, test } from 'vitest';
import { sql } from '../harness/firn.ts';
import { shareGateway } from '../harness/shared-gateway.ts';

// Senders to Loki that users have, into SQL.

const gateway = shareGateway();

const linesOf = (app: string): Promise<unknown[][]> =>
  sql(
    gateway.url,
    `SELECT line, severity, labels->>'service_name', attributes->>'detected_level' FROM logs
     WHERE labels->>'app' = '${app}' ORDER BY timestamp_ns, line`,
  );

test.each([
  ['JSON', true],
  ['protobuf and snappy', false],
])('winston-loki, %s', async (name, json) => {
  const { createLogger } = await import('winston');
  const { default: LokiTransport } = await import('winston-loki');
  const app = `winston ${name}`;
  const transport = new LokiTransport({
    ...{ host: gateway.url, json, labels: { app }, batching: true, interval: 1, gracefulShutdown: false },
    onConnectionError: (error) => expect.unreachable(String(error)),
  });
  const logger = createLogger({ transports: [transport] });
  logger.info('belt started');
  logger.error('belt stopped', { labels: { line: '7' } });
  await transport.flush();
  await expect.poll(() => linesOf(app), { timeout: 20_000 }).toHaveLength(2);
  const lines = await linesOf(app);
  expect(lines.map(([, level, service]) => [level, service])).toEqual([
    ['info', app],
    ['error', app],
  ]);
  expect(String(lines[0]?.[0])).toContain('belt started');
  logger.close();
});

test('pino-loki', async () => {
  const { pino } = await import('pino');
  const { pinoLoki } = await import('pino-loki');
  const stream = pinoLoki({ host: gateway.url, labels: { app: 'pino' }, batching: { interval: 1 } });
  const logger = pino({ level: 'debug' }, stream);
  logger.info({ order: 4711 }, 'belt started');
  logger.fatal('belt stopped');
  stream.end();
  await once(stream, 'close');
  await expect.poll(() => linesOf('pino'), { timeout: 20_000 }).toHaveLength(2);
  const lines = await linesOf('pino');
  expect(lines.map(([, level]) => level)).toEqual(['info', 'critical']);
  expect(String(lines[0]?.[0])).toMatch(/"order":4711.*belt started/);
});
