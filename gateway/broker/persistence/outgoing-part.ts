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
  const queues = createQueues(sink);
  const enqueue = ({ clientId, qos }: Subscriber, packet: KeptPacket, early: boolean) => {
    const { waitingMessagesMax, waitingBytesMax } = limits;
    const fits = queues.bytes() + packetBytes(packet) <= waitingBytesMax;
    if (fits && queues.sizeOf(clientId) < waitingMessagesMax)
      return queues.append(clientId, asQueued(packet, qos), early);
    onDrop();
    return undefined;
  };
  const early = createEarly(queues, enqueue);
  const methods = {
    outgoingEnqueue: async (subscriber: Subscriber, packet: KeptPacket): Promise<void> => {
      if (enqueue(subscriber, ownPacket(packet), false)) await sink.durable();
    },
    outgoingEnqueueCombi: async (subscribers: readonly Subscriber[], packet: KeptPacket): Promise<void> => {
      if (subscribers.length === 0 || early.settle(subscribers, packet)) return;
      const own = ownPacket(packet);
      for (const subscriber of subscribers) enqueue(subscriber, own, false);
      await sink.durable();
    },
    /** Gives a message its packet id, or puts a PUBREL in its place. Nothing happens to what was not kept. */
    outgoingUpdate: async ({ id }: ClientId, packet: KeptPacket): Promise<void> => {
      const known = queues.of(id)?.byIdentity(packet);
      const queued = known ?? queues.find(id, packet);
      if (queued === undefined) return;
      queues.update(id, queued, known ? { ...known.packet, messageId: packet.messageId } : packet);
      // QoS 2: after a crash it has to go on with the same id, or it would be delivered twice.
      if (packet.cmd === 'pubrel' || queued.packet.qos === 2) await sink.durable();
    },
    outgoingClearMessageId: async ({ id }: ClientId, packet: KeptPacket): Promise<KeptPacket | undefined> => {
      const queued = queues.find(id, packet);
      if (queued) queues.remove(id, queued);
      return queued?.packet;
    },
    outgoingStream: ({ id }: ClientId): Readable => {
      const published = [...(queues.of(id)?.all() ?? [])].filter((queued) => !queued.early);
      return Readable.from(published.map(({ packet }) => packet));
    },
  };
  const { part, drop, counts } = queues;
  return { methods, keepEarly: early.keep, drop, part, counts };
}

type Queues = ReturnType<typeof createQueues>;

/** The queues of all sessions, in memory and as records. */
function createQueues(sink: RecordSink) {
  const queues = new Map<string, OutgoingQueue>();
  let lastRow = 0;
  let count = 0;
  let bytes = 0;
  const keyOf = (clientId: string, { row }: QueuedPacket): string =>
    recordKey('queued', clientId, String(row).padStart(15, '0'));
  const note = (clientId: string, queued: QueuedPacket): void =>
    sink.set(keyOf(clientId, queued), writePacket(queued.packet));
  const add = (clientId: string, queued: QueuedPacket): QueuedPacket => {
    const queue = queues.get(clientId) ?? createOutgoingQueue();
    queues.set(clientId, queue);
    queue.add(queued);
    count++;
    bytes += packetBytes(queued.packet);
    return queued;
  };
  const remove = (clientId: string, queued: QueuedPacket): void => {
    const queue = queues.get(clientId);
    queue?.delete(queued);
    if (queue?.size === 0) queues.delete(clientId);
    count--;
    bytes -= packetBytes(queued.packet);
    sink.set(keyOf(clientId, queued), undefined);
  };
  const part: RecordPart = {
    load: ([, clientId = '', text = ''], record) => {
      const packet = readPacket(record);
      const row = Number(text);
      lastRow = Math.max(lastRow, row);
      const ids = { messageId: undefined, brokerId: earlierRun, brokerCounter: row };
      add(clientId, { row, packet: packet.cmd === 'pubrel' ? packet : { ...ids, ...packet }, early: false });
    },
    records: function* () {
      for (const [clientId, queue] of queues)
        for (const queued of queue.all())
          yield { key: keyOf(clientId, queued), ...writePacket(queued.packet) };
    },
  };
  return {
    ...{ part, remove },
    of: (clientId: string): OutgoingQueue | undefined => queues.get(clientId),
    sizeOf: (clientId: string): number => queues.get(clientId)?.size ?? 0,
    bytes: (): number => bytes,
    append: (clientId: string, packet: KeptPacket, early: boolean): QueuedPacket => {
      const queued = add(clientId, { row: ++lastRow, packet, early });
      note(clientId, queued);
      return queued;
    },
    update: (clientId: string, queued: QueuedPacket, packet: KeptPacket): void => {
      bytes += packetBytes(packet) - packetBytes(queued.packet);
      queues.get(clientId)?.update(queued, packet);
      note(clientId, queued);
    },
    find: (clientId: string, packet: KeptPacket): QueuedPacket | undefined => {
      const queue = queues.get(clientId);
      return packet.messageId === undefined
        ? queue?.byIdentity(packet)
        : queue?.byMessageId(packet.messageId);
    },
    drop: (clientId: string): void => {
      for (const queued of [...(queues.get(clientId)?.all() ?? [])]) remove(clientId, queued);
    },
    counts: () => ({ waiting: count, waitingBytes: bytes }),
  };
}

/** Messages that were queued before their publisher was answered; found by their payload, which aedes passes on as it is. */
function createEarly(
  queues: Queues,
  enqueue: (subscriber: Subscriber, packet: KeptPacket, early: boolean) => QueuedPacket | undefined,
) {
  const early = new WeakMap<object, Map<string, QueuedPacket>>();
  return {
    keep: (subscribers: readonly Subscriber[], packet: KeptPacket): void => {
      if (typeof packet.payload !== 'object') return;
      const own = ownPacket(packet);
      const kept = new Map<string, QueuedPacket>();
      for (const subscriber of subscribers) {
        const queued = enqueue(subscriber, own, true);
        if (queued) kept.set(subscriber.clientId, queued);
      }
      early.set(packet.payload, kept);
    },
    /** aedes publishes it now: gives what was kept early the ids that aedes knows it by. False: it was not. */
    settle: (subscribers: readonly Subscriber[], packet: KeptPacket): boolean => {
      const kept = typeof packet.payload === 'object' ? early.get(packet.payload) : undefined;
      if (kept === undefined) return false;
      early.delete(packet.payload as object);
      const { brokerId, brokerCounter } = packet;
      const ids = {
        ...(brokerId !== undefined && { brokerId }),
        ...(brokerCounter !== undefined && { brokerCounter }),
      };
      for (const { clientId } of subscribers) {
        const queued = kept.get(clientId);
        if (queued === undefined) continue;
        queued.early = false;
        queues.of(clientId)?.update(queued, { ...queued.packet, ...ids });
        kept.delete(clientId);
      }
      for (const [clientId, queued] of kept) queues.remove(clientId, queued); // it has unsubscribed meanwhile
      return true;
    },
  };
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
