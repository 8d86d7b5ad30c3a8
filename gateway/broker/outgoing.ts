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
  const isNews = createNews(client, persistence.isRetained);
  let draining = false;
  /** Calls `done` when more may be written: of retained messages for a new subscription all are to arrive. */
  const send = (packet: KeptPacket, paced: (() => void) | undefined): void => {
    onSent(packet.payload.length);
    const more = write(client, packet);
    if (!more && !client.closed && (paced || !draining)) {
      draining = true; // aedes closes a client that takes nothing for a minute
      client.waitForDrain(() => {
        draining = false;
        paced?.();
      });
    } else if (paced) setImmediate(paced);
  };
  client.deliver0 = (packet, done) => {
    const paced = packet.brokerId === null ? done : undefined;
    const wanted = isNews(packet) && mayDeliver(client, packet);
    if (!wanted || !paced) setImmediate(done);
    if (!wanted) return;
    if (!paced && client.conn.writableLength > limits.outgoingBytesMax) onDrop();
    else send({ ...(packet as KeptPacket), qos: 0, dup: false }, paced);
  };
  let lastId = Math.floor(Math.random() * 65_535);
  const nextId = (window: Window): number => {
    do lastId = (lastId % 65_535) + 1;
    while (window.has(lastId));
    return lastId;
  };
  client.deliverQoS = (packet, done) => {
    if (packet.qos === 0) {
      client.deliver0(packet, done);
      return;
    }
    const paced = packet.brokerId === null ? done : undefined;
    const kept = !client.clean && !paced;
    const wanted = isNews(packet) && mayDeliver(client, packet);
    if (!wanted || !paced) setImmediate(done);
    if (!wanted) return;
    const window = windowOf(client);
    const enter = async (): Promise<void> => {
      const messageId = nextId(window);
      const sent: KeptPacket = { ...(packet as KeptPacket), dup: false, messageId };
      if (packet.qos === 2) sent.qos = grantedQos(client, packet.topic);
      window.taken(messageId);
      if (kept) await persistence.outgoingUpdate(client, sent);
      send(sent, paced);
    };
    window.enter(() => void enter(), paced !== undefined);
  };
}

/** So many of the newest messages of a client are told from repetitions. */
const newsMax = 1000;

/**
 * False for what a client has sent itself (no local), for a retained message that another one has replaced while it
 * waited for its turn, which the client has got by then, and for a message that was delivered for another of its
 * subscriptions. aedes takes the numbers of messages for growing; but one that waits for the disk is overtaken by others.
 */
function createNews(client: InternalClient, isRetained: BrokerPersistence['isRetained']) {
  let newest = new Set<number>();
  let older = new Set<number>();
  return ({ nl, clientId, brokerId, brokerCounter = 0, topic, payload }: DeliveredPacket): boolean => {
    if (nl && clientId === client.id) return false; // what is queued of it ends with the session
    if (brokerId === null) return isRetained(topic, payload);
    if (newest.has(brokerCounter) || older.has(brokerCounter)) return false;
    newest.add(brokerCounter);
    if (newest.size >= newsMax) {
      older = newest;
      newest = new Set();
    }
    return true;
  };
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
