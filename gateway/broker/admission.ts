import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Aedes, AuthenticateError, Client } from 'aedes';
import type { Logger } from '../../lake/base/log.ts';
import type { LoginAttempts } from '../../lake/base/login-attempts.ts';
import type { Access, Identity } from './access/access.ts';
import type { Acl } from './access/acl-file.ts';
import type { InternalClient } from './aedes-internals.ts';
import type { BrokerPersistence } from './persistence/broker-persistence.ts';

export interface AdmissionLimits {
  /** Clients connected at once; one more is answered with CONNACK 3, server unavailable. */
  readonly connectionsMax: number;
  /** Longest keep-alive. MQTT 5 clients are told it, others are refused as by mosquitto (CONNACK 2). 0: no limit. */
  readonly keepAliveSecondsMax: number;
  /** Filters that one client may have subscribed to; one more is refused. */
  readonly subscriptionsMax: number;
}

/** What a client's CONNECT asked for. */
interface Wanted {
  readonly clean: boolean;
  readonly keepAliveRefused: boolean;
}

type ConnectPacket = Parameters<Aedes['preConnect']>[1];

const connackIdentifierRejected = 2;
const connackUnavailable = 3;
const notAuthorized = 0x87;
/** Topics whose permission is remembered for each client. */
const rememberedMax = 1000;

interface AdmissionOptions {
  readonly limits: AdmissionLimits;
  readonly persistence: BrokerPersistence;
  readonly logger: Logger;
  /** Knows who has failed too often. */
  readonly attempts: LoginAttempts;
}

export type Admission = ReturnType<typeof createAdmission>;

/** Who is connected, who they are, and what they may do. */
export function createAdmission(aedes: Aedes, access: () => Access, options: AdmissionOptions) {
  const state: State = {
    clients: new Map(),
    wanted: new WeakMap(),
    identities: new WeakMap(),
    sockets: new WeakMap(),
    filters: new WeakMap(),
    counts: { connected: 0, connectedMax: 0, denied: 0, refusedLogins: 0 },
  };
  const { clients, identities, sockets, filters, counts } = state;
  const permissions = createPermissions(() => access().acl, identities);
  answerConnects(aedes, access, state, options);
  followSessions(aedes, state, options);
  aedes.authorizeSubscribe = (client, subscription, done) => {
    const subscribed = filters.get(client) ?? new Set<string>();
    filters.set(client, subscribed);
    const { topic } = subscription;
    const fits = subscribed.has(topic) || subscribed.size < options.limits.subscriptionsMax;
    if (fits && permissions.allowsFilter(client, topic)) {
      subscribed.add(topic);
      done(null, subscription);
      return;
    }
    counts.denied++;
    done(null, null);
  };
  return {
    counts,
    clients,
    /** Whether it was let to subscribe to the filter. */
    subscribed: (client: Client, topic: string): boolean => filters.get(client)?.has(topic) ?? false,
    /** Of all who are connected. */
    subscriptions: (): number => {
      let count = 0;
      for (const client of clients.values()) count += filters.get(client)?.size ?? 0;
      return count;
    },
    /** As `mayPublish`, without counting. */
    isAllowedToPublish: (client: Client, topic: string): boolean =>
      permissions.allows(client, 'write', topic),
    mayPublish: (client: Client | null, topic: string): boolean => {
      const may = client === null || permissions.allows(client, 'write', topic);
      if (!may) counts.denied++;
      return may;
    },
    mayRead: (client: Client, topic: string): boolean => permissions.allows(client, 'read', topic),
    connectedOver: (stream: Duplex, socket: Socket): void => void sockets.set(stream, socket),
    /** Closes the connections of users who are not there any more, or have another password. */
    dismiss: (): void => {
      for (const client of clients.values()) {
        const identity = identities.get(client);
        if (identity && !access().stillKnown(identity)) client.disconnect({ reasonCode: notAuthorized });
      }
    },
  };
}

interface State {
  readonly clients: Map<string, Client>;
  readonly wanted: WeakMap<Client, Wanted>;
  readonly identities: WeakMap<Client, Identity>;
  /** By the stream that is a client's connection. */
  readonly sockets: WeakMap<object, Socket>;
  readonly filters: WeakMap<Client, Set<string>>;
  readonly counts: { connected: number; connectedMax: number; denied: number; refusedLogins: number };
}

function answerConnects(
  aedes: Aedes,
  access: () => Access,
  { clients, wanted, identities, sockets, counts }: State,
  { limits, logger, attempts }: AdmissionOptions,
): void {
  aedes.preConnect = (client, packet, done) => {
    wanted.set(client, readConnect(packet, limits.keepAliveSecondsMax));
    done(null, true);
  };
  aedes.authenticate = (client, username, password, done) => {
    // MQTT 5: a session that goes on but is to end with this connection. aedes would take it for a new one, and throw
    // away what waits for it.
    if (client.version === 5 && wanted.get(client)?.clean === false) (client as InternalClient).clean = false;
    if (clients.size >= limits.connectionsMax && !clients.has(client.id))
      return done(refusal(connackUnavailable, 'connectionsMax is reached'), false);
    if (wanted.get(client)?.keepAliveRefused)
      return done(refusal(connackIdentifierRejected, 'keepAliveSecondsMax is exceeded'), false);
    const address = sockets.get(client.conn)?.remoteAddress ?? '';
    const letIn = (identity: Identity | undefined): void => {
      if (identity) identities.set(client, identity);
      else counts.refusedLogins++;
      done(null, identity !== undefined);
    };
    // Answered as a wrong password is, and without the work of checking one.
    if (username !== undefined && attempts.waitMs(address, username) > 0) return letIn(undefined);
    const checked = (identity: Identity | undefined): void => {
      if (username !== undefined) attempts[identity ? 'succeeded' : 'failed'](address, username);
      letIn(identity);
    };
    access()
      .authenticate(sockets.get(client.conn), username, password)
      .then(checked, (error: unknown) => {
        logger.error('a password can not be checked', { error });
        letIn(undefined);
      });
  };
}

function followSessions(
  aedes: Aedes,
  { clients, wanted, filters, counts }: State,
  { persistence }: AdmissionOptions,
): void {
  aedes.on('client', (client) => {
    clients.set(client.id, client);
    counts.connected++;
    counts.connectedMax = Math.max(counts.connectedMax, clients.size);
    if (wanted.get(client)?.clean) persistence.endSession(client.id);
    if (!client.clean) persistence.sessionConnected(client.id, client.sessionExpiryInterval);
  });
  aedes.on('clientDisconnect', (client) => {
    if (clients.get(client.id) === client) clients.delete(client.id);
    if (client.clean || client.sessionExpiryInterval === 0) persistence.endSession(client.id);
    else persistence.sessionAway(client.id, client.sessionExpiryInterval);
  });
  aedes.on('sessionExpired', ({ id }) => persistence.endSession(id));
  aedes.on('unsubscribe', (topics, client) => {
    for (const topic of topics) filters.get(client)?.delete(topic);
  });
}

function readConnect(packet: ConnectPacket, keepAliveSecondsMax: number): Wanted {
  const { clean = true, keepalive = 0, protocolVersion } = packet;
  const tooLong = keepAliveSecondsMax > 0 && (keepalive === 0 || keepalive > keepAliveSecondsMax);
  const keepAliveRefused = tooLong && protocolVersion !== 5;
  // aedes would answer with a code that MQTT 3.1.1 does not have.
  if (keepAliveRefused) packet.keepalive = keepAliveSecondsMax;
  return { clean, keepAliveRefused };
}

/** The rules, with what they said before remembered for each client. */
function createPermissions(acl: () => Acl, identities: WeakMap<Client, Identity>) {
  const remembered = new WeakMap<Client, { acl: Acl; topics: Map<string, boolean> }>();
  const who = (client: Client) => ({
    username: identities.get(client)?.username,
    clientId: client.id,
  });
  return {
    allows: (client: Client, action: 'read' | 'write', topic: string): boolean => {
      if (identities.get(client)?.may?.[action] === false) return false;
      const rules = acl();
      if (rules.isOpen) return true;
      let known = remembered.get(client);
      if (known?.acl !== rules || known.topics.size > rememberedMax) {
        known = { acl: rules, topics: new Map() };
        remembered.set(client, known);
      }
      const key = action + topic;
      const before = known.topics.get(key);
      if (before !== undefined) return before;
      const allowed = rules.allows(who(client), action, topic);
      known.topics.set(key, allowed);
      return allowed;
    },
    allowsFilter: (client: Client, filter: string): boolean =>
      identities.get(client)?.may?.read !== false && acl().allowsFilter(who(client), filter),
  };
}

function refusal(returnCode: AuthenticateError['returnCode'], message: string): AuthenticateError {
  return Object.assign(new Error(message), { returnCode });
}
