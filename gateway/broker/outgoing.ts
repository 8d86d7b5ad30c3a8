import { Readable } from 'node:stream';
import type { Client } from 'aedes';
import mqttPacket from 'mqtt-packet';
import type { DeliveredPacket, InternalClient } from './aedes-internals.ts';
import type { BrokerPersistence } from './persistence/broker-persistence.ts';
import type { KeptPacket } from './persistence/packet-record.ts';
import { topicMatches } from './topic-filter.ts';

export interface OutgoingLimits {
  /** Messages with QoS 1 and 2 that a client may have unacknowledged; fewer when it says so (MQTT 5). */
  readonly inFlightMessagesMax: number;
  /** Messages beyond those that wait for a client that is connected. */
  readonly waitingMessagesMax: number;
  /** Bytes on their way to a client; while they are more, QoS 0 messages are dropped. */
  readonly outgoingBytesMax: number;
}

interface OutgoingOptions {
  readonly limits: OutgoingLimits;
  readonly persistence: BrokerPersistence;
  /** Whether the client may read it, and can take it. */
  readonly mayDeliver: (
    client: Client,
    packet: { readonly topic: string; readonly payload: { length: number } },
  ) => boolean;
  readonly onSent: (bytes: number) => void;
  readonly onDrop: () => void;
}

/**
 * Delivery in place of aedes' own: a subscriber that is slow, or does not acknowledge, never holds up those who publish.
 * What it can't take waits within limits, and is dropped and counted beyond them.
 */
export function createOutgoing(options: OutgoingOptions) {
  const windows = new WeakMap<Client, Window>();
  const windowOf = (client: Client): Window => {
    const { inFlightMessagesMax, waitingMessagesMax } = options.limits;
    const size = Math.min(inFlightMessagesMax, client.receiveMaximum ?? inFlightMessagesMax);
    const window = windows.get(client) ?? createWindow(size, waitingMessagesMax, options.onDrop);
    windows.set(client, window);
    return window;
  };
  const { persistence } = options;
  return {
    /** Before the client subscribes to anything. */
    attach: (client: InternalClient): void => attach(client, options, windowOf),
    detach: (client: Client): void => windows.get(client)?.clear(),
    /** For aedes: persistence that keeps the windows. */
    persistence: {
      ...persistence,
      outgoingStream: (client: Client): Readable =>
        client.closed || client.clean
          ? persistence.outgoingStream(client)
          : Readable.from(paced(persistence.outgoingStream(client), windowOf(client)), { highWaterMark: 1 }),
      outgoingUpdate: (client: Client, packet: KeptPacket): Promise<void> => {
        if (packet.messageId !== undefined) windowOf(client).taken(packet.messageId);
        return persistence.outgoingUpdate(client, packet);
      },
      outgoingClearMessageId: (client: Client, packet: KeptPacket): Promise<KeptPacket | undefined> => {
        if (packet.messageId !== undefined) windows.get(client)?.release(packet.messageId);
        return persistence.outgoingClearMessageId(client, packet);
      },
    },
  };
}

function attach(
  client: InternalClient,
  options: OutgoingOptions,
  windowOf: (client: Client) => Window,
): void {
  const { limits, persistence, mayDeliver, onSent, onDrop } = options;
  const deliver0 = client.deliver0;
  const nothing = (): void => undefined;
  client.deliver0 = (packet, done) => {
    // A retained message for a new subscription waits for its turn, so that all of them arrive.
    if (packet.brokerId === null) return deliver0(packet, done);
    setImmediate(done);
    if (client.conn.writableLength > limits.outgoingBytesMax) onDrop();
    else {
      onSent(packet.payload.length);
      deliver0(packet, nothing);
    }
  };
  let lastId = Math.floor(Math.random() * 65_535);
  const nextId = (window: Window): number => {
    do lastId = (lastId % 65_535) + 1;
    while (window.has(lastId));
    return lastId;
  };
  const send = async (packet: KeptPacket, kept: boolean): Promise<boolean> => {
    const window = windowOf(client);
    const messageId = nextId(window);
    const sent: KeptPacket = { ...packet, dup: false, messageId };
    if (packet.qos === 2) sent.qos = grantedQos(client, packet.topic);
    window.taken(messageId);
    if (kept) await persistence.outgoingUpdate(client, sent);
    onSent(packet.payload.length);
    return write(client, sent);
  };
  client.deliverQoS = (packet, done) => {
    if (packet.qos === 0) return client.deliver0(packet, done);
    const retained = packet.brokerId === null;
    if (!isNews(client, packet) || !mayDeliver(client, packet)) {
      if (!client.clean && !retained) void persistence.outgoingClearMessageId(client, packet as KeptPacket);
      setImmediate(done);
      return;
    }
    if (!retained) setImmediate(done);
    const ready = async (): Promise<void> => {
      const more = await send(packet as KeptPacket, !client.clean && !retained);
      if (retained && !more && !client.closed) client.waitForDrain(done);
      else if (retained) setImmediate(done);
    };
    windowOf(client).enter(() => void ready(), retained);
  };
}

/** Not sent by itself (no local), and not delivered yet for another of its subscriptions. */
function isNews(
  client: InternalClient,
  { nl, clientId, brokerId, brokerCounter = 0 }: DeliveredPacket,
): boolean {
  if (nl && clientId === client.id) return false;
  if (brokerId === null) return true;
  if ((client.duplicates[brokerId] ?? 0) >= brokerCounter) return false;
  client.duplicates[brokerId] = brokerCounter;
  return true;
}

/** The highest of the subscriptions that match [MQTT-3.3.5-1]. */
function grantedQos(client: InternalClient, topic: string): 0 | 1 | 2 {
  let granted: 1 | 2 = 1;
  for (const [filter, { qos }] of Object.entries(client.subscriptions))
    if (qos === 2 && topicMatches(filter, topic)) granted = 2;
  return granted;
}

/** False when the connection should be drained before more is written. */
function write(client: InternalClient, packet: KeptPacket): boolean {
  if (!client.connected && !client.connecting) return false;
  const protocolVersion = client.version === 5 || client.version === 3 ? client.version : 4;
  try {
    return mqttPacket.writeToStream({ ...packet, cmd: 'publish' } as mqttPacket.Packet, client.conn, {
      protocolVersion,
    });
  } catch (error) {
    client.emit('error', error instanceof Error ? error : new Error(String(error)));
    return false;
  }
}

/** Messages to one client that are not acknowledged, and those that wait for them. */
type Window = ReturnType<typeof createWindow>;

function createWindow(size: number, waitingMax: number, onDrop: () => void) {
  const ids = new Set<number>();
  let waiting: (() => void)[] = [];
  /** Read from the queue, and without a packet id yet. */
  let unnumbered = 0;
  let onRoom: (() => void) | undefined;
  const hasRoom = (): boolean => ids.size + unnumbered < size;
  return {
    has: (messageId: number): boolean => ids.has(messageId),
    taken: (messageId: number): void => {
      ids.add(messageId);
      unnumbered = Math.max(0, unnumbered - 1);
    },
    release: (messageId: number): void => {
      if (!ids.delete(messageId)) return;
      waiting.shift()?.();
      onRoom?.();
    },
    /** Calls `send`, which takes an id, when there is room. */
    enter: (send: () => void, always: boolean): void => {
      if (hasRoom()) send();
      else if (waiting.length < waitingMax || always) waiting.push(send);
      else onDrop();
    },
    /** Resolves when there is room for one that gets its id later. */
    room: async (): Promise<void> => {
      while (!hasRoom())
        await new Promise<void>((resolve) => {
          onRoom = resolve;
        });
      unnumbered++;
    },
    clear: (): void => {
      waiting = [];
      ids.clear();
      onRoom?.();
    },
  };
}

/** What waited for the client. What it was sent before is marked as a repetition [MQTT-3.3.1-1]. */
async function* paced(stream: Readable, window: Window): AsyncGenerator<KeptPacket> {
  for await (const packet of stream as AsyncIterable<KeptPacket>) {
    await window.room();
    yield packet.messageId === undefined || packet.cmd === 'pubrel' ? packet : { ...packet, dup: true };
  }
}
