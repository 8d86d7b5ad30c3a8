import { readFileSync } from 'node:fs';
import type { IClientOptions, MqttClient } from 'mqtt';
import mqttPacket, { type IPublishPacket } from 'mqtt-packet';
import type { Clock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { backoffMs } from '../../lake/base/retry.ts';
import type { BridgeSettings } from './settings.ts';

/** Where a bridge's messages go. `done` is called when it is on disk, in the order of calls; with an error if it is not. */
export interface BridgeStore {
  store(topic: string, payload: Uint8Array, done: (error?: Error) => void, age?: 'old'): void;
  storeUnacknowledged(topic: string, payload: Uint8Array, age?: 'old'): void;
}

interface BridgeStatus {
  readonly name: string;
  readonly url: string;
  connected: boolean;
  lastError: string | undefined;
  /** Connections that were made. */
  connections: number;
  received: number;
  /** On disk, of those with QoS 1. */
  stored: number;
  /** Retained messages that came with a subscription: stored only when they say their time. */
  retained: number;
  /** Not stored; the broker sends them again. */
  refused: number;
}

export interface Bridge extends AsyncDisposable {
  readonly status: BridgeStatus;
}

interface BridgeOptions {
  readonly settings: BridgeSettings;
  /** Where none is set. */
  readonly defaultClientId: string;
  readonly store: BridgeStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** 0 up to 1. */
  readonly random?: () => number;
}

const connectMsMax = 20_000;

/**
 * Subscribes to an external broker, and stores what it sends. QoS 1 is acknowledged after the message is on disk; the
 * session is persistent, so what was not acknowledged comes again, and what came while we were away is sent then. Each
 * bridge goes on its own: one that can't connect tries again, later and later.
 */
export function startBridge(options: BridgeOptions): Bridge {
  const { settings, clock, random = Math.random } = options;
  const logger = options.logger.with({ bridge: settings.name });
  const status: BridgeStatus = {
    ...{ name: settings.name, url: withoutPassword(settings.url), connected: false, lastError: undefined },
    ...{ connections: 0, received: 0, stored: 0, retained: 0, refused: 0 },
  };
  const closing = new AbortController();
  const run = async (): Promise<void> => {
    let failures = 0;
    while (!closing.signal.aborted) {
      const before = status.connections;
      const why = await connectOnce(options, status, logger, closing.signal);
      if (closing.signal.aborted) return;
      failures = status.connections > before ? 1 : failures + 1;
      if (why !== status.lastError) logger.warn('a bridge is not connected', { url: status.url, error: why });
      status.lastError = why;
      await clock.sleep(backoffMs(failures, settings, random()), closing.signal).catch(() => undefined);
    }
  };
  const running = run();
  return {
    status,
    [Symbol.asyncDispose]: async () => {
      closing.abort();
      await running;
    },
  };
}

/** One connection, until it ends. Returns why it did. */
async function connectOnce(
  options: BridgeOptions,
  status: BridgeStatus,
  logger: Logger,
  closing: AbortSignal,
): Promise<string> {
  let client: MqttClient;
  try {
    // Loaded when there is a bridge: most gateways have none.
    const { connect } = await import('mqtt');
    client = connect(options.settings.url, clientOptions(options.settings, options.defaultClientId));
  } catch (error) {
    return messageOf(error);
  }
  let why = 'the connection ended';
  const ended = new Promise<void>((resolve) => client.once('close', () => resolve()));
  client.on('error', (error) => {
    why = messageOf(error);
  });
  receive(client, options, status);
  client.on('connect', ({ sessionPresent }) => {
    status.connected = true;
    const first = status.connections++ === 0;
    logger.info('a bridge is connected', { url: status.url, resumed: sessionPresent });
    status.lastError = undefined;
    // A session that is there knows its subscriptions, but perhaps those of an earlier configuration.
    if (first || !sessionPresent)
      subscribe(client, options.settings).catch((error: unknown) => {
        why = messageOf(error);
        client.stream.destroy();
      });
  });
  const stop = (): void => void client.end(false);
  closing.addEventListener('abort', stop, { once: true });
  if (closing.aborted) stop();
  await ended;
  closing.removeEventListener('abort', stop);
  status.connected = false;
  client.end(true);
  return why;
}

async function subscribe(client: MqttClient, { topics, qos }: BridgeSettings): Promise<void> {
  const granted = await client.subscribeAsync([...topics], { qos, rh: 1 });
  for (const { topic, qos: answer } of granted)
    if (answer >= 0x80) throw new Error(`the broker does not let us subscribe to ${topic} (${answer})`);
}

/** Stores what comes, and acknowledges it afterwards. */
function receive(client: MqttClient, { settings, store }: BridgeOptions, status: BridgeStatus): void {
  const protocolVersion = settings.version === '5' ? 5 : 4;
  const acknowledge = (stream: MqttClient['stream'], messageId: number): void => {
    if (!stream.destroyed)
      stream.write(mqttPacket.generate({ cmd: 'puback', messageId, reasonCode: 0 }, { protocolVersion }));
  };
  client.on('packetreceive', (packet) => {
    if (packet.cmd !== 'publish') return;
    const { messageId, qos, retain, payload } = packet;
    const topic = localTopic(packet.topic, settings);
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    const { stream } = client;
    // The library would acknowledge it now, and hold up all others until then: for it, it is one without.
    (packet as IPublishPacket).qos = 0;
    status.received++;
    // A retained message came with the subscription: nobody knows how old it is.
    const age = retain ? 'old' : undefined;
    if (retain) status.retained++;
    if (qos === 0 || messageId === undefined) return store.storeUnacknowledged(topic, bytes, age);
    const done = (error?: Error): void => {
      if (error) {
        status.refused++;
        stream.destroy(); // it is sent again over the next connection
      } else {
        status.stored++;
        acknowledge(stream, messageId);
      }
    };
    store.store(topic, bytes, done, age);
  });
}

function localTopic(topic: string, { stripPrefix, addPrefix }: BridgeSettings): string {
  const rest = topic.startsWith(stripPrefix) ? topic.slice(stripPrefix.length) : topic;
  return addPrefix + rest;
}

/** Throws for files that can't be read. */
function clientOptions(settings: BridgeSettings, defaultClientId: string): IClientOptions {
  const { clientId, username, password, passwordFile, version, caFile, certFile, keyFile } = settings;
  const secret =
    passwordFile === '' ? password : (readFileSync(passwordFile, 'utf8').split(/\r?\n/, 1)[0] ?? '');
  return {
    clientId: clientId || defaultClientId,
    clean: false,
    protocolVersion: version === '5' ? 5 : 4,
    keepalive: settings.keepAliveSeconds,
    connectTimeout: connectMsMax,
    reconnectPeriod: 0,
    resubscribe: false,
    ...(version === '5' && { properties: { sessionExpiryInterval: 0xff_ff_ff_ff } }),
    ...(username !== '' && { username }),
    ...(secret !== '' && { password: secret }),
    ...(caFile !== '' && { ca: readFileSync(caFile) }),
    ...(certFile !== '' && { cert: readFileSync(certFile) }),
    ...(keyFile !== '' && { key: readFileSync(keyFile) }),
  };
}

const withoutPassword = (url: string): string => url.replace(/\/\/[^@/]*@/, '//');
