import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../../../lake/base/clock.ts';
import { messageOf } from '../../../lake/base/errors.ts';
import type { Logger } from '../../../lake/base/log.ts';
import { incomingPart } from './incoming-part.ts';
import { outgoingPart, type QueueLimits } from './outgoing-part.ts';
import type { KeptPacket } from './packet-record.ts';
import { type RecordPart, type RecordSink, readKey } from './record-key.ts';
import type { StoredRecord } from './record-messages.ts';
import { createRecordStore, loadRecords, type RecordStore, type StartRecordPort } from './record-store.ts';
import type { RetainedLimits } from './retained-messages.ts';
import { retainedPart } from './retained-part.ts';
import { sessionsPart } from './sessions-part.ts';
import { type SubscriptionLimits, subscriptionsPart } from './subscriptions-part.ts';
import { willsPart } from './wills-part.ts';

export interface PersistenceLimits extends RetainedLimits, QueueLimits, SubscriptionLimits {
  /** Longest life of a persistent session whose client is away. */
  readonly sessionSecondsMax: number;
}

export interface PersistenceOptions {
  /** broker.db; undefined: in memory only, nothing survives. */
  readonly path: string | undefined;
  readonly damagedFolder: string;
  readonly limits: PersistenceLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called for each message that a limit kept from being retained or queued. */
  readonly onDrop: () => void;
  /** Where broker.db is written; default: in a thread of its own. */
  readonly startPort?: StartRecordPort;
}

export type BrokerPersistence = ReturnType<typeof openBrokerPersistence>;

const noSink: RecordSink = { set: () => undefined, durable: () => Promise.resolve() };
const expiryIntervalMs = 30_000;

/**
 * aedes' persistence, in memory and in broker.db: retained messages, subscriptions and queues of persistent sessions,
 * QoS 2 state, wills. Methods resolve when what they did is on the disk, where somebody is promised something by it.
 */
export function openBrokerPersistence(options: PersistenceOptions) {
  const { limits, clock, onDrop } = options;
  let broker: { readonly id: string } = { id: '' };
  let store: RecordStore | undefined;
  const sink: RecordSink =
    options.path === undefined
      ? noSink
      : { set: (key, record) => store?.set(key, record), durable: async () => store?.durable() };
  const retained = retainedPart(sink, limits, onDrop);
  const subscriptions = subscriptionsPart(sink, limits, onDrop);
  const outgoing = outgoingPart(sink, limits, onDrop);
  const incoming = incomingPart(sink);
  const wills = willsPart(sink, () => broker.id);
  const sessions = sessionsPart(sink, clock, limits.sessionSecondsMax);
  const parts: Readonly<Record<string, RecordPart>> = {
    ...{ retained: retained.part, subscription: subscriptions.part, queued: outgoing.part },
    ...{ incoming: incoming.part, will: wills.part, session: sessions.part },
  };
  if (options.path !== undefined)
    store = openStore({ ...options, path: options.path }, parts, sessions.adopt);

  const endSession = (clientId: string): void => {
    subscriptions.removeAll(clientId);
    outgoing.drop(clientId);
    incoming.removeAll(clientId);
    sessions.forget(clientId);
  };
  let ended = 0;
  const expireSessions = (): string[] => {
    const expired = sessions.expired();
    for (const clientId of expired) endSession(clientId);
    ended += expired.length;
    return expired;
  };
  const timer = setInterval(expireSessions, expiryIntervalMs);
  timer.unref();

  return {
    ...{ ...retained.methods, ...subscriptions.methods, ...outgoing.methods },
    ...{ ...incoming.methods, ...wills.methods },
    /** aedes wants it to be an async function. */
    setup: async (owner: { readonly id: string }): Promise<void> => {
      broker = owner;
    },
    /**
     * Puts a publish where its retained message and its subscribers' queues need it, before it is acknowledged: aedes does
     * so after that. Undefined when there is nothing to wait for.
     */
    keepEarly: (packet: KeptPacket): Promise<void> | undefined => {
      if (options.path === undefined) return undefined;
      const subscribers = subscriptions.match(packet.topic);
      if (!packet.retain && subscribers.length === 0) return undefined;
      const kept = withExpiry(packet);
      if (packet.retain) retained.keepEarly(kept);
      if (subscribers.length > 0) outgoing.keepEarly(subscribers, kept);
      return store?.durable();
    },
    interest: subscriptions.interest,
    isRetained: retained.isCurrent,
    sessionConnected: sessions.connected,
    sessionAway: sessions.away,
    endSession,
    /** Happens by itself, every 30 s. */
    expireSessions,
    incomingCount: incoming.count,
    counts: () => ({
      ...{ ...retained.counts(), ...subscriptions.counts(), ...outgoing.counts() },
      ...{ sessionsExpired: ended, failing: store?.failing ?? false },
    }),
    destroy: async (): Promise<void> => {
      clearInterval(timer);
      await store?.[Symbol.asyncDispose]();
    },
  };
}

/** As aedes does, later. */
function withExpiry(packet: KeptPacket): KeptPacket {
  const seconds = packet.properties?.messageExpiryInterval ?? 0;
  return seconds > 0 ? { ...packet, messageExpiry: Date.now() + seconds * 1000 } : packet;
}

function openStore(
  { path, damagedFolder, clock, logger, startPort }: PersistenceOptions & { readonly path: string },
  parts: Readonly<Record<string, RecordPart>>,
  adopt: (clientId: string) => void,
): RecordStore {
  mkdirSync(dirname(path), { recursive: true });
  const unreadable: string[] = [];
  const owners = new Set<string>();
  for (const record of loadRecords({ path, damagedFolder }, logger)) {
    try {
      loadRecord(parts, record, owners);
    } catch (error) {
      unreadable.push(record.key);
      logger.warn('a record of MQTT sessions makes no sense and is left out', { error: messageOf(error) });
    }
  }
  for (const clientId of owners) adopt(clientId);
  const snapshot = (): StoredRecord[] => Object.values(parts).flatMap((part) => [...part.records()]);
  const store = createRecordStore({
    ...{ path, damagedFolder, clock, logger, snapshot },
    ...(startPort && { startPort }),
  });
  for (const key of unreadable) store.set(key, undefined);
  return store;
}

function loadRecord(
  parts: Readonly<Record<string, RecordPart>>,
  record: StoredRecord,
  owners: Set<string>,
): void {
  const ids = readKey(record.key);
  const [kind = '', clientId = ''] = ids;
  const part = Object.hasOwn(parts, kind) ? parts[kind] : undefined;
  if (part === undefined) throw new Error(`${record.key} is of no known kind`);
  part.load(ids, record);
  if (kind === 'subscription' || kind === 'queued' || kind === 'incoming') owners.add(clientId);
}
