import { join } from 'node:path';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { expect, test } from 'vitest';
import { type Part, promql, startPart, temporaryFolder } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';

// The broker of a real gateway process, killed: what was acknowledged is there afterwards, for the lake and for
// subscribers that were away.

const urlOf = (gateway: Part): string => `mqtt://127.0.0.1:${gateway.port('mqtt')}`;

async function connect(gateway: Part, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await mqtt.connectAsync(urlOf(gateway), { reconnectPeriod: 0, ...options });
  client.on('error', () => undefined);
  return client;
}

/**
 * Connects, and waits until all of `wanted` has come of what waited for the session and what is retained. Messages that
 * were not acknowledged may come, too.
 */
async function collect(
  gateway: Part,
  wanted: ReadonlySet<string>,
  session: IClientOptions,
  topic?: string,
): Promise<void> {
  const missing = new Set(wanted);
  const client = mqtt.connect(urlOf(gateway), { reconnectPeriod: 0, ...session });
  client.on('message', (name, payload) => void missing.delete(`${name} ${payload}`));
  if (topic !== undefined) await client.subscribeAsync(topic);
  await waitFor('every acknowledged message', 20_000, async () => (missing.size === 0 ? true : undefined));
  await client.endAsync(true);
}

test('SIGKILL while QoS 1 and 2 come in: subscribers that are away, retained messages and the log keep all of it', async () => {
  using folder = temporaryFolder();
  const flags = ['--data-dir', join(folder.path, 'gateway'), '--log-level', 'warn'];
  const session: IClientOptions = { clientId: 'away', clean: false };
  const acknowledged = new Set<string>();
  const stored = new Set<string>();
  for (let round = 0; round < 3; round++) {
    await using gateway = await startPart('gateway', flags);
    if (round === 0) {
      const away = await connect(gateway, session);
      await away.subscribeAsync('k/#', { qos: 2 });
      await away.endAsync();
    }
    const publisher = await connect(gateway, { clientId: 'publisher', clean: false });
    let killed = false;
    const sending = Array.from({ length: 100 }, async (_, n) => {
      const topic = `k/${round}/${n}`;
      await publisher.publishAsync(topic, '1', { qos: n % 2 === 0 ? 1 : 2, retain: true });
      if (!killed) acknowledged.add(`${topic} 1`);
    });
    // Nobody has subscribed to these: they go by the publish lane, up to the kill.
    const other = await connect(gateway, { clientId: 'other' });
    const sendPlain = async (): Promise<void> => {
      for (let n = 0; n < 1000 && !killed; n++) {
        await other.publishAsync(`plain/${round}/${n}`, '1', { qos: 1 });
        if (!killed) stored.add(`plain/${round}/${n} 1`);
      }
    };
    void Promise.allSettled([...sending, sendPlain()]);
    await waitFor('acknowledgements', 20_000, async () =>
      acknowledged.size >= round * 30 + 30 && stored.size >= round * 30 + 30 ? true : undefined,
    );
    await gateway.kill();
    killed = true;
    for (const client of [publisher, other]) client.end(true);
  }
  await using gateway = await startPart('gateway', flags);
  await collect(gateway, acknowledged, session);
  await collect(gateway, acknowledged, {}, 'k/#');
  const base = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
  const topics = new Set(
    (await promql(base, '{topic=~"(k|plain)/.*"}')).data.result.map(({ metric }) => `${metric.topic} 1`),
  );
  for (const message of [...acknowledged, ...stored]) expect(topics).toContain(message);
});
