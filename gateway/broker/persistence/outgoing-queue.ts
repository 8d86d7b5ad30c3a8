import type { KeptPacket } from './packet-record.ts';

/** A message that waits for a subscriber's acknowledgement, or (QoS 2) what is left of it: its PUBREL. */
export interface QueuedPacket {
  /** Grows with time; over all queues. */
  readonly row: number;
  packet: KeptPacket;
  /**
   * Kept on disk before its publisher was answered, and not yet published: whoever connects meanwhile gets it when it
   * is published.
   */
  early: boolean;
}

/** The messages of one persistent session, in their order, found by what aedes knows of them. */
export interface OutgoingQueue {
  readonly size: number;
  add(queued: QueuedPacket): void;
  byMessageId(messageId: number): QueuedPacket | undefined;
  byIdentity(packet: KeptPacket): QueuedPacket | undefined;
  /** `packet` takes the place of what was queued, or is the same with other ids. */
  update(queued: QueuedPacket, packet: KeptPacket): void;
  delete(queued: QueuedPacket): void;
  all(): IterableIterator<QueuedPacket>;
}

const identity = ({ brokerId, brokerCounter }: KeptPacket): string | undefined =>
  brokerId === undefined ? undefined : `${brokerId}:${brokerCounter}`;

export function createOutgoingQueue(): OutgoingQueue {
  const rows = new Map<number, QueuedPacket>();
  const messageIds = new Map<number, QueuedPacket>();
  const identities = new Map<string, QueuedPacket>();
  const unlink = (queued: QueuedPacket): void => {
    const { packet } = queued;
    const key = identity(packet);
    if (key !== undefined && identities.get(key) === queued) identities.delete(key);
    const { messageId } = packet;
    if (messageId !== undefined && messageIds.get(messageId) === queued) messageIds.delete(messageId);
  };
  const link = (queued: QueuedPacket): void => {
    const key = identity(queued.packet);
    if (key !== undefined) identities.set(key, queued);
    if (queued.packet.messageId !== undefined) messageIds.set(queued.packet.messageId, queued);
  };
  return {
    get size() {
      return rows.size;
    },
    add: (queued) => {
      rows.set(queued.row, queued);
      link(queued);
    },
    byMessageId: (messageId) => messageIds.get(messageId),
    byIdentity: (packet) => identities.get(identity(packet) ?? ''),
    update: (queued, packet) => {
      unlink(queued);
      queued.packet = packet;
      link(queued);
    },
    delete: (queued) => {
      unlink(queued);
      rows.delete(queued.row);
    },
    all: () => rows.values(),
  };
}
