import { Readable } from 'node:stream';
import { createOutgoingQueue, type OutgoingQueue, type QueuedPacket } from './outgoing-queue.ts';
import { type KeptPacket, ownPacket, packetBytes, readPacket, writePacket } from './packet-record.ts';
import { type RecordPart, type RecordSink, recordKey } from './record-key.ts';

export interface QueueLimits {
  /** Messages that wait for a subscriber with a persistent session; newer ones are not kept for it. */
  readonly waitingMessagesMax: number;
  /** Of all sessions together. */
  readonly waitingBytesMax: number;
}

interface Subscriber {
  readonly clientId: string;
  readonly qos?: number;
}

interface ClientId {
  readonly id: string;
}

/** Identity of a message that an earlier run left: unlike any of this one. */
const earlierRun = 'earlier run';

/** aedes' methods for messages on their way to subscribers with persistent sessions. */
export function outgoingPart(sink: RecordSink, limits: QueueLimits, onDrop: () => void) {
  const queues = new Map<string, OutgoingQueue>();
  /** Kept by `keepEarly`; found by their payload, which aedes passes on as it is. */
  const early = new WeakMap<object, Map<string, QueuedPacket>>();
  let lastRow = 0;
  let count = 0;
  let bytes = 0;
  const keyOf = (clientId: string, { row }: QueuedPacket): string =>
    recordKey('queued', clientId, String(row).padStart(15, '0'));
  const note = (clientId: string, queued: QueuedPacket): void =>
    sink.set(keyOf(clientId, queued), writePacket(queued.packet));
  const add = (clientId: string, queued: QueuedPacket): void => {
    const queue = queues.get(clientId) ?? createOutgoingQueue();
    queues.set(clientId, queue);
    queue.add(queued);
    count++;
    bytes += packetBytes(queued.packet);
  };
  const update = (clientId: string, queued: QueuedPacket, packet: KeptPacket): void => {
    bytes += packetBytes(packet) - packetBytes(queued.packet);
    queues.get(clientId)?.update(queued, packet);
    note(clientId, queued);
  };
  const remove = (clientId: string, queued: QueuedPacket): void => {
    const queue = queues.get(clientId);
    queue?.delete(queued);
    if (queue?.size === 0) queues.delete(clientId);
    count--;
    bytes -= packetBytes(queued.packet);
    sink.set(keyOf(clientId, queued), undefined);
  };
  const enqueue = ({ clientId, qos }: Subscriber, packet: KeptPacket, isEarly: boolean) => {
    const waits = queues.get(clientId)?.size ?? 0;
    if (waits >= limits.waitingMessagesMax || bytes + packetBytes(packet) > limits.waitingBytesMax) {
      onDrop();
      return undefined;
    }
    const queued: QueuedPacket = { row: ++lastRow, packet: asQueued(packet, qos), early: isEarly };
    add(clientId, queued);
    note(clientId, queued);
    return queued;
  };

  const keepEarly = (subscribers: readonly Subscriber[], packet: KeptPacket): void => {
    if (typeof packet.payload !== 'object') return;
    const own = ownPacket(packet);
    const kept = new Map<string, QueuedPacket>();
    for (const subscriber of subscribers) {
      const queued = enqueue(subscriber, own, true);
      if (queued) kept.set(subscriber.clientId, queued);
    }
    early.set(packet.payload, kept);
  };
  /** aedes publishes it now: gives what was kept early the ids that aedes knows it by. */
  const settleEarly = (subscribers: readonly Subscriber[], packet: KeptPacket) => {
    const kept = typeof packet.payload === 'object' ? early.get(packet.payload) : undefined;
    if (kept === undefined) return false;
    early.delete(packet.payload as object);
    const { brokerId, brokerCounter } = packet;
    for (const { clientId } of subscribers) {
      const queued = kept.get(clientId);
      if (queued === undefined) continue;
      queued.early = false;
      const ids = {
        ...(brokerId !== undefined && { brokerId }),
        ...(brokerCounter !== undefined && { brokerCounter }),
      };
      queues.get(clientId)?.update(queued, { ...queued.packet, ...ids });
      kept.delete(clientId);
    }
    for (const [clientId, queued] of kept) remove(clientId, queued); // it has unsubscribed meanwhile
    return true;
  };
  const find = ({ id }: ClientId, packet: KeptPacket): QueuedPacket | undefined => {
    const queue = queues.get(id);
    return packet.messageId === undefined ? queue?.byIdentity(packet) : queue?.byMessageId(packet.messageId);
  };
  const drop = (clientId: string): void => {
    for (const queued of [...(queues.get(clientId)?.all() ?? [])]) remove(clientId, queued);
  };

  const methods = {
    outgoingEnqueue: async (subscriber: Subscriber, packet: KeptPacket): Promise<void> => {
      if (enqueue(subscriber, ownPacket(packet), false)) await sink.durable();
    },
    outgoingEnqueueCombi: async (subscribers: readonly Subscriber[], packet: KeptPacket): Promise<void> => {
      if (subscribers.length === 0 || settleEarly(subscribers, packet)) return;
      const own = ownPacket(packet);
      for (const subscriber of subscribers) enqueue(subscriber, own, false);
      await sink.durable();
    },
    /** Gives a message its packet id, or puts a PUBREL in its place. Nothing happens to what was not kept. */
    outgoingUpdate: async (client: ClientId, packet: KeptPacket): Promise<void> => {
      const known = queues.get(client.id)?.byIdentity(packet);
      const queued = known ?? find(client, packet);
      if (queued === undefined) return;
      update(client.id, queued, known ? { ...known.packet, messageId: packet.messageId } : packet);
      // QoS 2: after a crash it has to go on with the same id, or it would be delivered twice.
      if (packet.cmd === 'pubrel' || queued.packet.qos === 2) await sink.durable();
    },
    outgoingClearMessageId: async (client: ClientId, packet: KeptPacket): Promise<KeptPacket | undefined> => {
      const queued = find(client, packet);
      if (queued) remove(client.id, queued);
      return queued?.packet;
    },
    outgoingStream: ({ id }: ClientId): Readable =>
      Readable.from(
        [...(queues.get(id)?.all() ?? [])].filter((queued) => !queued.early).map((q) => q.packet),
      ),
  };
  const part: RecordPart = {
    load: ([, clientId = '', row = ''], record) => {
      const packet = readPacket(record);
      const number = Number(row);
      lastRow = Math.max(lastRow, number);
      const ids = { brokerId: earlierRun, brokerCounter: number };
      const queued = packet.cmd === 'pubrel' ? packet : { messageId: undefined, ...ids, ...packet };
      add(clientId, { row: number, packet: queued, early: false });
    },
    records: function* () {
      for (const [clientId, queue] of queues)
        for (const queued of queue.all())
          yield { key: keyOf(clientId, queued), ...writePacket(queued.packet) };
    },
  };
  return { methods, keepEarly, drop, part, counts: () => ({ waiting: count, waitingBytes: bytes }) };
}

/** With the QoS that the subscriber was granted, and no packet id yet. */
function asQueued(packet: KeptPacket, grantedQos = 2): KeptPacket {
  const { cmd, topic, payload, qos, retain, dup, brokerId, brokerCounter, properties, messageExpiry } =
    packet;
  return {
    ...{ cmd: cmd ?? 'publish', topic, payload, retain, dup: dup ?? false, messageId: undefined },
    qos: Math.min(qos, grantedQos) as 0 | 1 | 2,
    ...(brokerId !== undefined && { brokerId }),
    ...(brokerCounter !== undefined && { brokerCounter }),
    ...(properties && { properties }),
    ...(messageExpiry !== undefined && { messageExpiry }),
  };
}
