import type { Aedes } from 'aedes';

/** The methods of aedes' persistence (in memory) that keep messages; missing in its types. */
interface MessagePersistence {
  storeRetained(packet: KeptPacket): Promise<unknown>;
  outgoingEnqueueCombi(subscriptions: readonly { clientId: string }[], packet: KeptPacket): Promise<unknown>;
  /** Resolves to the packet that was acknowledged, if there was one. */
  outgoingClearMessageId(client: { id: string }, packet: KeptPacket): Promise<unknown>;
}

interface KeptPacket {
  readonly topic: string;
  readonly payload: { readonly length: number };
}

export interface PersistenceLimits {
  /** Topics with a retained message; one more is delivered and stored, but not retained. */
  readonly retainedTopicsMax: number;
  /** Messages that wait for a subscriber with a persistent session; newer ones are not kept for it. */
  readonly waitingMessagesMax: number;
}

/** Puts limits on what a listening broker keeps in memory for its subscribers. The log is not concerned. */
export function boundPersistence(aedes: Aedes, limits: PersistenceLimits, onDrop: () => void): void {
  const { persistence } = aedes as unknown as { persistence: MessagePersistence };
  const storeRetained = persistence.storeRetained.bind(persistence);
  const enqueue = persistence.outgoingEnqueueCombi.bind(persistence);
  const clear = persistence.outgoingClearMessageId.bind(persistence);
  const retained = new Set<string>();
  const waiting = new Map<string, number>();

  persistence.storeRetained = async (packet) => {
    const { topic, payload } = packet;
    if (payload.length === 0) retained.delete(topic);
    else if (retained.has(topic) || retained.size < limits.retainedTopicsMax) retained.add(topic);
    else return onDrop();
    return storeRetained(packet);
  };

  persistence.outgoingEnqueueCombi = (subscriptions, packet) => {
    const accepted = subscriptions.filter(({ clientId }) => {
      const count = waiting.get(clientId) ?? 0;
      if (count < limits.waitingMessagesMax) waiting.set(clientId, count + 1);
      else onDrop();
      return count < limits.waitingMessagesMax;
    });
    return enqueue(accepted, packet);
  };

  persistence.outgoingClearMessageId = async (client, packet) => {
    const cleared = await clear(client, packet);
    const count = waiting.get(client.id) ?? 0;
    if (cleared && count > 1) waiting.set(client.id, count - 1);
    else if (cleared) waiting.delete(client.id);
    return cleared;
  };
}
