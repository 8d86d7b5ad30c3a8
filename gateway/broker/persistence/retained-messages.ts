import { hasWildcard, topicMatches } from '../topic-filter.ts';
import { type KeptPacket, ownPacket, packetBytes } from './packet-record.ts';

export interface RetainedLimits {
  /** Topics with a retained message; one more is delivered and stored, but not retained. */
  readonly retainedTopicsMax: number;
  /** Of their topics and payloads together. */
  readonly retainedBytesMax: number;
}

/** The retained messages, by topic. The broker's own ($SYS) do not count. */
export interface RetainedMessages {
  /** False when a limit was met: the topic keeps what it had, if anything. */
  put(packet: KeptPacket): boolean;
  delete(topic: string): void;
  match(filters: readonly string[]): Generator<KeptPacket>;
  /** Whether this payload, which `match` has given, has not been replaced since. */
  isCurrent(topic: string, payload: unknown): boolean;
  all(): IterableIterator<KeptPacket>;
  readonly count: number;
  readonly bytes: number;
}

export const isSystemTopic = (topic: string): boolean => topic.startsWith('$SYS/');

export function createRetainedMessages(limits: RetainedLimits): RetainedMessages {
  const messages = new Map<string, KeptPacket>();
  let count = 0;
  let bytes = 0;
  const account = (packet: KeptPacket | undefined, sign: 1 | -1): void => {
    if (packet === undefined || isSystemTopic(packet.topic)) return;
    count += sign;
    bytes += sign * packetBytes(packet);
  };
  return {
    put: (packet) => {
      const { topic } = packet;
      const before = messages.get(topic);
      const more = before === undefined ? 1 : 0;
      const moreBytes = packetBytes(packet) - (before === undefined ? 0 : packetBytes(before));
      const fits = count + more <= limits.retainedTopicsMax && bytes + moreBytes <= limits.retainedBytesMax;
      if (!fits && !isSystemTopic(topic)) return false;
      account(before, -1);
      const own = ownPacket(packet);
      messages.set(topic, own);
      account(own, 1);
      return true;
    },
    delete: (topic) => {
      account(messages.get(topic), -1);
      messages.delete(topic);
    },
    match: function* (filters) {
      for (const filter of filters) {
        const exact = hasWildcard(filter) ? undefined : messages.get(filter);
        if (exact !== undefined) yield exact;
        if (!hasWildcard(filter)) continue;
        for (const packet of messages.values()) if (topicMatches(filter, packet.topic)) yield packet;
      }
    },
    isCurrent: (topic, payload) => messages.get(topic)?.payload === payload,
    all: () => messages.values(),
    get count() {
      return count;
    },
    get bytes() {
      return bytes;
    },
  };
}
