import type { Aedes, Client } from 'aedes';
import type { PublishStore } from './publish-store.ts';

/** What aedes keeps of QoS 2 publishes until their PUBREL; part of its persistence, missing in its types. */
interface IncomingPackets {
  /** Rejects when there is none. */
  incomingGetPacket(client: Client, packet: { readonly messageId: number }): Promise<unknown>;
}

type AuthorizePublish = Aedes['authorizePublish'];
type PublishPacket = Parameters<AuthorizePublish>[1];
type Done = Parameters<AuthorizePublish>[2];

/**
 * aedes acknowledges a publish after this has called `done`, so it is called when the message is on disk. aedes calls
 * it for wills too, with the client that is gone, or with none.
 */
export function storeThenAcknowledge(aedes: Aedes, store: PublishStore): AuthorizePublish {
  const storeOnce = createStoreOnce(aedes, store);
  return (client, packet, done) => {
    const { topic, qos } = packet;
    const messageId = 'messageId' in packet ? packet.messageId : undefined;
    if (topic.startsWith('$SYS/')) done(new Error('topics below $SYS/ belong to the broker'));
    else if (qos === 0) {
      store.storeUnacknowledged(topic, bytesOf(packet.payload));
      done();
    } else if (qos === 2 && client !== null && typeof messageId === 'number')
      void storeOnce(client, packet, messageId, done);
    else store.store(topic, bytesOf(packet.payload), done);
  };
}

/** Stores a QoS 2 publish unless it is a repetition of one that is stored or about to be [MQTT-4.3.3-2]. */
function createStoreOnce(aedes: Aedes, store: PublishStore) {
  /**
   * Publishes on their way to the disk, by session and packet id, each with the repetitions that wait for it. A clean
   * session ends with its connection: the same id from another one is another message.
   */
  const sessions = new Map<Client | string, Map<number, Done[]>>();

  return async (client: Client, packet: PublishPacket, messageId: number, done: Done): Promise<void> => {
    const session = client.clean ? client : client.id;
    const pending = sessions.get(session) ?? new Map<number, Done[]>();
    sessions.set(session, pending);
    const waiting = pending.get(messageId);
    if (waiting !== undefined) {
      waiting.push(done);
      return;
    }
    const repetitions: Done[] = [];
    pending.set(messageId, repetitions);
    const finish = (error?: Error): void => {
      done(error);
      // Only after aedes has noted the packet, which it does before the next turn.
      setImmediate(() => {
        pending.delete(messageId);
        if (pending.size === 0) sessions.delete(session);
        for (const repetition of repetitions) repetition(error);
      });
    };
    const { persistence } = aedes as unknown as { persistence: IncomingPackets };
    const known = await persistence.incomingGetPacket(client, { messageId }).then(
      () => true,
      () => false,
    );
    if (known) finish();
    else store.store(packet.topic, bytesOf(packet.payload), finish);
  };
}

const bytesOf = (payload: string | Buffer): Uint8Array =>
  typeof payload === 'string' ? Buffer.from(payload) : payload;
