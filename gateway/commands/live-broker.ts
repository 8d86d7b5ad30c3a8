import mqtt, { type IPublishPacket, type MqttClient } from 'mqtt';
import { systemClock } from '../../lake/base/clock.ts';
import type { CommandLine } from '../../lake/base/command.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { stopRequested } from '../../lake/base/service.ts';

// Messages of a broker for a while, for commands.

export const liveFlags = [
  {
    flag: '--broker',
    value: 'URL',
    description: 'Live messages of this broker, such as mqtt://user:password@localhost',
  },
  {
    flag: '--seconds',
    value: 'N',
    description: 'How long to listen to it; 30 when not given, Ctrl-C ends it early',
  },
  { flag: '--topic', value: 'FILTER', description: 'What to subscribe to; # when not given' },
] as const;

/** Receives what was captured or is live; without a time it is received now. */
export type Take = (topic: string, payload: Uint8Array, old: boolean, receivedUs?: number) => void;

const secondsMax = 86_400;

/** Listens as `liveFlags` say. Throws FirnError when there is no connection, or it ends. */
export async function listen(line: CommandLine, take: Take): Promise<void> {
  const url = line.value('--broker') ?? '';
  if (!/^(mqtt|mqtts|ws|wss):\/\/\S+$/.test(url))
    throw refused('--broker', `--broker: ${JSON.stringify(url)} is no URL of a broker`, 'write mqtt://HOST');
  const seconds = Number(line.value('--seconds') ?? 30);
  if (!(seconds > 0 && seconds <= secondsMax))
    throw refused(
      '--seconds',
      '--seconds is not a number of seconds',
      `give one above 0 and up to ${secondsMax}`,
    );
  const broker = url.replace(/\/\/[^/]*@/, '//');
  const client = await connect(url, broker);
  const lost = new Promise<never>((_, reject) => {
    client.once('close', () => reject(failed(broker, 'the connection ended')));
  });
  const over = new AbortController();
  try {
    let messages = 0;
    client.on('message', (topic, payload, { retain }: IPublishPacket) => {
      messages++;
      take(topic, payload, retain);
    });
    await Promise.race([subscribe(client, line.value('--topic') ?? '#', broker), lost]);
    process.stderr.write(`listening to ${broker} for ${seconds} s\n`);
    await Promise.race([systemClock.sleep(seconds * 1000, over.signal), stopRequested(), lost]);
    process.stderr.write(`${messages} messages came\n`);
  } finally {
    over.abort();
    await client.endAsync(true);
  }
}

async function connect(url: string, broker: string): Promise<MqttClient> {
  try {
    const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, connectTimeout: 10_000 });
    client.on('error', () => undefined); // 'close' follows
    return client;
  } catch (cause) {
    const why = messageOf(cause);
    const hint = /not authorized|user ?name/i.test(why) ? 'give mqtt://USER:PASSWORD@HOST' : undefined;
    throw failed(broker, `no connection: ${why}`, hint, cause);
  }
}

async function subscribe(client: MqttClient, filter: string, broker: string): Promise<void> {
  try {
    await client.subscribeAsync(filter, { qos: 0 });
  } catch (cause) {
    const hint = 'its user may not be allowed to read there; --topic FILTER asks for something else';
    throw failed(broker, `no subscription to ${filter}: ${messageOf(cause)}`, hint, cause);
  }
}

export const refused = (subject: string, message: string, hint: string): FirnError =>
  new FirnError({ code: 'invalid', operation: 'read arguments', subject, message, hint });

const failed = (broker: string, why: string, hint?: string, cause?: unknown): FirnError =>
  new FirnError({
    ...{ code: 'unavailable', operation: 'listen to a broker', subject: broker },
    ...{ message: `${broker}: ${why}`, cause },
    ...(hint !== undefined && { hint }),
  });
