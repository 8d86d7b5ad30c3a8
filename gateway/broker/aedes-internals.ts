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
