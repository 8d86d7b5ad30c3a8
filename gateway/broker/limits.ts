import type { AdmissionLimits } from './admission.ts';
import type { ConnectionLimits } from './connections.ts';
import type { OutgoingLimits } from './outgoing.ts';
import type { PersistenceLimits } from './persistence/broker-persistence.ts';

const MEBIBYTE = 1024 * 1024;

/** What settings.ts explains; these are for brokers that are started without settings. */
export interface BrokerLimits extends PersistenceLimits, AdmissionLimits, OutgoingLimits, ConnectionLimits {
  /** A larger payload is acknowledged and its start kept as a dead letter. */
  readonly payloadBytesMax: number;
  /** A device's time that is so much later than the receipt is not believed. */
  readonly futureMsMax: number;
  /** A larger packet closes its connection, before it is all there. */
  readonly packetBytesMax: number;
  /** What may wait for the disk; see Broker. */
  readonly inFlightRowsMax: number;
  readonly inFlightBytesMax: number;
  /** Messages a second that one client may publish; beyond it its connection is read more slowly. 0: no limit. */
  readonly messagesPerSecondMax: number;
}

export const brokerLimits: BrokerLimits = {
  connectionsMax: 1000,
  connectionsPerAddressMax: 0,
  payloadBytesMax: MEBIBYTE,
  futureMsMax: 3_600_000,
  packetBytesMax: 16 * MEBIBYTE,
  inFlightRowsMax: 200_000,
  inFlightBytesMax: 64 * MEBIBYTE,
  messagesPerSecondMax: 0,
  inFlightMessagesMax: 1000,
  subscriptionsMax: 1000,
  keepAliveSecondsMax: 0,
  outgoingBytesMax: MEBIBYTE,
  retainedTopicsMax: 50_000,
  retainedBytesMax: 32 * MEBIBYTE,
  waitingMessagesMax: 1000,
  waitingBytesMax: 32 * MEBIBYTE,
  sessionsMax: 5000,
  sessionSecondsMax: 7 * 86_400,
};
