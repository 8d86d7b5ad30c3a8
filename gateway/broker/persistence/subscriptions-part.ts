import { Readable } from 'node:stream';
import QlobberSub from 'qlobber/aedes/qlobber-sub.js';
import { z } from 'zod';
import { type RecordPart, type RecordSink, recordKey } from './record-key.ts';

const optionsSchema = z.object({
  qos: z.union([z.literal(0), z.literal(1), z.literal(2)]),
  /** MQTT 5: retain handling, retain as published, no local, identifier. */
  rh: z.number().optional(),
  rap: z.boolean().optional(),
  nl: z.boolean().optional(),
  subscriptionIdentifier: z.number().optional(),
});

type SubscriptionOptions = z.infer<typeof optionsSchema>;
type Subscription = SubscriptionOptions & { readonly topic: string };
interface SessionSubscription {
  readonly clientId: string;
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
}

/** For whom messages wait. */
interface Interest {
  isAwaited(topic: string): boolean;
  /** Another number when it may be answered otherwise. */
  changes(): number;
}

interface ClientId {
  readonly id: string;
}

export interface SubscriptionLimits {
  /** Persistent sessions; what one more subscribes to is forgotten when it disconnects. */
  readonly sessionsMax: number;
}

const none: readonly SessionSubscription[] = [];
const trieOptions = { wildcard_one: '+', wildcard_some: '#', separator: '/', match_empty_levels: true };

/** aedes' methods for the subscriptions of persistent sessions. */
export function subscriptionsPart(sink: RecordSink, limits: SubscriptionLimits, onDrop: () => void) {
  let changes = 0;
  const sessions = new Map<string, Map<string, SubscriptionOptions>>();
  /** Those with QoS 1 and 2: what they match is queued. */
  const trie = new QlobberSub(trieOptions);
  const keyOf = (clientId: string, topic: string): string => recordKey('subscription', clientId, topic);

  const add = (clientId: string, topic: string, options: SubscriptionOptions): void => {
    const stored = sessions.get(clientId) ?? new Map<string, SubscriptionOptions>();
    sessions.set(clientId, stored);
    changes++;
    const before = stored.get(topic);
    if (options.qos > 0) trie.add(topic, { clientId, topic, ...options });
    else if (before !== undefined && before.qos > 0) trie.remove(topic, { clientId, topic });
    stored.set(topic, options);
  };
  const remove = (clientId: string, topic: string): void => {
    const stored = sessions.get(clientId);
    const before = stored?.get(topic);
    if (stored === undefined || before === undefined) return;
    if (before.qos > 0) trie.remove(topic, { clientId, topic });
    changes++;
    stored.delete(topic);
    if (stored.size === 0) sessions.delete(clientId);
    sink.set(keyOf(clientId, topic), undefined);
  };
  const removeAll = (clientId: string): void => {
    for (const topic of [...(sessions.get(clientId)?.keys() ?? [])]) remove(clientId, topic);
  };

  /** Those whose queue gets messages of the topic. */
  const match = (topic: string): readonly SessionSubscription[] =>
    trie.subscriptionsCount === 0 ? none : trie.match(topic);

  const methods = {
    addSubscriptions: async ({ id }: ClientId, subscriptions: readonly Subscription[]): Promise<void> => {
      if (!sessions.has(id) && sessions.size >= limits.sessionsMax) return onDrop();
      for (const { topic, ...subscription } of subscriptions) {
        const options = optionsOf(subscription);
        add(id, topic, options);
        sink.set(keyOf(id, topic), { payload: null, meta: JSON.stringify(options) });
      }
      await sink.durable();
    },
    removeSubscriptions: async ({ id }: ClientId, topics: readonly string[]): Promise<void> => {
      for (const topic of topics) remove(id, topic);
      await sink.durable();
    },
    subscriptionsByClient: async ({ id }: ClientId): Promise<Subscription[]> =>
      [...(sessions.get(id) ?? [])].map(([topic, options]) => ({ topic, ...options })),
    subscriptionsByTopic: async (topic: string): Promise<readonly SessionSubscription[]> => match(topic),
    cleanSubscriptions: async ({ id }: ClientId): Promise<void> => removeAll(id),
    countOffline: async () => ({ subsCount: trie.subscriptionsCount, clientsCount: sessions.size }),
    getClientList: (topic: string): Readable =>
      Readable.from([...sessions].filter(([, stored]) => stored.has(topic)).map(([clientId]) => clientId)),
  };
  const part: RecordPart = {
    load: ([, clientId = '', topic = ''], { meta }) =>
      add(clientId, topic, optionsSchema.parse(JSON.parse(meta))),
    records: function* () {
      for (const [clientId, stored] of sessions)
        for (const [topic, options] of stored)
          yield { key: keyOf(clientId, topic), payload: null, meta: JSON.stringify(options) };
    },
  };
  const interest: Interest = {
    isAwaited: (topic: string): boolean => match(topic).length > 0,
    changes: () => changes,
  };
  return { methods, match, interest, removeAll, part, counts: () => ({ sessions: sessions.size }) };
}

const optionsOf = ({
  qos,
  rh,
  rap,
  nl,
  subscriptionIdentifier,
}: SubscriptionOptions): SubscriptionOptions => ({
  ...{ qos, rh, rap, nl },
  ...(subscriptionIdentifier !== undefined && { subscriptionIdentifier }),
});
