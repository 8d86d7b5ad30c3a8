import { writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { Aedes } from 'aedes';
import fc from 'fast-check';
import mqttPacket, { type IPublishPacket, type Packet } from 'mqtt-packet';
import { afterEach, expect, test, vi } from 'vitest';
import { createWebSocketStream, WebSocket } from 'ws';
import { systemClock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { mqttLimits } from '../../lake/receive/mqtt/mapper.ts';
import { compileRules } from '../../lake/receive/mqtt/rules/compile.ts';
import { connect, host, opened, start, temporaryFolder, until, urlOf } from './broker.fixture.ts';
import type { Broker } from './broker.ts';

/** Topics of messages that aedes has handled; the others went by the lane. */
const byAedes = vi.spyOn(Aedes.prototype, 'publish');
const topicsByAedes = (): string[] =>
  byAedes.mock.calls.map(([{ topic }]) => topic).filter((topic) => !topic.startsWith('$SYS'));
afterEach(() => void byAedes.mockClear());

type Publish = Pick<IPublishPacket, 'topic' | 'payload' | 'qos'> & Partial<IPublishPacket>;

/** A client that sends bytes as they are told, and what it gets. */
async function rawClient(broker: Broker, { version = 4, keepalive = 0, id = 'raw', webSocket = false } = {}) {
  const socket: Duplex = webSocket
    ? createWebSocketStream(new WebSocket(`ws://${host}:${broker.webSocketPort}`, 'mqtt'))
    : connectTcp(broker.port, host);
  opened.push(() => socket.destroy());
  const protocolVersion = version as 4 | 5;
  const parser = mqttPacket.parser({ protocolVersion });
  const got: Packet[] = [];
  let closed = false;
  parser.on('packet', (packet) => got.push(packet));
  socket.on('data', (bytes) => parser.parse(bytes));
  socket
    .on('error', () => undefined)
    .on('close', () => {
      closed = true;
    });
  const bytesOf = (packet: Packet): Buffer => mqttPacket.generate(packet, { protocolVersion });
  const publish = (message: Publish): Buffer =>
    bytesOf({ cmd: 'publish', dup: false, retain: false, ...message });
  socket.write(
    bytesOf({ cmd: 'connect', protocolId: 'MQTT', protocolVersion, clientId: id, clean: true, keepalive }),
  );
  await until(() => got.length === 1);
  return {
    ...{ socket, got, bytesOf, publish },
    isClosed: () => closed,
    acknowledged: () => got.flatMap(({ cmd, messageId }) => (cmd === 'puback' ? [messageId] : [])),
    received: () =>
      got.flatMap((packet) => (packet.cmd === 'publish' ? [`${packet.topic} ${packet.payload}`] : [])),
  };
}

test('acknowledgements keep the order of the publishes, by the lane and by aedes', async () => {
  const { broker } = await start({ dataDir: temporaryFolder() });
  const away = await connect(urlOf(broker), { clientId: 'away', clean: false });
  await away.subscribeAsync('kept/#', { qos: 1 });
  await away.endAsync();
  const { socket, publish, acknowledged } = await rawClient(broker);
  const topics = ['only/stored', 'kept/away', 'retained', 'only/stored', 'other', 'only/stored'];
  const ids = Array.from({ length: 300 }, (_, index) => index + 1);
  const all = ids.map((messageId) => {
    const topic = topics[messageId % topics.length] ?? '';
    return publish({ topic, payload: `${messageId}`, qos: 1, messageId, retain: topic === 'retained' });
  });
  socket.write(Buffer.concat(all));
  await until(() => acknowledged().length === 300);
  expect(acknowledged()).toEqual(ids);
  expect(new Set(topicsByAedes())).toEqual(new Set(['kept/away', 'retained']));
});

test('who subscribes in mid-stream gets each message from then on', async () => {
  const { broker, log } = await start();
  const publisher = await connect(urlOf(broker), { clientId: 'publisher' });
  const seen: number[] = [];
  let sent = 0;
  const publishing = (async () => {
    for (; sent < 400; sent++) await publisher.publishAsync('a/b', `${sent}`, { qos: 1 });
  })();
  await until(() => sent >= 50);
  expect(topicsByAedes()).toEqual([]);
  const subscriber = await connect(urlOf(broker), { clientId: 'subscriber' });
  subscriber.on('message', (_, payload) => seen.push(Number(payload)));
  await subscriber.subscribeAsync('a/+', { qos: 1 });
  const first = sent + 1; // the one that is on its way may be missed
  await publishing;
  await until(() => seen.at(-1) === 399);
  expect(seen.filter((n) => n >= first)).toEqual(Array.from({ length: 400 - first }, (_, n) => first + n));
  expect(log.values()).toEqual(Array.from({ length: 400 }, (_, n) => n));
  await subscriber.unsubscribeAsync('a/+');
  const before = topicsByAedes().length;
  await publisher.publishAsync('a/b', '400', { qos: 1 });
  expect(topicsByAedes()).toHaveLength(before);
});

test('who subscribes and publishes in one go gets its own message', async () => {
  const { broker } = await start({ dataDir: temporaryFolder() });
  const { socket, publish, bytesOf, received } = await rawClient(broker);
  const before = publish({ topic: 'own/a', payload: '1', qos: 1, messageId: 1 });
  const subscribe = bytesOf({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'own/#', qos: 0 }] });
  const after = publish({ topic: 'own/a', payload: '2', qos: 0 });
  socket.write(Buffer.concat([before, subscribe, after]));
  await until(() => received().length > 0);
  expect(received().at(-1)).toBe('own/a 2');
});

test('what may not be published is not taken: MQTT 3.1.1 is closed, MQTT 5 told so', async () => {
  const aclFile = join(temporaryFolder(), 'acl');
  writeFileSync(aclFile, 'topic write a/#\n');
  const access = { usersFile: '', aclFile, anonymous: true, certificateUser: 'none' as const };
  const { broker, log } = await start({ access });
  const allowed = { topic: 'a/b', payload: '1', qos: 1, messageId: 1 } as const;
  const denied = { topic: 'b', payload: '2', qos: 1, messageId: 2 } as const;
  for (const version of [4, 5]) {
    const client = await rawClient(broker, { version, id: `v${version}` });
    client.socket.write(Buffer.concat([allowed, denied].map(client.publish)));
    await until(() => client.acknowledged().length === 2 || client.isClosed());
    expect(client.acknowledged()).toEqual(version === 4 ? [1] : [1, 2]);
    expect(client.got.at(-1)).toMatchObject(
      version === 4 ? { messageId: 1 } : { messageId: 2, reasonCode: 0x87 },
    );
  }
  expect(log.values()).toEqual([1, 1]);
  expect(broker.counters().denied).toBe(2);
});

test('packets may be cut at any byte', async () => {
  const { broker, log } = await start();
  // Each message of a WebSocket is a read of its own, which TCP does not promise.
  const { socket, publish, bytesOf, acknowledged, got } = await rawClient(broker, { webSocket: true });
  const bytes = Buffer.concat([
    publish({ topic: 'cut/a', payload: '{"value":1,"ts":1700000000000}', qos: 1, messageId: 1 }),
    bytesOf({ cmd: 'pingreq' }),
    publish({ topic: 'cut/b', payload: `{"value":2,"pad":"${'x'.repeat(150)}"}`, qos: 1, messageId: 2 }),
  ]);
  for (let cut = 1; cut < bytes.length; cut++) {
    socket.write(bytes.subarray(0, cut));
    socket.write(bytes.subarray(cut));
  }
  for (const byte of bytes) socket.write(Buffer.of(byte));
  const expected = Array.from({ length: 2 * bytes.length }, (_, n) => (n % 2) + 1);
  await until(() => acknowledged().length === expected.length);
  expect(acknowledged()).toEqual(expected);
  expect(log.values()).toEqual(expected);
  expect(got.filter(({ cmd }) => cmd === 'pingresp')).toHaveLength(bytes.length);
  expect(topicsByAedes()).toEqual([]);
});

const message = fc.record({
  topic: fc.constantFrom('a/b', 'a/c', 'd', 'é'),
  payload: fc.oneof(
    fc.integer({ min: -50, max: 50 }).map(String),
    fc.constantFrom(
      '{"value":1.5,"ts":1700000000,"on":true}',
      '{"ts":1,"x":2}',
      'door open',
      '',
      '{"broken',
      '\0',
    ),
  ),
  qos: fc.constantFrom<0 | 1>(0, 1),
  retain: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

test('the lane and aedes store the same rows and acknowledge the same messages', async () => {
  const rules = compileRules([{ topic: 'd', metrics: [{ value: '$.x', name: 'ruled' }] }], mqttLimits);
  const run = async (
    messages: readonly Publish[],
    version: number,
    cuts: readonly number[],
    all: boolean,
  ) => {
    const { broker, log } = await start({ rules });
    // Whose topics somebody has subscribed to, those go by aedes.
    if (all) await (await connect(urlOf(broker), { clientId: 'all' })).subscribeAsync('#');
    const { socket, publish, acknowledged } = await rawClient(broker, { version, webSocket: true });
    const packets = messages.map((each, n) => publish({ ...each, messageId: n + 1 }));
    const end = publish({ topic: 'end', payload: '0', qos: 1, messageId: 1000 });
    const bytes = Buffer.concat([...packets, end]);
    const places = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
    for (const [n, place] of places.entries()) socket.write(bytes.subarray(places[n - 1] ?? 0, place));
    await until(() => acknowledged().at(-1) === 1000);
    const { received, receivedBytes, deadLetters } = broker.counters();
    return {
      ...{ acknowledged: acknowledged(), received, receivedBytes, deadLetters },
      ...{ names: log.names(), values: log.values(), lines: log.lines(), qualities: log.qualities() },
    };
  };
  const cuts = fc.array(fc.nat(), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(fc.array(message, { maxLength: 30 }), fc.constantFrom(4, 5), cuts, async (...input) => {
      byAedes.mockClear();
      const lane = await run(...input, false);
      const retained = input[0].filter(({ retain }) => retain).map(({ topic }) => topic);
      expect(topicsByAedes().sort()).toEqual(retained.sort());
      expect(await run(...input, true)).toEqual(lane);
    }),
    { numRuns: 25, seed: 20 },
  );
});

test('while the disk is slow no more is read than fits, and nothing is dropped', async () => {
  const { broker, log } = await start();
  const gate = Promise.withResolvers<void>();
  log.gate = () => gate.promise;
  const { socket, publish } = await rawClient(broker);
  const chunk = Buffer.concat(
    Array.from({ length: 1000 }, () => publish({ topic: 'fast', payload: '1', qos: 0 })),
  );
  const count = 300;
  for (let sent = 0; sent < count; sent++) socket.write(chunk);
  const readSoFar = async (): Promise<number> => {
    const before = broker.counters().received;
    await systemClock.sleep(50);
    return broker.counters().received - before;
  };
  await until(() => broker.counters().received > 0);
  await expect.poll(readSoFar).toBe(0);
  expect(broker.counters().received).toBeLessThan(40_000);
  gate.resolve();
  await until(() => broker.counters().received === count * 1000 && broker.counters().rowsInFlight === 0);
  expect(broker.counters().dropped).toBe(0);
});

test('when the log refuses for good, the connection is closed and nothing is acknowledged', async () => {
  const { broker, log } = await start();
  log.gate = () =>
    Promise.reject(new FirnError({ code: 'corrupt', operation: 'append', subject: 'log', message: 'gone' }));
  for (const version of [4, 5]) {
    const client = await rawClient(broker, { version, id: `v${version}` });
    client.socket.write(client.publish({ topic: 'a', payload: '1', qos: 1, messageId: 1 }));
    client.socket.write(client.publish({ topic: 'a', payload: '1', qos: 0 }));
    await until(client.isClosed);
    expect(client.acknowledged()).toEqual([]);
    if (version === 5) expect(client.got.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x89 });
  }
  expect(broker.counters().refused).toBe(2);
});

test('a client that only publishes is alive, one that does nothing is not', async () => {
  const { broker } = await start();
  const busy = await rawClient(broker, { keepalive: 1, id: 'busy' });
  const idle = await rawClient(broker, { keepalive: 1, id: 'idle' });
  let messageId = 0;
  await expect
    .poll(
      () => {
        busy.socket.write(busy.publish({ topic: 'a', payload: '1', qos: 1, messageId: ++messageId }));
        return idle.isClosed();
      },
      { interval: 100 },
    )
    .toBe(true);
  await until(() => busy.acknowledged().length === messageId);
  expect(busy.isClosed()).toBe(false);
  expect(topicsByAedes()).toEqual([]);
});
