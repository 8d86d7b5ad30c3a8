import { connect as connectTcp } from 'node:net';
import mqtt from 'mqtt';
import mqttPacket from 'mqtt-packet';
import { expect, test } from 'vitest';
import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { connect, host, opened, start, until, urlOf } from './broker.fixture.ts';

test('beyond messagesPerSecondMax a client is read more slowly; nothing is lost', async () => {
  let nowMs = 10_000;
  const sleepers: { untilMs: number; resolve: () => void }[] = [];
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => nowMs,
    sleep: (ms) => new Promise((resolve) => sleepers.push({ untilMs: nowMs + ms, resolve })),
  };
  const advance = (ms: number): void => {
    nowMs += ms;
    for (const { untilMs, resolve } of sleepers) if (untilMs <= nowMs) resolve();
  };
  const { broker, log } = await start({ messagesPerSecondMax: 10, clock });
  const client = await connect(urlOf(broker));
  const all = Promise.all(
    Array.from({ length: 25 }, (_, n) => client.publishAsync('a/b', String(n), { qos: n % 2 === 0 ? 1 : 0 })),
  );
  await until(() => broker.counters().received === 10 && sleepers.length > 0);
  const other = await connect(urlOf(broker));
  await other.publishAsync('a/c', '100', { qos: 1 }); // is not held up
  for (let step = 1; step <= 15; step++) {
    advance(100);
    await until(() => broker.counters().received === 11 + step);
  }
  await all;
  await until(() => log.values().length === 26);
  expect(log.values().filter((value) => value < 100)).toEqual(Array.from({ length: 25 }, (_, n) => n));
});

test('beyond subscriptionsMax a subscription is refused; one that is given up makes room', async () => {
  const { broker } = await start({ subscriptionsMax: 2 });
  const client = await connect(urlOf(broker));
  await client.subscribeAsync(['a', 'b']);
  await expect(client.subscribeAsync('c')).rejects.toThrow();
  await client.subscribeAsync('a'); // again
  await client.unsubscribeAsync('a');
  await client.subscribeAsync('c');
});

test('beyond connectionsPerAddressMax a connection is closed', async () => {
  const { broker } = await start({ connectionsPerAddressMax: 1 });
  const first = await connect(urlOf(broker));
  const second = connectTcp(broker.port, host);
  opened.push(() => second.destroy());
  await new Promise((resolve) => second.once('close', resolve));
  await first.endAsync();
  await until(() => broker.counters().clients === 0);
  await connect(urlOf(broker));
});

test('a longer keep-alive than keepAliveSecondsMax, or none, is refused in MQTT 3.1.1', async () => {
  const { broker } = await start({ keepAliveSecondsMax: 60 });
  await connect(urlOf(broker), { keepalive: 60 });
  for (const keepalive of [0, 61]) {
    const refused = mqtt.connectAsync(urlOf(broker), { keepalive, reconnectPeriod: 0 }, false);
    await expect(refused).rejects.toMatchObject({ code: 2 });
  }
});

test('beyond inFlightMessagesMax QoS 2 messages without PUBREL end the connection', async () => {
  const { broker, log } = await start({ inFlightMessagesMax: 3 });
  const socket = connectTcp(broker.port, host);
  opened.push(() => socket.destroy());
  const connectPacket = { cmd: 'connect', clientId: 'q', clean: true, keepalive: 60 } as const;
  socket.write(mqttPacket.generate(connectPacket as mqttPacket.IConnectPacket));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => undefined).resume();
  for (let messageId = 1; messageId <= 5; messageId++) {
    const packet = { cmd: 'publish', topic: 'a/b', payload: String(messageId), qos: 2, messageId } as const;
    socket.write(mqttPacket.generate({ ...packet, dup: false, retain: false }));
    await until(() => socket.destroyed || broker.counters().received >= Math.min(3, messageId));
    await systemClock.sleep(20);
  }
  await closed;
  expect(log.values()).toEqual([1, 2, 3]);
});

test('a subscriber that does not read holds up nobody; what it can not take is dropped and counted', async () => {
  const { broker, log } = await start({ outgoingBytesMax: 100_000 });
  const socket = connectTcp(broker.port, host);
  opened.push(() => socket.destroy());
  const packets: mqttPacket.Packet[] = [
    { cmd: 'connect', clientId: 'slow', clean: true, keepalive: 0, protocolId: 'MQTT', protocolVersion: 4 },
    {
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: 'a/#', qos: 0 }],
    } as mqttPacket.ISubscribePacket,
  ];
  for (const packet of packets) socket.write(mqttPacket.generate(packet));
  await new Promise((resolve) => socket.once('readable', resolve)); // and no more is read
  const publisher = await connect(urlOf(broker));
  const payload = 'x'.repeat(50_000);
  for (let n = 0; n < 400; n++) await publisher.publishAsync('a/b', payload, { qos: 1 });
  await until(() => broker.counters().undelivered > 0);
  expect(log.lines()).toHaveLength(400);
});

test('a client that does not acknowledge gets inFlightMessagesMax messages, the rest when it does', async () => {
  const { broker } = await start({ inFlightMessagesMax: 5, waitingMessagesMax: 3 });
  const slow = await connect(urlOf(broker));
  const held: (() => void)[] = [];
  const seen: string[] = [];
  slow.on('message', (_, payload) => seen.push(String(payload)));
  slow.handleMessage = (_, done) => void held.push(done);
  await slow.subscribeAsync('a/#', { qos: 1 });
  const publisher = await connect(urlOf(broker));
  for (let n = 1; n <= 10; n++) await publisher.publishAsync('a/b', String(n), { qos: 1 });
  await until(() => broker.counters().undelivered === 2);
  expect(broker.counters().sent).toBe(5);
  for (let n = 1; n <= 8; n++) {
    await until(() => held.length > 0);
    held.shift()?.();
  }
  expect(seen).toEqual(['1', '2', '3', '4', '5', '6', '7', '8']);
});

test('$SYS topics are published under the names of mosquitto, and belong to the broker', async () => {
  const { broker, log } = await start({ systemTopicsMs: 20, version: '1.2.3' });
  const client = await connect(urlOf(broker));
  const seen = new Map<string, string>();
  client.on('message', (topic, payload) => seen.set(topic, String(payload)));
  await client.subscribeAsync('$SYS/#');
  await client.publishAsync('a/b', '1', { qos: 1, retain: true });
  await until(() => seen.get('$SYS/broker/publish/messages/received') === '1');
  await until(() => seen.get('$SYS/broker/retained messages/count') === '1');
  expect(seen.get('$SYS/broker/version')).toBe('firn version 1.2.3');
  await until(() => Number(seen.get('$SYS/broker/load/publish/received/1min')) > 0);
  const everything = await connect(urlOf(broker));
  await until(() => seen.get('$SYS/broker/clients/connected') === '2');
  const topics: string[] = [];
  everything.on('message', (topic) => topics.push(topic));
  await everything.subscribeAsync('#');
  await client.publishAsync('a/c', '2', { qos: 1 });
  await until(() => topics.includes('a/c'));
  expect(topics).toEqual(['a/b', 'a/c']);
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  client.publish('$SYS/broker/uptime', '0', { qos: 1 });
  await closed;
  expect(log.values()).toEqual([1, 2]);
});
