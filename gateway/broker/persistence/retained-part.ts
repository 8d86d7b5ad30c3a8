import { Readable } from 'node:stream';
import { type KeptPacket, readPacket, writePacket } from './packet-record.ts';
import { type RecordPart, type RecordSink, recordKey } from './record-key.ts';
import { createRetainedMessages, isSystemTopic, type RetainedLimits } from './retained-messages.ts';

/** aedes' methods for retained messages. */
export function retainedPart(sink: RecordSink, limits: RetainedLimits, onDrop: () => void) {
  const messages = createRetainedMessages(limits);
  const keyOf = (topic: string): string => recordKey('retained', topic);
  /** Kept by `keepEarly`; found by their payload, which aedes passes on as it is. */
  const early = new WeakSet<object>();
  const put = (packet: KeptPacket): void => {
    const { topic, payload } = packet;
    if (payload.length === 0) messages.delete(topic);
    else if (!messages.put(packet)) {
      onDrop();
      return;
    }
    if (isSystemTopic(topic)) return;
    sink.set(keyOf(topic), payload.length === 0 ? undefined : writePacket(packet));
  };
  const methods = {
    storeRetained: async (packet: KeptPacket): Promise<void> => {
      if (typeof packet.payload === 'object' && early.delete(packet.payload)) return;
      put(packet);
      if (packet.qos > 0) await sink.durable();
    },
    createRetainedStream: (filter: string): Readable => Readable.from(messages.match([filter])),
    createRetainedStreamCombi: (filters: readonly string[]): Readable =>
      Readable.from(messages.match(filters)),
  };
  const keepEarly = (packet: KeptPacket): void => {
    put(packet);
    if (typeof packet.payload === 'object') early.add(packet.payload);
  };
  const part: RecordPart = {
    load: (_, record) => void messages.put(readPacket(record)),
    records: function* () {
      for (const packet of messages.all())
        if (!isSystemTopic(packet.topic)) yield { key: keyOf(packet.topic), ...writePacket(packet) };
    },
  };
  const counts = () => ({ retained: messages.count, retainedBytes: messages.bytes });
  return { methods, keepEarly, isCurrent: messages.isCurrent, part, counts };
}
