import { isUtf8 } from 'node:buffer';
import type { Aedes } from 'aedes';
import type { KnownTopic } from '../../lake/receive/mqtt/known-topics.ts';
import type { AcknowledgementOrder } from './acknowledgement-order.ts';
import { type InternalClient, liveSubscriptions } from './aedes-internals.ts';
import type { BrokerPersistence } from './persistence/broker-persistence.ts';
import type { PublishStore } from './publish-store.ts';
import { refuse } from './store-then-acknowledge.ts';

/**
 * The way of a PUBLISH that only the log wants, which is nearly every one: from the bytes of its connection into columns,
 * past aedes. It is for messages with QoS 0 or 1 that are not retained, have no properties, may be published, and to whose
 * topic nobody has subscribed. They are stored and acknowledged in one order with those that aedes handles.
 */
export interface PublishLane {
  /** The part of one client. `onChange`: `isFull` may be another, or the connection has drained. */
  of(client: InternalClient, onChange: () => void): ClientLane;
}

export interface ClientLane {
  /** Takes the PUBLISH bytes[start, end), whose topic begins at `body`; false: it is for aedes. Then see `endRun`. */
  take(bytes: Buffer, start: number, body: number, end: number): boolean;
  /** To be called before aedes is given what comes after, and when there is no more. */
  endRun(): void;
  /** So much waits for the disk, or for the client to read, that no more should be read from it. */
  readonly isFull: boolean;
}

interface PublishLaneOptions {
  readonly aedes: Aedes;
  readonly store: PublishStore;
  readonly persistence: Pick<BrokerPersistence, 'isAwaited' | 'subscriptionChanges'>;
  readonly inOrder: AcknowledgementOrder;
  readonly isAllowed: (client: InternalClient, topic: string) => boolean;
}

/** Of one client's messages that wait for the disk: two reads. */
const waitingBytesMax = 128 * 1024;
const topicsMax = 50_000;

export function createPublishLane(options: PublishLaneOptions): PublishLane {
  const isOnlyStored = createOnlyStored(options);
  return { of: (client, onChange) => clientLane(client, onChange, isOnlyStored, options) };
}

/** Whether all that there is to do with messages of a topic is to store them; asked again after each subscription. */
function createOnlyStored({ aedes, persistence }: PublishLaneOptions) {
  const known = new Set<KnownTopic>();
  const live = liveSubscriptions(aedes, () => known.clear());
  let changes = 0;
  return (topic: KnownTopic, bytes: Buffer, start: number, end: number): boolean => {
    if (changes !== persistence.subscriptionChanges() || known.size >= topicsMax) {
      changes = persistence.subscriptionChanges();
      known.clear();
    }
    if (known.has(topic)) return true;
    const { name } = topic;
    // What aedes refuses, in its own words, and what is the broker's own.
    if (name === '' || name.startsWith('$') || /[+#]/.test(name)) return false;
    if (name.split('/').length > maxLevels || !isUtf8(bytes.subarray(start, end))) return false;
    if (live.matches(name) || persistence.isAwaited(name)) return false;
    known.add(topic);
    return true;
  };
}

/** aedes' own limit. */
const maxLevels = 100;

type OnlyStored = ReturnType<typeof createOnlyStored>;

const [dupBit, retainBit, qosBits, qosOne] = [0x08, 0x01, 0x06, 0x02];
const puback = 0x40;

function clientLane(
  client: InternalClient,
  onChange: () => void,
  isOnlyStored: OnlyStored,
  { store, inOrder, isAllowed }: PublishLaneOptions,
): ClientLane {
  let run = createRun();
  let waitingBytes = 0;
  let draining = false;
  const acknowledge = (pubacks: Buffer): void => {
    if (client.closed || pubacks.length === 0 || client.conn.write(pubacks)) return;
    draining = true; // aedes closes a client that takes nothing for a minute
    client.waitForDrain(() => {
      draining = false;
      onChange();
    });
  };
  const stored = ({ bytes, pubacks }: Run, error: Error | undefined): void => {
    waitingBytes -= bytes;
    if (error === undefined) inOrder(undefined, () => acknowledge(pubacks.finish()));
    else if (pubacks.count > 0) refuse(client, error, (reason) => client.emit('error', reason));
    onChange();
  };
  return {
    take: (bytes, start, body, end) => {
      const flags = bytes[start] ?? 0;
      const qos = flags & qosBits;
      if ((flags & retainBit) !== 0 || qos > qosOne) return false;
      const topicStart = body + 2;
      const topicEnd = topicStart + (((bytes[body] ?? 0) << 8) | (bytes[body + 1] ?? 0));
      let payload = topicEnd;
      let id = 0;
      if (qos === qosOne) {
        id = ((bytes[topicEnd] ?? 0) << 8) | (bytes[topicEnd + 1] ?? 0);
        payload += 2;
        if (id === 0) return false;
      } else if ((flags & dupBit) !== 0) return false;
      // No properties.
      if (client.version === 5 && bytes[payload++] !== 0) return false;
      if (payload > end) return false;
      const topic = store.topicAt(bytes, topicStart, topicEnd);
      if (!isOnlyStored(topic, bytes, topicStart, topicEnd) || !isAllowed(client, topic.name)) return false;
      if (!store.take(topic, bytes, payload, end)) return false;
      run.bytes += end - start;
      if (qos === qosOne) run.pubacks.add(id);
      else run.unacknowledged++;
      return true;
    },
    endRun: () => {
      if (run.bytes === 0) return;
      const ended = run;
      run = createRun();
      waitingBytes += ended.bytes;
      client._keepaliveTimer?.refresh();
      const { pubacks, unacknowledged } = ended;
      store.endRun({ acknowledged: pubacks.count, unacknowledged }, (error) => stored(ended, error));
    },
    get isFull() {
      return draining || waitingBytes >= waitingBytesMax;
    },
  };
}

type Run = ReturnType<typeof createRun>;

/** Messages that follow one another. */
const createRun = () => ({ bytes: 0, unacknowledged: 0, pubacks: createPubacks() });

/** PUBACKs one after the other, to be sent at once. */
function createPubacks() {
  let bytes = Buffer.allocUnsafe(64);
  let end = 0;
  return {
    get count() {
      return end / 4;
    },
    add: (id: number): void => {
      if (end === bytes.length) bytes = Buffer.concat([bytes], 4 * end);
      bytes[end] = puback;
      bytes[end + 1] = 2;
      bytes[end + 2] = id >> 8;
      bytes[end + 3] = id & 0xff;
      end += 4;
    },
    finish: (): Buffer => bytes.subarray(0, end),
  };
}
