import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import mqttPacket from 'mqtt-packet';
import { expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { connect, host, start, temporaryFolder, until, urlOf } from './broker.fixture.ts';
import type { Broker } from './broker.ts';

// Real MQTT 5 clients: mqtt.js, and mosquitto's where it is installed.

const connect5 = (broker: Broker, options: IClientOptions = {}): Promise<MqttClient> =>
  connect(urlOf(broker), { protocolVersion: 5, ...options });

function seenBy(client: MqttClient): IPublishPacket[] {
  const seen: IPublishPacket[] = [];
  client.on('message', (_, __, packet) => seen.push(packet));
  return seen;
}

/** What the library would not send. */
function sendByHand(
  client: MqttClient,
  packet: Pick<IPublishPacket, 'topic' | 'payload' | 'properties'>,
): void {
  const whole = { cmd: 'publish', qos: 1, messageId: 5, dup: false, retain: false, ...packet } as const;
  client.stream.write(mqttPacket.generate(whole, { protocolVersion: 5 }));
}

test.each([1, 2] as const)('QoS %d is acknowledged after the append', async (qos) => {
  const { broker, log } = await start();
  let open = (): void => undefined;
  const opening = new Promise<void>((resolve) => {
    open = resolve;
  });
  log.gate = () => opening;
  const client = await connect5(broker);
  let acknowledged = false;
  const published = client.publishAsync('a/b', '1', { qos }).then(() => {
    acknowledged = true;
  });
  await until(() => broker.counters().received === 1);
  await systemClock.sleep(50);
  expect(acknowledged).toBe(false);
  open();
  await published;
  expect(log.values()).toEqual([1]);
});

test('properties of a message reach a v5 subscriber, and a v4 one gets it without them', async () => {
  const { broker, log } = await start();
  const [five, four] = [await connect5(broker), await connect(urlOf(broker))];
  const seen = { five: seenBy(five), four: seenBy(four) };
  await five.subscribeAsync('a/#', { qos: 1, properties: { subscriptionIdentifier: 7 } });
  await four.subscribeAsync('a/#', { qos: 1 });
  const publisher = await connect5(broker);
  const properties = {
    userProperties: { unit: '°C', tags: ['x', 'y'] },
    contentType: 'text/plain',
    responseTopic: 'answers/1',
    correlationData: Buffer.from([0, 255]),
    payloadFormatIndicator: true,
  };
  await publisher.publishAsync('a/t', '21.5', { qos: 1, properties });
  await until(() => seen.five.length === 1 && seen.four.length === 1);
  expect(seen.five[0]?.properties).toMatchObject({ ...properties, subscriptionIdentifier: 7 });
  expect(seen.four[0]?.properties).toBe(undefined);
  expect(log.values()).toEqual([21.5]);
});

test('a topic alias stands for its topic; one that is not known ends the connection with 0x94', async () => {
  const { broker, log } = await start();
  const client = await connect5(broker);
  const publish = (topic: string, payload: string) =>
    client.publishAsync(topic, payload, { qos: 1, properties: { topicAlias: 3 } });
  await publish('a/power', '1');
  await publish('', '2');
  expect(log.names()).toEqual(['power', 'power']);
  const other = await connect5(broker);
  const ended = new Promise<number | undefined>((resolve) =>
    other.once('disconnect', ({ reasonCode }) => resolve(reasonCode)),
  );
  // By hand: the library would not send it.
  const packet = {
    cmd: 'publish',
    topic: '',
    payload: '3',
    qos: 1,
    messageId: 5,
    dup: false,
    retain: false,
  } as const;
  other.stream.write(
    mqttPacket.generate({ ...packet, properties: { topicAlias: 9 } }, { protocolVersion: 5 }),
  );
  expect(await ended).toBe(0x94);
});

test('what CONNACK says: limits, assigned id, keep-alive', async () => {
  const { broker } = await start({ keepAliveSecondsMax: 20, inFlightMessagesMax: 50 });
  const client = mqtt.connect(urlOf(broker), {
    protocolVersion: 5,
    clientId: '',
    keepalive: 600,
    reconnectPeriod: 0,
  });
  const connack = await new Promise<mqtt.IConnackPacket>((resolve) => client.once('connect', resolve));
  await client.endAsync(true);
  expect(connack).toMatchObject({ reasonCode: 0 });
  expect(connack.properties).toMatchObject({
    ...{
      receiveMaximum: 50,
      topicAliasMaximum: 100,
      maximumPacketSize: 16 * 1024 * 1024,
      serverKeepAlive: 20,
    },
    sharedSubscriptionAvailable: false,
    assignedClientIdentifier: expect.stringMatching(/^aedes_/),
  });
});

test('a session with an expiry comes back, and one without does not', async () => {
  const { broker } = await start();
  const session = (sessionExpiryInterval: number, clean = false): IClientOptions => ({
    ...{ clientId: `s${sessionExpiryInterval}`, clean, properties: { sessionExpiryInterval } },
  });
  const publisher = await connect5(broker);
  for (const seconds of [0, 3600]) {
    const first = await connect5(broker, session(seconds));
    await first.subscribeAsync('q/#', { qos: 1 });
    await first.endAsync();
    await publisher.publishAsync(`q/${seconds}`, '1', { qos: 1 });
    const back = mqtt.connect(urlOf(broker), { protocolVersion: 5, reconnectPeriod: 0, ...session(seconds) });
    const seen = seenBy(back);
    const { sessionPresent } = await new Promise<mqtt.IConnackPacket>((resolve) =>
      back.once('connect', resolve),
    );
    expect(sessionPresent).toBe(seconds > 0);
    if (seconds > 0) await until(() => seen.length === 1);
    await back.endAsync();
  }
  const clean = await connect5(broker, session(3600, true));
  await clean.endAsync();
  expect(broker.counters()).toMatchObject({ sessions: 0, waiting: 0 });
});

test.each(['memory', 'disk'])(
  'in %s: what waited for a session is delivered also when that ends with the connection',
  async (where) => {
    const { broker } = await start(where === 'disk' ? { dataDir: temporaryFolder() } : {});
    const first = await connect5(broker, { clientId: 'w', properties: { sessionExpiryInterval: 60 } });
    await first.subscribeAsync('w/#', { qos: 2 });
    await first.endAsync();
    const publisher = await connect5(broker);
    for (const qos of [1, 2] as const) await publisher.publishAsync('w/1', String(qos), { qos });
    const options: IClientOptions = { protocolVersion: 5, clientId: 'w', clean: false, reconnectPeriod: 0 };
    const back = mqtt.connect(urlOf(broker), options);
    const seen = seenBy(back);
    await until(() => seen.length === 2);
    await back.endAsync();
    await until(() => broker.counters().sessions === 0);
    expect(broker.counters().waiting).toBe(0);
  },
);

test.each(['memory', 'disk'])(
  'in %s: an expired message is not delivered, another one with what is left of its life',
  async (where) => {
    const { broker } = await start(where === 'disk' ? { dataDir: temporaryFolder() } : {});
    const away: IClientOptions = {
      clientId: 'away',
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    };
    const first = await connect5(broker, away);
    await first.subscribeAsync('e/#', { qos: 1 });
    await first.endAsync();
    const publisher = await connect5(broker);
    const publish = (payload: string, messageExpiryInterval: number) =>
      publisher.publishAsync('e/1', payload, { qos: 1, retain: true, properties: { messageExpiryInterval } });
    await publish('long', 100);
    await publish('short', 1);
    await systemClock.sleep(1200);
    const back = mqtt.connect(urlOf(broker), { protocolVersion: 5, reconnectPeriod: 0, ...away });
    const seen = seenBy(back);
    await until(() => seen.length === 1);
    expect(String(seen[0]?.payload)).toBe('long');
    expect(seen[0]?.properties?.messageExpiryInterval).toBeLessThan(100);
    await back.endAsync();
    const late = await connect5(broker); // the retained one is the short one
    const retained = seenBy(late);
    await late.subscribeAsync('e/#');
    await publisher.publishAsync('e/2', 'x', { qos: 1 });
    await until(() => retained.length === 1);
    expect(retained[0]?.topic).toBe('e/2');
  },
);

test('a will waits for its delay, and is stored with its properties', async () => {
  const { broker, log } = await start();
  const watcher = await connect5(broker);
  const seen = seenBy(watcher);
  await watcher.subscribeAsync('lost/#', { qos: 1 });
  const will = (payload: string, willDelayInterval: number) => ({
    ...{ topic: `lost/${payload}`, payload: Buffer.from(payload), qos: 1 as const, retain: false },
    properties: { willDelayInterval, userProperties: { why: 'gone' } },
  });
  const options = { properties: { sessionExpiryInterval: 60 }, clean: false };
  const slow = await connect5(broker, { ...options, clientId: 'slow', will: will('1', 1) });
  const back = await connect5(broker, { ...options, clientId: 'back', will: will('2', 1) });
  slow.stream.destroy();
  back.stream.destroy();
  await until(() => broker.counters().clients === 1);
  expect(seen).toEqual([]);
  await connect5(broker, { ...options, clientId: 'back' });
  await until(() => seen.length === 1);
  expect(seen[0]).toMatchObject({ topic: 'lost/1', properties: { userProperties: { why: 'gone' } } });
  expect(seen[0]?.properties).not.toHaveProperty('willDelayInterval');
  expect(log.values()).toEqual([1]);
  const asked = await connect5(broker, { clientId: 'asked', will: will('3', 0) });
  await asked.endAsync(false, { reasonCode: 4 }); // disconnect with will
  await until(() => seen.length === 2);
});

test('reason codes: shared subscriptions, too many of them, takeover, large packets, overload', async () => {
  const { broker, log } = await start({ subscriptionsMax: 1, packetBytesMax: 100_000, inFlightRowsMax: 1 });
  const reasons: (number | undefined)[] = [];
  const watch = async (options: IClientOptions = {}): Promise<MqttClient> => {
    const client = await connect5(broker, options);
    client.on('disconnect', ({ reasonCode }) => reasons.push(reasonCode));
    return client;
  };
  const client = await watch({ clientId: 'one' });
  const grants = async (topic: string): Promise<number | undefined> =>
    (
      await client
        .subscribeAsync(topic)
        .catch(({ packet }: { packet: mqttPacket.ISubackPacket }) => [{ qos: packet.granted[0] }])
    )[0]?.qos as number;
  expect(await grants('$share/g/a/#')).toBe(0x9e);
  expect(await grants('a/1')).toBe(0);
  expect(await grants('a/2')).toBe(0x87);
  await connect5(broker, { clientId: 'one' });
  await until(() => reasons.length === 1);
  const large = await watch();
  sendByHand(large, { topic: 'a/b', payload: 'x'.repeat(150_000) });
  await until(() => reasons.length === 2);
  let open = (): void => undefined;
  const opening = new Promise<void>((resolve) => {
    open = resolve;
  });
  log.gate = () => opening;
  const busy = await watch();
  for (const n of [1, 2, 3]) busy.publish('a/b', String(n), { qos: 1 });
  await until(() => reasons.length === 3);
  open();
  expect(reasons).toEqual([0x8e, 0x95, 0x89]);
});

test('Receive Maximum is kept to: no more than so many are under way to a client', async () => {
  const { broker } = await start();
  const slow = await connect5(broker, { properties: { receiveMaximum: 2 } });
  const held: (() => void)[] = [];
  const seen: string[] = [];
  slow.handleMessage = (packet, done) => {
    seen.push(String((packet as IPublishPacket).payload));
    held.push(done);
  };
  await slow.subscribeAsync('w/#', { qos: 1 });
  const publisher = await connect5(broker);
  for (let n = 0; n < 6; n++) await publisher.publishAsync('w/1', String(n), { qos: 1 });
  await until(() => seen.length >= 1);
  for (let n = 0; n < 6; n++) {
    await until(() => held.length > 0);
    expect(broker.counters().sent).toBeLessThanOrEqual(n + 2);
    held.shift()?.();
  }
  await until(() => seen.length === 6);
  expect(seen).toEqual(['0', '1', '2', '3', '4', '5']);
});

const [mosquittoPub, mosquittoSub] = ['mosquitto_pub', 'mosquitto_sub'];
const installed = spawnSync(mosquittoPub, ['--help']).error === undefined;
test.skipIf(!installed)('mosquitto_pub and mosquitto_sub with -V 5 (skipped: not installed)', async () => {
  const { broker, log } = await start();
  const run = promisify(execFile);
  const to = ['-h', host, '-p', String(broker.port), '-V', '5'];
  const heard = run(mosquittoSub, [...to, '-t', 'm/#', '-q', '2', '-C', '3', '-F', '%t %p %P'], {
    timeout: 10_000,
  });
  await until(() => broker.counters().clients === 1);
  await systemClock.sleep(200);
  for (const qos of ['0', '1', '2'])
    await run(mosquittoPub, [
      ...to,
      '-t',
      'm/t',
      '-m',
      qos,
      '-q',
      qos,
      '-D',
      'publish',
      'user-property',
      'k',
      qos,
    ]);
  const { stdout } = await heard;
  expect(stdout.trim().split('\n').sort()).toEqual(['m/t 0 k:0', 'm/t 1 k:1', 'm/t 2 k:2']);
  expect(log.values().sort()).toEqual([0, 1, 2]);
  const properties = [
    '-D',
    'will',
    'will-delay-interval',
    '1',
    '-D',
    'publish',
    'message-expiry-interval',
    '5',
  ];
  const will = ['--will-topic', 'm/will', '--will-payload', '9', '--will-qos', '1'];
  await run(mosquittoPub, [...to, '-t', 'm/t', '-m', '3', '-q', '1', ...properties, ...will]);
  expect(log.values()).toContain(3);
});
