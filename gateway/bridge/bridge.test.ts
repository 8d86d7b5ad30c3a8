import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt, { type MqttClient } from 'mqtt';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { freePort, startProgram, waitForPort } from '../../test/harness/process.ts';
import { findProgram } from '../../test/harness/programs.ts';
import { type Bridge, type BridgeStore, startBridge } from './bridge.ts';
import { type BridgeSettings, bridgesSetting } from './settings.ts';

// Against mosquitto, where it is installed.

const host = '127.0.0.1';
const mosquitto = findProgram('mosquitto');
const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.reverse()) await close();
  opened.length = 0;
});

type Program = ReturnType<typeof startProgram>;

interface Peer {
  readonly port: number;
  program: Program;
  readonly start: () => Promise<void>;
}

/** A broker that keeps its state on disk, and can be killed and started again. */
async function startPeer(more = ''): Promise<Peer> {
  const folder = mkdtempSync(join(tmpdir(), 'firn-bridge-'));
  const port = await freePort();
  const config = join(folder, 'mosquitto.conf');
  const persistence = `persistence true\npersistence_location ${folder}/\nautosave_on_changes true\nautosave_interval 1\n`;
  writeFileSync(
    config,
    `user root\nlistener ${port} ${host}\nallow_anonymous true\nmax_queued_messages 0\n${persistence}${more}`,
  );
  const launch = (): Program => startProgram(mosquitto ?? '', ['-c', config]);
  const peer: Peer = {
    port,
    program: launch(),
    start: async () => {
      peer.program = launch();
      await waitForPort(port);
    },
  };
  opened.push(async () => {
    await peer.program[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  await waitForPort(port);
  return peer;
}

function memoryStore() {
  const seen: string[] = [];
  let gate: Promise<Error | undefined> = Promise.resolve(undefined);
  let last = Promise.resolve();
  const store: BridgeStore = {
    store: (topic, payload, done, age) => {
      const waitFor = gate;
      last = last.then(async () => {
        const error = await waitFor;
        if (!error) seen.push(`${age === undefined ? '' : 'old '}${topic} ${Buffer.from(payload)}`);
        done(error);
      });
    },
    storeUnacknowledged: (topic, payload) => void seen.push(`${topic} ${Buffer.from(payload)}`),
  };
  const hold = (outcome: Promise<Error | undefined>): void => {
    gate = outcome;
  };
  return { store, seen, hold };
}

function start(port: number, store: BridgeStore, given: Partial<BridgeSettings> = {}): Bridge {
  const [settings] = bridgesSetting.parse([
    {
      name: 'peer',
      url: `mqtt://${host}:${port}`,
      topics: ['plant/#'],
      retryMinMs: 50,
      retryMaxMs: 200,
      ...given,
    },
  ]);
  const bridge = startBridge({
    ...{ settings: settings as BridgeSettings, store, clock: systemClock, logger: createLogger('silent') },
    defaultClientId: 'firn-test',
  });
  opened.push(() => bridge[Symbol.asyncDispose]());
  return bridge;
}

async function publisher(port: number): Promise<MqttClient> {
  const client = await mqtt.connectAsync(`mqtt://${host}:${port}`, { reconnectPeriod: 0 });
  client.on('error', () => undefined);
  opened.push(() => client.endAsync(true));
  return client;
}

const until = async (condition: () => boolean): Promise<void> => {
  await expect.poll(condition, { timeout: 10_000, interval: 10 }).toBe(true);
};

test.skipIf(!mosquitto).each(['3.1.1', '5'] as const)(
  'MQTT %s: messages come, prefixes change, retained ones are not new (skipped: no mosquitto)',
  async (version) => {
    const { port } = await startPeer();
    const client = await publisher(port);
    await client.publishAsync('plant/old', 'retained', { qos: 1, retain: true });
    const { store, seen } = memoryStore();
    const bridge = start(port, store, { version, stripPrefix: 'plant/', addPrefix: 'site/' });
    await until(() => bridge.status.retained === 1);
    for (const qos of [0, 1, 2] as const) await client.publishAsync('plant/t', String(qos), { qos });
    await client.publishAsync('office/t', '9', { qos: 1 });
    await until(() => seen.length === 4);
    expect(seen.sort()).toEqual(['old site/old retained', 'site/t 0', 'site/t 1', 'site/t 2']);
    expect(bridge.status).toMatchObject({ connected: true, received: 4, stored: 3, refused: 0 });
  },
);

test.skipIf(!mosquitto)(
  'a message is acknowledged when it is stored, and comes again when it is not (skipped: no mosquitto)',
  async () => {
    const { port } = await startPeer('max_inflight_messages 3\n');
    const { store, seen, hold } = memoryStore();
    let open = (_: Error | undefined): void => undefined;
    hold(
      new Promise((resolve) => {
        open = resolve;
      }),
    );
    const bridge = start(port, store);
    await until(() => bridge.status.connected);
    const client = await publisher(port);
    await systemClock.sleep(200); // subscribed
    for (let n = 0; n < 10; n++) await client.publishAsync('plant/t', String(n), { qos: 1 });
    await until(() => bridge.status.received === 3);
    await systemClock.sleep(200);
    expect(bridge.status).toMatchObject({ received: 3, stored: 0 }); // none was acknowledged
    hold(Promise.resolve(undefined));
    open(new Error('the disk is full'));
    await until(() => seen.length === 10);
    expect(bridge.status.refused).toBeGreaterThan(0);
    expect(seen).toEqual(Array.from({ length: 10 }, (_, n) => `plant/t ${n}`));
  },
);

test.skipIf(!mosquitto)(
  'what comes while the bridge is away is sent when it is back (skipped: no mosquitto)',
  async () => {
    const { port } = await startPeer();
    const { store, seen } = memoryStore();
    const first = start(port, store);
    await until(() => first.status.connected);
    await systemClock.sleep(200);
    await first[Symbol.asyncDispose]();
    const client = await publisher(port);
    for (let n = 0; n < 5; n++) await client.publishAsync('plant/t', String(n), { qos: 1 });
    start(port, store);
    await until(() => seen.length === 5);
  },
);

test.skipIf(!mosquitto)(
  'after SIGKILL of the other broker it goes on with what was acknowledged there (skipped: no mosquitto)',
  async () => {
    const peer = await startPeer();
    const { store, seen } = memoryStore();
    const bridge = start(peer.port, store);
    await until(() => bridge.status.connected);
    const sent: string[] = [];
    for (let round = 0; round < 2; round++) {
      const client = await publisher(peer.port);
      for (let n = 0; n < 50; n++) {
        await client.publishAsync('plant/t', `${round}-${n}`, { qos: 1 });
        sent.push(`plant/t ${round}-${n}`);
      }
      await until(() => new Set(seen).size === sent.length);
      await systemClock.sleep(1500); // it writes its file each second
      process.kill(peer.program.pid, 'SIGKILL');
      await until(() => !bridge.status.connected);
      await peer.start();
      await until(() => bridge.status.connected);
    }
    expect(new Set(seen)).toEqual(new Set(sent));
    expect(bridge.status.connections).toBeGreaterThan(2);
  },
);

test('a bridge that can not connect tries again and says why; the settings are checked', async () => {
  const bridge = start(await freePort(), memoryStore().store);
  await until(() => bridge.status.lastError !== undefined);
  expect(bridge.status.connected).toBe(false);
  const missing = start(await freePort(), memoryStore().store, { caFile: '/nowhere/ca.pem' });
  await until(() => missing.status.lastError?.includes('/nowhere/ca.pem') ?? false);
  const one = { name: 'a', url: 'mqtt://h', topics: ['x'] };
  expect(() => bridgesSetting.parse([one, one])).toThrow('the same name');
  expect(() => bridgesSetting.parse([{ ...one, url: 'http://h' }])).toThrow('a URL begins');
});
