import type { Aedes, Client } from 'aedes';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { AcknowledgementOrder } from './acknowledgement-order.ts';
import type { BrokerPersistence } from './persistence/broker-persistence.ts';
import type { KeptPacket } from './persistence/packet-record.ts';
import type { PublishStore } from './publish-store.ts';

type AuthorizePublish = Aedes['authorizePublish'];
type PublishPacket = Parameters<AuthorizePublish>[1];
type Done = Parameters<AuthorizePublish>[2];

interface AcknowledgeOptions {
  readonly aedes: Aedes;
  readonly store: PublishStore;
  readonly persistence: BrokerPersistence;
  readonly inOrder: AcknowledgementOrder;
  /** QoS 2 messages of one client between their PUBLISH and their PUBREL. */
  readonly inFlightMessagesMax: number;
}

const serverBusy = 0x89;
const receiveMaximumExceeded = 0x93;

/**
 * aedes acknowledges a publish after this has called `done`, so it is called when the message is on disk: in the log, and
 * where it is retained or waits for subscribers, in broker.db too. aedes calls it for wills as well, with the client that
 * is gone, or with none.
 */
export function storeThenAcknowledge(options: AcknowledgeOptions): AuthorizePublish {
  const { aedes, store, persistence, inOrder, inFlightMessagesMax } = options;
  const keepAndGoOn = (client: Client | null, packet: PublishPacket, done: Done): void => {
    const keeping = persistence.keepEarly(packet as KeptPacket);
    inOrder(keeping, () => {
      // aedes does not publish for a client that is gone; but what is stored is to be delivered.
      if (client?.closed && keeping && 'messageId' in packet) aedes.publish(packet, () => undefined);
      done();
    });
  };
  const storeOnce = createStoreOnce(persistence, (client, packet, finish) => {
    if (persistence.incomingCount(client.id) >= inFlightMessagesMax) finish(tooManyInFlight());
    else store.store(packet.topic, bytesOf(packet.payload), finish);
  });
  return (client, packet, done) => {
    const { topic, qos, payload } = packet;
    const messageId = 'messageId' in packet ? packet.messageId : undefined;
    if (qos === 0) {
      store.storeUnacknowledged(topic, bytesOf(payload));
      done();
    } else if (qos === 2 && client !== null && typeof messageId === 'number')
      storeOnce(client, packet, messageId, (error) => (error ? refuse(client, error, done) : done()));
    else
      store.store(topic, bytesOf(payload), (error) =>
        error ? refuse(client, error, done) : keepAndGoOn(client, packet, done),
      );
  };
}

/**
 * The message is not acknowledged and the connection closed, so that it is sent again. By an error aedes closes those of
 * MQTT 3.1.1, but answers MQTT 5 clients that the message is refused for good.
 */
export function refuse(client: Client | null, error: Error, done: Done): void {
  if (client?.version === 5 && client.disconnectReasonCode !== null) return; // it has been told
  if (client?.version === 5)
    client.disconnect({ reasonCode: hasCode(error, 'limit') ? receiveMaximumExceeded : serverBusy });
  else done(error);
}

const tooManyInFlight = (): FirnError =>
  new FirnError({
    ...{ code: 'limit', operation: 'publish', subject: 'inFlightMessagesMax' },
    message: 'too many QoS 2 messages wait for their PUBREL',
  });

/** Stores a QoS 2 publish unless it is a repetition of one that is stored or about to be [MQTT-4.3.3-2]. */
function createStoreOnce(
  persistence: BrokerPersistence,
  store: (client: Client, packet: PublishPacket, finish: (error?: Error) => void) => void,
) {
  /**
   * Publishes on their way to the disk, by session and packet id, each with the repetitions that wait for it. A clean
   * session ends with its connection: the same id from another one is another message.
   */
  const sessions = new Map<Client | string, Map<number, ((error?: Error) => void)[]>>();

  return async (
    client: Client,
    packet: PublishPacket,
    messageId: number,
    done: (error?: Error) => void,
  ): Promise<void> => {
    const session = client.clean ? client : client.id;
    const pending = sessions.get(session) ?? new Map<number, ((error?: Error) => void)[]>();
    sessions.set(session, pending);
    const waiting = pending.get(messageId);
    if (waiting !== undefined) {
      waiting.push(done);
      return;
    }
    const repetitions: ((error?: Error) => void)[] = [];
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
    const known = await persistence.incomingGetPacket(client, { messageId }).then(
      () => true,
      () => false,
    );
    if (known) finish();
    else store(client, packet, finish);
  };
}

const bytesOf = (payload: string | Buffer): Uint8Array =>
  typeof payload === 'string' ? Buffer.from(payload) : payload;
