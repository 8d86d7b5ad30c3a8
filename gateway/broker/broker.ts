import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Aedes, type AuthenticateError } from 'aedes';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { OwnTime } from '../../lake/receive/mqtt/device-time.ts';
import { createMqttMapper } from '../../lake/receive/mqtt/mapper.ts';
import type { TopicTemplate } from '../../lake/receive/mqtt/templates.ts';
import type { SeriesCache } from '../../lake/receive/series-cache.ts';
import { boundPersistence, type PersistenceLimits } from './bounded-persistence.ts';
import { type Listener, listenTcp, listenWebSocket } from './listeners.ts';
import { createPacketGuard } from './packet-guard.ts';
import { type AppendBatch, createPublishStore } from './publish-store.ts';
import { storeThenAcknowledge } from './store-then-acknowledge.ts';

/**
 * The MQTT 3.1.1 broker. Every publish is stored, and PUBACK (QoS 1) and PUBREC (QoS 2) are sent after it is on disk:
 * aedes asks authorizePublish before it acknowledges, and is answered after the append.
 *
 * When the log refuses, the acknowledgement is withheld and the append tried again; reading from the connection stops
 * meanwhile. When more waits than inFlightRowsMax or inFlightBytesMax, connections that publish with QoS 1 or 2 are
 * closed, which makes their clients send again, and QoS 0 messages are dropped and counted.
 */
export interface Broker extends AsyncDisposable {
  readonly port: number;
  readonly webSocketPort: number;
  counters(): BrokerCounters;
}

interface BrokerCounters {
  readonly clients: number;
  readonly received: number;
  readonly receivedBytes: number;
  readonly deadLetters: number;
  readonly dropped: number;
  readonly refused: number;
  readonly rowsInFlight: number;
  /** Messages not kept for a subscriber, or not retained, because a limit was met; they are stored nevertheless. */
  readonly undelivered: number;
}

export interface BrokerOptions extends Partial<BrokerLimits> {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly webSocketPort: number;
  readonly append: AppendBatch;
  readonly cache: SeriesCache;
  readonly templates: readonly TopicTemplate[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the gateway knows of its own time; right when absent. */
  readonly ownTime?: () => OwnTime;
  /** Called for QoS 0 messages that are dropped, with their time of receipt in µs. */
  readonly onDropped?: (receivedUs: number) => void;
  /** Without it every client is let in. */
  readonly authenticate?: (username: string | undefined, password: string | undefined) => boolean;
}

interface BrokerLimits extends PersistenceLimits {
  /** Clients connected at once; one more is answered with CONNACK 3, server unavailable. */
  readonly connectionsMax: number;
  /** A larger payload is acknowledged and its start kept as a dead letter. */
  readonly payloadBytesMax: number;
  /** A device's time that is so much later than the receipt is not believed. */
  readonly futureMsMax: number;
  /** A larger packet closes its connection, before it is all there; at least 64 KiB, which may be one read. */
  readonly packetBytesMax: number;
  /** What may wait for the disk; see Broker. */
  readonly inFlightRowsMax: number;
  readonly inFlightBytesMax: number;
}

const brokerLimits: BrokerLimits = {
  connectionsMax: 1000,
  payloadBytesMax: 1024 * 1024,
  futureMsMax: 3_600_000,
  packetBytesMax: 16 * 1024 * 1024,
  inFlightRowsMax: 200_000,
  inFlightBytesMax: 64 * 1024 * 1024,
  retainedTopicsMax: 50_000,
  waitingMessagesMax: 1000,
};

/** Connections above connectionsMax that are kept open long enough to be told so. */
const surplusConnections = 16;
/** Packets that a client may send before its CONNACK; aedes' own 42 is less than one read may hold. */
const packetsBeforeConnack = 16_384;
const connackUnavailable = 3;

/** Resolves when both ports listen; throws FirnError that names a busy one. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const limits: BrokerLimits = { ...brokerLimits, ...options };
  const { cache, templates, append, clock, logger, ownTime, onDropped } = options;
  const { payloadBytesMax, futureMsMax } = limits;
  const mapper = createMqttMapper({
    ...{ cache, templates, limits: { payloadBytesMax, futureMsMax } },
    ...(ownTime && { ownTime }),
  });
  const store = createPublishStore({
    ...{ ...limits, append, mapper, cache, clock, logger },
    ...(onDropped && { onDropped }),
  });
  const clients = new Set<string>();

  const aedes = new Aedes({
    queueLimit: packetsBeforeConnack,
    authenticate: (client, username, password, done) => {
      if (clients.size >= limits.connectionsMax && !clients.has(client.id))
        done(refusal(connackUnavailable, 'connectionsMax is reached'), false);
      else done(null, options.authenticate?.(username, password?.toString()) ?? true);
    },
  });
  aedes.authorizePublish = storeThenAcknowledge(aedes, store);
  aedes.on('client', ({ id }) => clients.add(id));
  aedes.on('clientDisconnect', ({ id }) => clients.delete(id));
  aedes.on('clientError', ({ id }, error) => logger.debug('MQTT client closed', { client: id, error }));
  aedes.on('connectionError', (_, error) => logger.debug('MQTT connection closed', { error }));
  await aedes.listen();
  let undelivered = 0;
  boundPersistence(aedes, limits, () => undelivered++);

  const connections = new Set<Duplex>();
  const onConnection = (stream: Duplex, request?: IncomingMessage): void => {
    if (connections.size >= limits.connectionsMax + surplusConnections) {
      stream.destroy();
      return;
    }
    connections.add(stream);
    stream.once('close', () => connections.delete(stream));
    stream.on('error', () => undefined); // aedes stops listening when it closes a client
    aedes.handle(stream, request);
    // After aedes has set the stream up for reading by hand: `data` then only watches what aedes reads.
    const guard = createPacketGuard(limits.packetBytesMax);
    stream.on('data', (chunk: Uint8Array) => {
      if (!guard(chunk)) stream.destroy(new Error('packetBytesMax is exceeded'));
    });
  };

  const listeners: Listener[] = [];
  const close = async (): Promise<void> => {
    const closed = listeners.map((listener) => listener[Symbol.asyncDispose]());
    await new Promise<void>((resolve) => {
      aedes.close(resolve);
    });
    for (const stream of connections) stream.destroy();
    await Promise.all(closed);
    await store[Symbol.asyncDispose]();
  };
  try {
    listeners.push(await listenTcp(options.host, options.port, onConnection));
    listeners.push(
      await listenWebSocket(options.host, options.webSocketPort, limits.packetBytesMax, onConnection),
    );
  } catch (error) {
    await close();
    throw error;
  }
  const [tcp, webSocket] = listeners;
  return {
    port: tcp?.port ?? 0,
    webSocketPort: webSocket?.port ?? 0,
    counters: () => ({ ...store.counts, clients: clients.size, undelivered }),
    [Symbol.asyncDispose]: close,
  };
}

function refusal(returnCode: AuthenticateError['returnCode'], message: string): AuthenticateError {
  return Object.assign(new Error(message), { returnCode });
}
