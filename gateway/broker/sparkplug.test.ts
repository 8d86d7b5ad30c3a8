import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClient } from 'sparkplug-client';
import { expect, test } from 'vitest';
import { get } from '../../lake/receive/sparkplug/payload.fixture.ts';
import { connect, host, opened, start, until, urlOf } from './broker.fixture.ts';

// Eclipse Tahu's client against the real broker.

const sparkplug = { hostId: 'firn', rebirthIntervalMs: 1000 };
const temperature = (value: number) => ({ name: 'Temp', alias: 3, type: 'Float', value }) as const;
const alone = (value: number) => ({ alias: 3, type: 'Float', value }) as never;

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'firn-sparkplug-'));
  opened.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** An edge node that publishes its births whenever it is asked, as the specification says. */
async function edgeNode(port: number, births = { count: 0 }): Promise<ReturnType<typeof newClient>> {
  const client = newClient({
    ...{ serverUrl: `mqtt://${host}:${port}`, username: '', password: '', groupId: 'G', edgeNode: 'E' },
    ...{ clientId: `edge-${Math.random()}`, version: 'spBv1.0', publishDeath: true },
  });
  opened.push(() => client.stop());
  const publish = (): void => {
    births.count++;
    client.publishNodeBirth({
      timestamp: Date.now(),
      metrics: [{ name: 'Node Control/Rebirth', type: 'Boolean', value: false }],
    });
    client.publishDeviceBirth('D', { timestamp: Date.now(), metrics: [temperature(1)] });
  };
  client.on('birth', publish);
  client.on('error', () => undefined);
  client.on('ncmd', ({ metrics }) => {
    if (metrics?.some(({ name, value }) => name === 'Node Control/Rebirth' && value === true)) publish();
  });
  await until(() => births.count > 0);
  return client;
}

test('births, data by alias, device death and node death of a real client', async () => {
  const { broker, log } = await start({ sparkplug });
  const client = await edgeNode(broker.port);
  client.publishDeviceData('D', { timestamp: Date.now(), metrics: [alone(2.5)] });
  await until(() => log.values().includes(2.5));
  expect(log.names().filter((name) => name === 'Temp')).toHaveLength(2);
  client.publishDeviceDeath('D', { timestamp: Date.now() });
  await until(() => log.values().filter(Number.isNaN).length === 1);
  client.stop();
  // The node's own birth has no metric but its control.
  await until(() => log.values().filter((value) => value === 0).length === 2);
  expect(broker.counters()).toMatchObject({ rebirths: 0, deadLetters: 0 });
});

test('an edge node that is not known is asked for its births, and gives them', async () => {
  const { broker, log } = await start({ sparkplug });
  const births = { count: 0 };
  const client = await edgeNode(broker.port, births);
  await until(() => log.values().includes(1));
  // A gap: another client takes a sequence number of the edge node.
  client.publishDeviceData('D', {
    timestamp: Date.now(),
    metrics: [{ alias: 99, type: 'Float', value: 4 } as never],
  });
  await until(() => births.count === 2);
  await until(() => log.values().filter((value) => value === 1 / 1).length > 2);
  expect(broker.counters()).toMatchObject({ rebirths: 1, deadLetters: 1 });
});

test('the rebirth command is an NCMD with QoS 0 that is not retained', async () => {
  const { broker } = await start({ sparkplug });
  const seen: string[] = [];
  const watcher = await connect(urlOf(broker));
  watcher.on('message', (topic, _, { qos, retain }) => seen.push(`${topic} ${qos} ${retain}`));
  await watcher.subscribeAsync('spBv1.0/+/NCMD/#', { qos: 1 });
  const sensor = await connect(urlOf(broker));
  await sensor.publishAsync(
    'spBv1.0/G/NDATA/E',
    Buffer.from(get().encodePayload({ timestamp: Date.now(), seq: 1, metrics: [] })),
  );
  await until(() => seen.length === 1);
  expect(seen).toEqual(['spBv1.0/G/NCMD/E 0 false']);
  const late = await connect(urlOf(broker));
  late.on('message', (topic) => seen.push(topic));
  await late.subscribeAsync(['spBv1.0/+/NCMD/#', 'end']);
  await late.publishAsync('end', '1');
  await until(() => seen.length > 1);
  expect(seen.slice(1)).toEqual(['end']);
});

test('aliases are known after a restart of the gateway', async () => {
  const dataDir = folder();
  const first = await start({ sparkplug, dataDir });
  const client = await edgeNode(first.broker.port);
  await until(() => first.log.values().includes(1));
  let message: { topic: string; payload: Buffer } | undefined;
  const watcher = await connect(urlOf(first.broker));
  watcher.on('message', (topic, payload) => {
    message = { topic, payload };
  });
  await watcher.subscribeAsync('spBv1.0/G/DDATA/#');
  client.publishDeviceData('D', { timestamp: Date.now(), metrics: [alone(7)] });
  await until(() => message !== undefined);
  await first.broker[Symbol.asyncDispose]();
  client.stop();
  const { broker, log } = await start({ sparkplug, dataDir });
  const bridge = await connect(urlOf(broker));
  await bridge.publishAsync(message?.topic ?? '', message?.payload ?? '', { qos: 1 });
  expect([log.names(), log.values()]).toEqual([['Temp'], [7]]);
  expect(broker.counters().rebirths).toBe(1);
});

test('STATE says that the host is there, again when someone denies it, and that it goes', async () => {
  const dataDir = folder();
  const { broker } = await start({ sparkplug, dataDir });
  const states: string[] = [];
  const client = await connect(urlOf(broker));
  client.on('message', (topic, payload, { retain, qos }) =>
    states.push(`${topic} ${JSON.parse(payload.toString()).online} ${retain ? 'retained ' : ''}${qos}`),
  );
  client.on('message', (_, payload) =>
    expect(JSON.parse(payload.toString())).toEqual({
      online: expect.any(Boolean),
      timestamp: expect.any(Number),
    }),
  );
  await client.subscribeAsync('spBv1.0/STATE/firn', { qos: 1 });
  await until(() => states.length === 1);
  expect(states).toEqual(['spBv1.0/STATE/firn true retained 1']);
  await client.publishAsync('spBv1.0/STATE/firn', '{"online":false,"timestamp":1}', { qos: 1, retain: true });
  await until(() => states.length === 3);
  expect(states.slice(1)).toEqual(['spBv1.0/STATE/firn false 1', 'spBv1.0/STATE/firn true 1']);
  const goesMs = Math.floor(Date.now());
  await broker[Symbol.asyncDispose]();
  const next = await start({ dataDir });
  const later = await connect(urlOf(next.broker));
  const kept: string[] = [];
  later.on('message', (_, payload) => kept.push(payload.toString()));
  await later.subscribeAsync('spBv1.0/STATE/firn', { qos: 1 });
  await until(() => kept.length === 1);
  const death = JSON.parse(kept[0] ?? '');
  expect(death).toEqual({ online: false, timestamp: expect.any(Number) });
  // When it goes, not when it came.
  expect(death.timestamp).toBeGreaterThanOrEqual(goesMs);
});
