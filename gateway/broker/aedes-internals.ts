import type { Aedes, Client } from 'aedes';
import type { KeptPacket } from './persistence/packet-record.ts';

// What Firn uses of aedes 2.0.0-beta.1 that its types do not tell; see decisions/0013. Another version has to be looked
// through for these names.

export interface InternalClient extends Client {
  clean: boolean;
  subscriptions: Record<string, { readonly qos: 0 | 1 | 2 }>;
  /** The newest message of each broker that was delivered: one that matches two subscriptions is sent once. */
  duplicates: Record<string, number>;
  deliver0: Deliver;
  deliverQoS: Deliver;
  waitForDrain(done: () => void): void;
  /** Ends the connection; MQTT 5 clients are told why. */
  rejectPacketTooLarge(bytes: number): void;
  readonly connackSent: boolean;
  /** The packets that came before the CONNACK; null: they are handled. */
  readonly _parser: { readonly _queue: unknown[] | null; parse(bytes: Uint8Array): void };
  /** Packets that it works on. */
  _parsingBatch: number;
  /** Called for each that is handled. */
  _nextBatch: (error?: Error) => void;
  readonly _keepaliveTimer: NodeJS.Timeout | null;
}

/** `done` tells the emitter that it may go on. */
type Deliver = (packet: DeliveredPacket, done: () => void) => void;

/** `brokerId` is null for a retained message that a new subscription gets. */
export type DeliveredPacket = Omit<KeptPacket, 'brokerId'> & {
  readonly brokerId: string | null;
  /** MQTT 5: not to the client that has sent it. */
  readonly nl?: boolean;
};

/**
 * aedes looks up client ids and topics in plain objects, where `constructor` and `__proto__` are always found
 * (GHSA-52qw-whmv-87c5, mended in 1.2.0 and not yet in this beta).
 */
export function withoutPrototypes(aedes: Aedes): void {
  Object.assign(aedes, { clients: Object.create(null), brokers: Object.create(null) });
}

export function clientWithoutPrototypes(client: Client): InternalClient {
  return Object.assign(client as InternalClient, {
    subscriptions: Object.create(null),
    duplicates: Object.create(null),
  });
}

/**
 * Takes reading from the connection over: aedes gets what it is given by `_parser.parse`, and `onIdle` is called when all
 * of that is handled. To be called before anything is read.
 */
export function takeReading(client: InternalClient, onIdle: () => void): void {
  client.conn.removeListener('readable', client._nextBatch);
  client._parsingBatch = 0;
  client._nextBatch = (error) => {
    if (error) {
      client.emit('error', error);
      return;
    }
    // It calls it once more when a client is authenticated.
    client._parsingBatch = Math.max(0, client._parsingBatch - 1);
    if (client._parsingBatch === 0) onIdle();
  };
}

/** The subscriptions of clients that are connected, and aedes' own. */
export function liveSubscriptions(aedes: Aedes, onChange: () => void) {
  const { _matcher: matcher } = (aedes as Aedes & { readonly mq: { readonly _matcher: Matcher } }).mq;
  const { add, remove } = matcher;
  Object.assign(matcher, {
    add: (...subscription: unknown[]): unknown => {
      onChange();
      return add.apply(matcher, subscription);
    },
    remove: (...subscription: unknown[]): unknown => {
      onChange();
      return remove.apply(matcher, subscription);
    },
  });
  return { matches: (topic: string): boolean => matcher.match(topic).length > 0 };
}

interface Matcher {
  add(...subscription: unknown[]): unknown;
  remove(...subscription: unknown[]): unknown;
  match(topic: string): readonly unknown[];
}
