import type { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { Aedes, type Client } from 'aedes';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import { type LoginAttempts, noLoginLimits } from '../../lake/base/login-attempts.ts';
import type { OwnTime } from '../../lake/receive/mqtt/device-time.ts';
import { createMqttMapper } from '../../lake/receive/mqtt/mapper.ts';
import type { TopicRule } from '../../lake/receive/mqtt/rules/reading.ts';
import type { TopicTemplate } from '../../lake/receive/mqtt/templates.ts';
import type { SeriesCache } from '../../lake/receive/series-cache.ts';
import { type Access, type AccessOptions, openAccess } from './access/access.ts';
import { createAcknowledgementOrder } from './acknowledgement-order.ts';
import { type Admission, createAdmission } from './admission.ts';
import { clientWithoutPrototypes, withoutPrototypes } from './aedes-internals.ts';
import { createConnections } from './connections.ts';
import { type BrokerLimits, brokerLimits } from './limits.ts';
import { type Listener, listenTcp, listenWebSocket } from './listeners.ts';
import { createOutgoing } from './outgoing.ts';
import { readPackets } from './packet-reader.ts';
import { type BrokerPersistence, openBrokerPersistence } from './persistence/broker-persistence.ts';
import type { KeptPacket } from './persistence/packet-record.ts';
import { createPublishLane } from './publish-lane.ts';
import { type AppendBatch, createPublishStore, type PublishStore } from './publish-store.ts';
import { openSparkplug, type SparkplugSettings } from './sparkplug.ts';
import { storeThenAcknowledge } from './store-then-acknowledge.ts';
import { startSystemTopics } from './system-topics.ts';
import { openTlsFiles, type TlsFiles } from './tls-files.ts';

/**
 * The MQTT broker, for 3.1, 3.1.1 and 5. Every publish is stored, and PUBACK (QoS 1) and PUBREC (QoS 2) are sent after it
 * is on disk: aedes asks authorizePublish before it acknowledges, and is answered after the append.
 *
 * When the log refuses, the acknowledgement is withheld and the append tried again; reading from the connection stops
 * meanwhile. When more waits than inFlightRowsMax or inFlightBytesMax, connections that publish with QoS 1 or 2 are
 * closed, which makes their clients send again, and QoS 0 messages are dropped and counted.
 */
export interface Broker extends AsyncDisposable {
  readonly port: number;
  readonly webSocketPort: number;
  /** Undefined without certificates. */
  readonly tlsPort: number | undefined;
  readonly tlsWebSocketPort: number | undefined;
  /** For messages that come some other way, such as over a bridge: they are stored like published ones. */
  readonly store: Pick<PublishStore, 'store' | 'storeUnacknowledged'>;
  counters(): BrokerCounters;
}

interface BrokerCounters {
  readonly clients: number;
  readonly received: number;
  readonly receivedBytes: number;
  readonly sent: number;
  readonly deadLetters: number;
  readonly dropped: number;
  readonly refused: number;
  readonly rowsInFlight: number;
  /** Messages not kept for a subscriber, or not retained, because a limit was met; they are stored nevertheless. */
  readonly undelivered: number;
  /** Publishes and subscriptions that the access rules do not let. */
  readonly denied: number;
  readonly refusedLogins: number;
  readonly sessions: number;
  readonly retained: number;
  readonly waiting: number;
  /** Sparkplug edge nodes that were asked for their births. */
  readonly rebirths: number;
  /** broker.db can't be written: what it should keep is in memory only. */
  readonly persistenceFailing: boolean;
}

export interface BrokerOptions extends Partial<BrokerLimits> {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly webSocketPort: number;
  readonly tls?: TlsFiles & { readonly port: number; readonly webSocketPort: number };
  readonly append: AppendBatch;
  readonly cache: SeriesCache;
  readonly templates: readonly TopicTemplate[];
  /** Mapping rules, asked before the templates. */
  readonly rules?: readonly TopicRule[];
  /** Without it Sparkplug messages are mapped like others. */
  readonly sparkplug?: SparkplugSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the gateway knows of its own time; right when absent. */
  readonly ownTime?: () => OwnTime;
  /** Called for QoS 0 messages that are dropped, with their time of receipt in µs. */
  readonly onDropped?: (receivedUs: number) => void;
  /** Without it every client is let in. */
  readonly access?: AccessOptions;
  /** Without it passwords can be tried for ever. */
  readonly logins?: LoginAttempts;
  /** Where broker.db is; without it retained messages and sessions are kept in memory only. */
  readonly dataDir?: string;
  /** How often $SYS topics are published; 0, the default: never. */
  readonly systemTopicsMs?: number;
  readonly version?: string;
}

/** Packets that a client may send before its CONNACK; aedes' own 42 is less than one read may hold. */
const packetsBeforeConnack = 16_384;
const topicAliasMaximum = 100;
/** Of a PUBLISH, without topic, payload and properties. */
const packetHeaderBytes = 9;
const nothing = { acknowledged: 0, unacknowledged: 0 };
const everybody: AccessOptions = { usersFile: '', aclFile: '', anonymous: true, certificateUser: 'none' };

/** Resolves when all ports listen; throws FirnError that names a busy one. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const limits: BrokerLimits = { ...brokerLimits, ...options };
  const listeners: Listener[] = [];
  const certificates = openCertificates(options, listeners);
  const core = openCore(options, limits);
  const { aedes, store, persistence, admission, outgoing } = core;
  const connections = createConnections(limits, (stream, socket, request, onPacket) => {
    admission.connectedOver(stream, socket);
    const client = clientWithoutPrototypes(aedes.handle(stream, request));
    outgoing.attach(client);
    readPackets(client, { ...limits, lane: core.lane, clock: options.clock, onPacket });
  });
  let systemTopics: Disposable | undefined;
  const close = async (): Promise<void> => {
    systemTopics?.[Symbol.dispose]();
    certificates?.[Symbol.dispose]();
    await core.sparkplug?.offline();
    const closed = listeners.map((listener) => listener[Symbol.asyncDispose]());
    await new Promise<void>((resolve) => {
      aedes.close(resolve);
    });
    connections.closeAll();
    await Promise.all(closed);
    await store[Symbol.asyncDispose]();
    await persistence.destroy();
    core.access[Symbol.dispose]();
    core.sparkplug?.[Symbol.dispose]();
  };
  try {
    await aedes.listen();
    await learnRetained(options, core);
    const { host, port, webSocketPort, tls } = options;
    const { packetBytesMax } = limits;
    const { accept } = connections;
    listeners.push(await listenTcp(host, port, accept));
    listeners.push(await listenWebSocket(host, webSocketPort, packetBytesMax, accept));
    if (tls && certificates) {
      listeners.push(await listenTcp(host, tls.port, accept, certificates.current));
      listeners.push(
        await listenWebSocket(host, tls.webSocketPort, packetBytesMax, accept, certificates.current),
      );
    }
  } catch (error) {
    await close();
    throw error;
  }
  await core.sparkplug?.online(aedes);
  const counters = (): BrokerCounters => core.counters();
  systemTopics = startSystemTopics({
    ...{ clock: options.clock, intervalMs: options.systemTopicsMs ?? 0, version: options.version ?? '' },
    counts: () => ({ ...core.systemCounts(), ...connections.counts() }),
    publish: (topic, payload) => publishOwn(aedes, topic, payload),
  });
  const [tcp, webSocket, tlsTcp, tlsWebSocket] = listeners.map(({ port }) => port);
  return {
    ...{ port: tcp ?? 0, webSocketPort: webSocket ?? 0, tlsPort: tlsTcp, tlsWebSocketPort: tlsWebSocket },
    store,
    counters,
    [Symbol.asyncDispose]: close,
  };
}

/** aedes, with what Firn puts in the place of its parts. */
function openCore(options: BrokerOptions, limits: BrokerLimits) {
  const { logger, clock, dataDir, logins: attempts = noLoginLimits } = options;
  const counts = { undelivered: 0, sent: 0, sentBytes: 0 };
  const onDrop = (): void => void counts.undelivered++;
  const access: Access = openAccess(options.access ?? everybody, logger, () => admission.dismiss());
  const persistence = openBrokerPersistence({
    path: dataDir === undefined ? undefined : join(dataDir, 'broker.db'),
    damagedFolder: join(dataDir ?? '.', 'damaged'),
    ...{ limits, clock, logger, onDrop },
  });
  const sparkplug = options.sparkplug && openSparkplug(options.sparkplug, { dataDir, clock, logger });
  const rules = [...(sparkplug ? [sparkplug.rule] : []), ...(options.rules ?? [])];
  const store = openStore({ ...options, rules }, limits);
  const mayDeliver = (client: Client, packet: { topic: string; payload: { length: number } }): boolean =>
    admission.mayRead(client, packet.topic) && fitsInto(client, packet.topic.length + packet.payload.length);
  const onSent = (bytes: number): void => {
    counts.sent++;
    counts.sentBytes += bytes;
  };
  const outgoing = createOutgoing({ limits, persistence, mayDeliver, onSent, onDrop });
  // A v3.1.1 client may subscribe to several filters in one packet: aedes keeps those that were refused, too.
  const addSubscriptions: BrokerPersistence['addSubscriptions'] = (client, subscriptions) =>
    persistence.addSubscriptions(
      client,
      subscriptions.filter(({ topic }) => admission.subscribed(client as Client, topic)),
    );
  const aedes = new Aedes({
    queueLimit: packetsBeforeConnack,
    keepaliveLimit: limits.keepAliveSecondsMax,
    maximumPacketSize: limits.packetBytesMax,
    receiveMaximum: limits.inFlightMessagesMax,
    topicAliasMaximum,
    sessionExpiryIntervalLimit: limits.sessionSecondsMax,
    pendingSessionsLimit: limits.sessionsMax,
    persistence: { ...outgoing.persistence, addSubscriptions },
  });
  withoutPrototypes(aedes);
  const admission = createAdmission(aedes, () => access, { limits, persistence, logger, attempts });
  const inOrder = createAcknowledgementOrder();
  const publish = storeThenAcknowledge({ ...limits, aedes, store, persistence, inOrder });
  const lane = createPublishLane({ aedes, store, persistence, inOrder, admission });
  const refuse = (error: Error, done: (error: Error) => void): void =>
    // What came before it is acknowledged first.
    store.endRun(nothing, () => inOrder(undefined, () => done(error)));
  aedes.authorizePublish = authorizePublish(admission, publish, refuse);
  aedes.authorizeForward = (client, packet) => (mayDeliver(client, packet) ? packet : null);
  aedes.on('clientDisconnect', (client) => outgoing.detach(client));
  logErrors(aedes, logger);
  const stored = () => ({ ...persistence.counts(), clients: admission.clients.size });
  return {
    ...{ aedes, access, persistence, store, outgoing, admission, sparkplug, lane },
    counters: (): BrokerCounters => {
      const { failing, sessions, retained, waiting, clients } = stored();
      const { denied, refusedLogins } = admission.counts;
      const { undelivered, sent } = counts;
      return {
        ...{ ...store.counts, clients, undelivered, sent, denied, refusedLogins },
        ...{ sessions, retained, waiting, persistenceFailing: failing },
        rebirths: sparkplug?.counts.rebirths ?? 0,
      };
    },
    systemCounts: () => ({
      ...{ ...stored(), connected: admission.clients.size, connectedMax: admission.counts.connectedMax },
      subscriptions: admission.subscriptions(),
      publishesReceived: store.counts.received,
      publishesSent: counts.sent,
      publishesDropped: store.counts.dropped + counts.undelivered,
      publishBytesReceived: store.counts.receivedBytes,
      publishBytesSent: counts.sentBytes,
      connections: admission.counts.connected,
    }),
  };
}

function authorizePublish(
  { mayPublish }: Admission,
  publish: Aedes['authorizePublish'],
  refuse: (error: Error, done: (error: Error) => void) => void,
): Aedes['authorizePublish'] {
  return (client, packet, done) => {
    const { topic } = packet;
    withoutWillDelay(packet);
    if (topic.startsWith('$SYS/')) refuse(new Error('topics below $SYS/ belong to the broker'), done);
    else if (mayPublish(client, topic)) publish(client, packet, done);
    else refuse(new Error(`${topic} is not allowed`), done);
  };
}

function openStore(options: BrokerOptions, limits: BrokerLimits): PublishStore {
  const { append, cache, templates, rules = [], clock, logger, ownTime, onDropped } = options;
  const { payloadBytesMax, futureMsMax } = limits;
  const mapper = createMqttMapper({
    ...{ cache, templates, rules, limits: { payloadBytesMax, futureMsMax } },
    ...(ownTime && { ownTime }),
  });
  return createPublishStore({
    ...{ ...limits, append, mapper, cache, clock, logger },
    ...(onDropped && { onDropped }),
  });
}

/** Rules that learn from retained messages have forgotten them with the last process. */
async function learnRetained(
  { rules = [] }: BrokerOptions,
  { persistence, store }: Pick<ReturnType<typeof openCore>, 'persistence' | 'store'>,
): Promise<void> {
  for (const { learnsFrom } of rules)
    if (learnsFrom !== undefined)
      for await (const { topic, payload } of persistence.createRetainedStream(
        learnsFrom,
      ) as AsyncIterable<KeptPacket>)
        store.storeUnacknowledged(topic, Buffer.from(payload), 'old');
}

function openCertificates({ tls, logger }: BrokerOptions, listeners: readonly Listener[]) {
  if (tls === undefined) return undefined;
  return openTlsFiles(tls, logger, (certificates) => {
    for (const listener of listeners) listener.setCertificates(certificates);
  });
}

/** MQTT 5 clients say how large a packet they take; a larger one is not sent to them [MQTT-3.1.2-25]. */
const fitsInto = ({ maximumPacketSize }: Client, bytes: number): boolean =>
  maximumPacketSize === undefined || bytes + packetHeaderBytes <= maximumPacketSize;

function publishOwn(aedes: Aedes, topic: string, payload: string): void {
  const packet = {
    cmd: 'publish',
    topic,
    payload: Buffer.from(payload),
    qos: 0,
    retain: true,
    dup: false,
  } as const;
  aedes.publish(packet, () => undefined);
}

/** A will is published like any message, where its delay is no property [MQTT-3.3.2]. */
function withoutWillDelay(packet: { properties?: object }): void {
  if (packet.properties === undefined || !('willDelayInterval' in packet.properties)) return;
  const { willDelayInterval: _, ...properties } = packet.properties;
  packet.properties = properties;
}

function logErrors(aedes: Aedes, logger: Logger): void {
  aedes.on('clientError', ({ id }, error) => logger.debug('MQTT client closed', { client: id, error }));
  aedes.on('connectionError', (_, error) => logger.debug('MQTT connection closed', { error }));
  // Its types do not name it.
  (aedes as EventEmitter).on('error', (error) => logger.error('MQTT broker', { error }));
}
