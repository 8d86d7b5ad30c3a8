import { type KeptPacket, ownPacket, readPacket, writePacket } from './packet-record.ts';
import { type RecordPart, type RecordSink, recordKey } from './record-key.ts';

interface ClientId {
  readonly id: string;
  /** The session ends with its connection: nothing of it has to survive a crash. */
  readonly clean?: boolean;
}

interface MessageId {
  readonly messageId: number;
}

/** aedes' methods for QoS 2 publishes that wait for their PUBREL: they tell repetitions. */
export function incomingPart(sink: RecordSink) {
  const clients = new Map<string, Map<number, KeptPacket>>();
  const keyOf = (clientId: string, messageId: number): string =>
    recordKey('incoming', clientId, String(messageId));
  const put = (clientId: string, messageId: number, packet: KeptPacket): void => {
    const packets = clients.get(clientId) ?? new Map<number, KeptPacket>();
    clients.set(clientId, packets);
    packets.set(messageId, packet);
  };
  const remove = (clientId: string, messageId: number): boolean => {
    const packets = clients.get(clientId);
    if (!packets?.delete(messageId)) return false;
    if (packets.size === 0) clients.delete(clientId);
    sink.set(keyOf(clientId, messageId), undefined);
    return true;
  };
  const removeAll = (clientId: string): void => {
    for (const messageId of [...(clients.get(clientId)?.keys() ?? [])]) remove(clientId, messageId);
  };
  const count = (clientId: string): number => clients.get(clientId)?.size ?? 0;

  const methods = {
    incomingStorePacket: async ({ id, clean }: ClientId, packet: KeptPacket & MessageId): Promise<void> => {
      const { cmd = 'publish', topic, payload, qos, retain, dup = false, messageId } = ownPacket(packet);
      const kept = { cmd, topic, payload, qos, retain, dup, messageId };
      put(id, packet.messageId, kept);
      if (clean) return;
      sink.set(keyOf(id, packet.messageId), writePacket(kept));
      await sink.durable();
    },
    incomingGetPacket: async ({ id }: ClientId, { messageId }: MessageId): Promise<KeptPacket> => {
      const packet = clients.get(id)?.get(messageId);
      if (packet === undefined) throw new Error('no such packet');
      return packet;
    },
    /** Of one that is not there, too: aedes lets a rejection go uncaught. */
    incomingDelPacket: async ({ id, clean }: ClientId, { messageId }: MessageId): Promise<void> => {
      // Before the PUBCOMP: after that the same id is another message.
      if (remove(id, messageId) && !clean) await sink.durable();
    },
    cleanIncoming: async ({ id }: ClientId): Promise<void> => removeAll(id),
  };
  const part: RecordPart = {
    load: ([, clientId = '', messageId = ''], record) => put(clientId, Number(messageId), readPacket(record)),
    records: function* () {
      for (const [clientId, packets] of clients)
        for (const [messageId, packet] of packets)
          yield { key: keyOf(clientId, messageId), ...writePacket(packet) };
    },
  };
  return { methods, removeAll, count, part };
}
