import { execFile, spawnSync } from 'node:child_process';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { promisify } from 'node:util';
import fc from 'fast-check';
import mqtt, { type IClientOptions } from 'mqtt';
import { expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { connect, host, opened, start, until, urlOf } from './broker.fixture.ts';
import type { Broker } from './broker.ts';

const unavailable = (): FirnError =>
  new FirnError({ code: 'unavailable', operation: 'append', subject: 'test', message: 'disk full' });

/** A gate that lets nothing through until it is opened. */
function createGate() {
  let open = (): void => undefined;
  const opening = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { wait: () => opening, open };
}

test.each(['mqtt', 'ws'])('%s: QoS 1 and 2 are acknowledged after the append', async (protocol) => {
  const { broker, log } = await start();
  const port = protocol === 'ws' ? broker.webSocketPort : broker.port;
  const client = await connect(`${protocol}://${host}:${port}`);
  for (const qos of [1, 2] as const) {
    const gate = createGate();
    log.gate = gate.wait;
    let acknowledged = false;
    const published = client.publishAsync('plant/l1/temperature', String(qos), { qos }).then(() => {
      acknowledged = true;
    });
    await until(() => broker.counters().received === qos);
    await systemClock.sleep(50);
    expect(acknowledged).toBe(false);
    gate.open();
    await published;
    expect(log.values().at(-1)).toBe(qos);
  }
  expect(log.names()).toEqual(['temperature', 'temperature']);
});

test('thousands of messages share appends; each is acknowledged once, in order', async () => {
  const { broker, log } = await start();
  log.gate = () => systemClock.sleep(5);
  const client = await connect(urlOf(broker));
  const acknowledged: number[] = [];
  const count = 3000;
  await Promise.all(
    Array.from({ length: count }, async (_, n) => {
      await client.publishAsync('a/n', String(n), { qos: 1 });
      acknowledged.push(n);
    }),
  );
  expect(log.values()).toEqual(Array.from({ length: count }, (_, n) => n));
  expect(acknowledged).toEqual(log.values());
  expect(log.batches.length).toBeLessThan(count / 10);
  const times = log.batches.flatMap((batch) => (batch.signal === 'metrics' ? [...batch.timestampUs] : []));
  expect(new Set(times).size).toBe(count); // no two of one topic at one time
  expect(broker.counters()).toMatchObject({ received: count, dropped: 0, refused: 0, rowsInFlight: 0 });
});

test('QoS 0 is stored, retained and delivered, without waiting', async () => {
  const { broker, log } = await start();
  const subscriber = await connect(urlOf(broker));
  const seen: string[] = [];
  subscriber.on('message', (topic, payload) => seen.push(`${topic} ${payload}`));
  await subscriber.subscribeAsync('a/#');
  const client = await connect(urlOf(broker));
  await client.publishAsync('a/b', '1', { retain: true });
  await until(() => log.values().length === 1 && seen.length === 1);
  const late = await connect(urlOf(broker));
  late.on('message', (topic, payload, { retain }) => seen.push(`${topic} ${payload} ${retain}`));
  await late.subscribeAsync('a/b');
  await until(() => seen.length === 2);
  expect(seen).toEqual(['a/b 1', 'a/b 1 true']);
  await client.publishAsync('a/b', '', { retain: true, qos: 1 }); // clears it: acknowledged, no row
  expect(log.values()).toEqual([1]);
});

test('a malformed payload is a dead letter, and its connection goes on', async () => {
  const { broker, log } = await start({ payloadBytesMax: 100 });
  const client = await connect(urlOf(broker));
  await client.publishAsync('a/b', '{"a":', { qos: 1 });
  await client.publishAsync('a/b', 'x'.repeat(101), { qos: 1 });
  await client.publishAsync('a/b', '2', { qos: 1 });
  expect(log.lines()).toEqual(['{"a":', 'x'.repeat(101)]);
  expect(log.values()).toEqual([2]);
  expect(broker.counters()).toMatchObject({ deadLetters: 2, received: 3 });
});

test('while the log refuses, the acknowledgement is withheld; then all is stored once', async () => {
  const said: string[] = [];
  const { broker, log } = await start({ logger: createLogger('info', (line) => said.push(line)) });
  let refusals = 0;
  log.gate = async () => {
    if (refusals++ < 2) throw unavailable();
  };
  const client = await connect(urlOf(broker));
  await Promise.all([1, 2, 3].map((n) => client.publishAsync('a/b', String(n), { qos: 1 })));
  expect(refusals).toBeGreaterThan(2);
  expect(log.values()).toEqual([1, 2, 3]);
  expect(said[0]).toContain('cannot be stored yet');
  expect(said.at(-1)).toContain('are stored again');
});

test('beyond inFlightRowsMax QoS 0 is dropped and counted, QoS 1 refused by closing the connection', async () => {
  const dropped: number[] = [];
  const { broker, log } = await start({ inFlightRowsMax: 2, onDropped: (us) => dropped.push(us) });
  const gate = createGate();
  log.gate = gate.wait;
  const client = await connect(urlOf(broker));
  for (const n of [1, 2, 3, 4, 5]) await client.publishAsync('a/b', String(n));
  await until(() => broker.counters().dropped === 3);
  expect(dropped).toHaveLength(3);
  expect(Math.abs((dropped[0] ?? 0) / 1000 - Date.now())).toBeLessThan(60_000);
  expect(broker.counters().receivedBytes).toBe(2 * 'a/b1'.length);
  const closed = new Promise<void>((resolve) => client.once('close', resolve));
  client.publish('a/b', '6', { qos: 1 });
  await closed;
  expect(broker.counters()).toMatchObject({ refused: 1, rowsInFlight: 2 });
  gate.open();
  await until(() => broker.counters().rowsInFlight === 0);
  expect(log.values()).toEqual([1, 2]);
  const again = await connect(urlOf(broker));
  await again.publishAsync('a/b', '6', { qos: 1 });
  expect(log.values()).toEqual([1, 2, 6]);
});

test('a will is stored when its client is lost', async () => {
  const { broker, log } = await start();
  const client = await connect(urlOf(broker), {
    will: { topic: 'a/lost', payload: Buffer.from('1'), qos: 1, retain: true },
  });
  client.stream.destroy();
  await until(() => log.names().includes('lost'));
  const late = await connect(urlOf(broker));
  const seen: string[] = [];
  late.on('message', (topic, payload, { qos, retain }) => seen.push(`${topic} ${payload} ${qos} ${retain}`));
  await late.subscribeAsync('a/#', { qos: 1 });
  await until(() => seen.length > 0);
  expect(seen).toEqual(['a/lost 1 1 true']);
});

// Packets by hand: what clients of the library would not send.
const connectPacket = (id: string, { clean = false, level = 4 } = {}): Buffer =>
  Buffer.concat([
    Buffer.from([0x10, 12 + id.length, 0, 4]),
    Buffer.from('MQTT'),
    Buffer.from([level, clean ? 2 : 0, 0, 60, 0, id.length]),
    Buffer.from(id),
  ]);
const publishPacket = (payload: string, { qos = 2, dup = false, id = 7 } = {}): Buffer =>
  Buffer.concat([
    Buffer.from([0x30 | (dup ? 8 : 0) | (qos << 1), 7 + payload.length, 0, 3]),
    Buffer.from('a/b'),
    Buffer.from([0, id]),
    Buffer.from(payload),
  ]);
const pubrel = Buffer.from([0x62, 2, 0, 7]);
const pubrec = '50020007';
const pubcomp = '70020007';

async function raw(broker: Broker): Promise<{ socket: Socket; received: () => string }> {
  const socket = connectTcp(broker.port, host);
  opened.push(() => socket.destroy());
  let hex = '';
  socket.on('data', (chunk) => {
    hex += chunk.toString('hex');
  });
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve));
  return { socket, received: () => hex };
}

test('a QoS 2 message that is sent again before its PUBREL is stored once', async () => {
  const { broker, log } = await start();
  const gate = createGate();
  log.gate = gate.wait;
  const first = await raw(broker);
  first.socket.write(connectPacket('dup'));
  await until(() => first.received().startsWith('2002'));
  // Again while the first is on its way to the disk, on the same connection and on the next one.
  first.socket.write(Buffer.concat([publishPacket('1'), publishPacket('1', { dup: true })]));
  await until(() => broker.counters().received === 1);
  first.socket.destroy();
  await until(() => broker.counters().clients === 0);
  const second = await raw(broker);
  second.socket.write(connectPacket('dup'));
  await until(() => second.received().startsWith('2002'));
  second.socket.write(publishPacket('1', { dup: true }));
  gate.open();
  await until(() => second.received().endsWith(pubrec));
  // And once more after it is stored.
  second.socket.write(publishPacket('1', { dup: true }));
  await until(() => second.received().endsWith(pubrec + pubrec));
  second.socket.write(pubrel);
  await until(() => second.received().endsWith(pubcomp));
  expect(log.values()).toEqual([1]);
  // After PUBREL the same id is another message.
  second.socket.write(publishPacket('2'));
  await until(() => log.values().length === 2);
});

test('the packet id of a lost clean session is another message in the next one', async () => {
  const { broker, log } = await start();
  const gate = createGate();
  log.gate = gate.wait;
  for (const payload of ['1', '2']) {
    const { socket, received } = await raw(broker);
    socket.write(connectPacket('clean', { clean: true }));
    await until(() => received().startsWith('2002'));
    socket.write(publishPacket(payload));
    await until(() => broker.counters().received === Number(payload));
    socket.destroy();
    await until(() => broker.counters().clients === 0);
  }
  gate.open();
  await until(() => log.values().length === 2);
  expect(log.values()).toEqual([1, 2]);
});

test('beyond connectionsMax CONNACK says server unavailable; a taken-over session does not count', async () => {
  const { broker } = await start({ connectionsMax: 1 });
  const first = await connect(urlOf(broker), { clientId: 'one' });
  const refused = mqtt.connectAsync(urlOf(broker), { clientId: 'two', reconnectPeriod: 0 }, false);
  await expect(refused).rejects.toMatchObject({ code: 3 });
  const taken = new Promise<void>((resolve) => first.once('close', resolve));
  await connect(urlOf(broker), { clientId: 'one' });
  await taken;
  expect(broker.counters().clients).toBe(1);
});

test('a packet beyond packetBytesMax closes the connection before it is collected', async () => {
  const { broker, log } = await start({ packetBytesMax: 100_000 });
  const client = await connect(urlOf(broker));
  await client.publishAsync('a/b', '1'.padStart(99_000), { qos: 1 });
  const closed = new Promise<void>((resolve) => client.once('close', resolve));
  client.publish('a/b', '2'.padStart(200_000), { qos: 1 });
  await closed;
  expect(log.values()).toEqual([1]);
});

test('beyond waitingMessagesMax nothing is kept for a subscriber that is away', async () => {
  const { broker, log } = await start({ waitingMessagesMax: 3 });
  const session: IClientOptions = { clientId: 'away', clean: false };
  const publisher = await connect(urlOf(broker));
  const away = await connect(urlOf(broker), session);
  await away.subscribeAsync('a/#', { qos: 1 });
  for (const round of [1, 2]) {
    await (round === 1 ? away.endAsync() : undefined);
    await until(() => broker.counters().clients === 1);
    for (let n = 1; n <= 5; n++) await publisher.publishAsync('a/n', String(n), { qos: 1 });
    await until(() => broker.counters().undelivered === 2 * round);
    const seen: string[] = [];
    const back = mqtt.connect(urlOf(broker), { ...session, reconnectPeriod: 0 });
    back.on('message', (_, payload) => seen.push(payload.toString()));
    await until(() => seen.length === 3);
    await back.endAsync();
    expect(seen).toEqual(['1', '2', '3']);
  }
  expect(log.values()).toHaveLength(10);
});

test('beyond retainedTopicsMax a message is not retained', async () => {
  const { broker, log } = await start({ retainedTopicsMax: 1 });
  const client = await connect(urlOf(broker));
  const retain = (topic: string, payload: string) =>
    client.publishAsync(topic, payload, { qos: 1, retain: true });
  await retain('a/1', '1');
  await retain('a/2', '2');
  await retain('a/1', '3');
  await until(() => broker.counters().undelivered === 1);
  const seen: string[] = [];
  client.on('message', (topic, payload) => seen.push(`${topic} ${payload}`));
  await client.subscribeAsync('a/#');
  await until(() => seen.length > 0);
  expect(seen).toEqual(['a/1 3']);
  await retain('a/1', ''); // makes room
  await retain('a/2', '4');
  expect(broker.counters().undelivered).toBe(1);
  expect(log.values()).toEqual([1, 2, 3, 4]);
});

test('bytes that are not MQTT close their connection and nothing else', async () => {
  const { broker, log } = await start();
  const client = await connect(urlOf(broker));
  const mutation = fc.record({
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 50 }),
      fc.tuple(fc.nat({ max: 40 }), fc.integer({ min: 0, max: 255 })).map(([at, byte]) => {
        const packets = Buffer.concat([
          connectPacket('fuzz'),
          publishPacket('1'),
          pubrel,
          publishPacket('2'),
        ]);
        packets[at] = byte;
        return packets;
      }),
    ),
  });
  await fc.assert(
    fc.asyncProperty(mutation, async ({ bytes }) => {
      const { socket } = await raw(broker);
      socket.end(bytes);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }),
    { numRuns: 300 },
  );
  await client.publishAsync('a/good', '42', { qos: 1 });
  expect(log.values().at(-1)).toBe(42);
});

test('a busy port is named, and nothing stays open', async () => {
  const busy = createServer();
  await new Promise<void>((resolve) => busy.listen(0, host, resolve));
  opened.push(() => busy.close());
  const { port } = busy.address() as { port: number };
  const expected = { code: 'unavailable', message: expect.stringContaining(`${host}:${port}`) };
  await expect(start({ port })).rejects.toMatchObject(expected);
  await expect(start({ webSocketPort: port })).rejects.toMatchObject(expected);
});

test('closing stores what is on its way, and acknowledges nothing that is not', async () => {
  const { broker, log } = await start();
  log.gate = () => systemClock.sleep(30);
  const client = await connect(urlOf(broker));
  let acknowledged = 0;
  for (const n of [1, 2, 3])
    client.publish('a/b', String(n), { qos: 1 }, (error) => {
      if (!error) acknowledged++;
    });
  await until(() => broker.counters().received === 3);
  await broker[Symbol.asyncDispose]();
  expect(log.values()).toEqual([1, 2, 3]);
  expect(acknowledged).toBeLessThanOrEqual(3);
  await expect(connect(urlOf(broker))).rejects.toThrow();
});

const mosquittoPub = 'mosquitto_pub';
const mosquitto = spawnSync(mosquittoPub, ['--help']).error === undefined;
test.skipIf(!mosquitto)('mosquitto_pub: every QoS (skipped: not installed)', async () => {
  const { broker, log } = await start();
  const publish = async (...args: string[]): Promise<string> => {
    const to = ['-h', host, '-p', String(broker.port), '-t', 'a/b', ...args];
    const { stderr } = await promisify(execFile)(mosquittoPub, to, { timeout: 10_000 });
    return stderr;
  };
  for (const qos of ['0', '1', '2']) expect(await publish('-m', qos, '-q', qos)).toBe('');
  await until(() => log.values().length === 3);
  expect(log.values().sort()).toEqual([0, 1, 2]);
});

test('a subscriber gets no retained message after one that has replaced it', async () => {
  const { broker } = await start();
  const client = await connect(urlOf(broker));
  const topics = Array.from({ length: 300 }, (_, n) => `r/${n}`);
  await Promise.all(topics.map((topic) => client.publishAsync(topic, '1', { qos: 1, retain: true })));
  const subscriber = await connect(urlOf(broker));
  const last = new Map<string, string>();
  subscriber.on('message', (topic, payload) => last.set(topic, String(payload)));
  await subscriber.subscribeAsync('r/#');
  await Promise.all(topics.map((topic) => client.publishAsync(topic, '2', { qos: 1, retain: true })));
  await client.publishAsync('r/end', '2', { qos: 1 });
  await until(() => last.size === topics.length + 1);
  expect(new Set(last.values())).toEqual(new Set(['2']));
});
