import { isUtf8 } from 'node:buffer';
import type { Aedes } from 'aedes';
import type { KnownTopic } from '../../lake/receive/mqtt/known-topics.ts';
import type { AcknowledgementOrder } from './acknowledgement-order.ts';
import type { Admission } from './admission.ts';
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
  readonly persistence: Pick<BrokerPersistence, 'interest'>;
  readonly inOrder: AcknowledgementOrder;
  readonly admission: Pick<Admission, 'isAllowedToPublish'>;
}

/** Of one client's messages that wait for the disk: two reads. */
const waitingBytesMax = 128 * 1024;
const topicsMax = 50_000;

export function createPublishLane(options: PublishLaneOptions): PublishLane {
  const isOnlyStored = createOnlyStored(options);
  return { of: (client, onChange) => clientLane(client, onChange, isOnlyStored, options) };
}

/** Whether all that there is to do with messages of a topic is to store them; asked again after each subscription. */
function createOnlyStored({ aedes, persistence: { interest } }: PublishLaneOptions) {
  const known = new Map<KnownTopic, boolean>();
  const live = liveSubscriptions(aedes, () => known.clear());
  let changes = 0;
  const ask = ({ name }: KnownTopic, bytes: Uint8Array): boolean => {
    // What aedes refuses, in its own words, and what is the broker's own.
    if (name === '' || name.startsWith('$') || /[+#]/.test(name) || !isUtf8(bytes)) return false;
    return name.split('/').length <= levelsMax && !live.matches(name) && !interest.isAwaited(name);
  };
  return (topic: KnownTopic, bytes: Buffer, start: number, end: number): boolean => {
    if (changes !== interest.changes() || known.size >= topicsMax) {
      changes = interest.changes();
      known.clear();
    }
    const before = known.get(topic);
    if (before !== undefined) return before;
    const answer = ask(topic, bytes.subarray(start, end));
    known.set(topic, answer);
    return answer;
  };
}

/** aedes' own limit. */
const levelsMax = 100;

type OnlyStored = ReturnType<typeof createOnlyStored>;

const [dupBit, retainBit, qosBits, qosOne] = [0x08, 0x01, 0x06, 0x02];
const puback = 0x40;

function clientLane(
  client: InternalClient,
  onChange: () => void,
  isOnlyStored: OnlyStored,
  { store, inOrder, admission }: PublishLaneOptions,
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
      if (payload > end) return false; // aedes says what is wrong
      const topic = store.topicAt(bytes, topicStart, topicEnd);
      if (
        !isOnlyStored(topic, bytes, topicStart, topicEnd) ||
        !admission.isAllowedToPublish(client, topic.name)
      )
        return false;
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
