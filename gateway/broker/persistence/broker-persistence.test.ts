import assert from 'node:assert';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import abstractPersistence from 'aedes-persistence/abstract.js';
import Database from 'better-sqlite3';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../../lake/base/clock.ts';
import { createLogger } from '../../../lake/base/log.ts';
import {
  type BrokerPersistence,
  openBrokerPersistence,
  type PersistenceLimits,
} from './broker-persistence.ts';
import type { KeptPacket } from './packet-record.ts';
import { createRecordOwner } from './record-database.ts';
import type { StartRecordPort } from './record-store.ts';

const limits: PersistenceLimits = {
  retainedTopicsMax: 1000,
  retainedBytesMax: 1_000_000,
  waitingMessagesMax: 1000,
  waitingBytesMax: 1_000_000,
  sessionsMax: 1000,
  sessionSecondsMax: 3600,
};
const folder = mkdtempSync(join(tmpdir(), 'firn-broker-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const nextPath = (): string => join(folder, `${++files}`, 'broker.db');
const damagedFolder = join(folder, 'damaged');
const opened: BrokerPersistence[] = [];
afterEach(async () => {
  for (const persistence of opened.splice(0)) await persistence.destroy();
});

/** Without a thread, which takes long to start. */
const inThreadPort: StartRecordPort = (options) => {
  const answer = createRecordOwner(options);
  return {
    request: async (message) => answer(message),
    close: async () => void answer({ kind: 'close' }),
  };
};

interface Said {
  dropped: number;
  readonly lines: string[];
}

function open(
  path: string | undefined,
  given: { limits?: Partial<PersistenceLimits>; clock?: Clock; said?: Said; inThread?: boolean } = {},
): BrokerPersistence {
  const { said = { dropped: 0, lines: [] } } = given;
  const persistence = openBrokerPersistence({
    ...{ path, damagedFolder, limits: { ...limits, ...given.limits }, clock: given.clock ?? systemClock },
    logger: createLogger('info', (line) => said.lines.push(line)),
    onDrop: () => said.dropped++,
    ...(given.inThread && { startPort: inThreadPort }),
  });
  opened.push(persistence);
  return persistence;
}

/** What aedes' own tests ask of node:test. Without the one of 1000 messages that looks at nothing that is stored. */
const contractTest = (name: string, run: (t: unknown) => Promise<void>): void =>
  test.skipIf(name === 'store multiple retained messages in order')(name, () =>
    run({ assert, plan: () => undefined, diagnostic: () => undefined }),
  );

interface Broker {
  readonly id: string;
}

/** Is closed and opened again after each call: everything has to come from the disk. */
function reopened(path: string): unknown {
  let broker: Broker = { id: '' };
  let persistence = open(path, { inThread: true });
  const again = async (): Promise<void> => {
    await persistence.destroy();
    opened.splice(opened.indexOf(persistence), 1);
    persistence = open(path, { inThread: true });
    await persistence.setup(broker);
  };
  const streams = [
    'createRetainedStream',
    'createRetainedStreamCombi',
    'outgoingStream',
    'streamWill',
    'getClientList',
  ];
  return new Proxy(persistence, {
    get: (_, name: keyof BrokerPersistence | 'broker' | 'then') => {
      if (name === 'then') return undefined; // it is no promise
      if (name === 'broker') return broker;
      if (name === 'setup')
        return async (owner: Broker) => {
          broker = owner;
          await persistence.setup(owner);
        };
      if (name === 'destroy') return () => persistence.destroy();
      const call = (on: BrokerPersistence, args: unknown[]): unknown =>
        (on[name] as (...args: unknown[]) => unknown)(...args);
      // A stream is made at once; what it gives was on the disk before.
      if (streams.includes(name)) return (...args: unknown[]) => call(persistence, args);
      return async (...args: unknown[]) => {
        const result = await call(persistence, args);
        await again();
        return result;
      };
    },
  });
}

function withBroker(persistence: BrokerPersistence): unknown {
  let broker: Broker = { id: '' };
  const { setup } = persistence;
  return Object.defineProperties(persistence, {
    broker: { get: () => broker },
    setup: {
      value: async (owner: Broker) => {
        broker = owner;
        await setup(owner);
      },
    },
  });
}

describe("aedes' contract", () => {
  const contract = (persistence: () => unknown): void =>
    abstractPersistence({ test: contractTest, persistence, testAsync: true });
  describe('in memory', () => contract(() => withBroker(open(undefined))));
  describe('opened again after each call', () => contract(() => reopened(nextPath())));
});

const publish = (topic: string, payload: string, more: Partial<KeptPacket> = {}): KeptPacket => ({
  ...{ cmd: 'publish', topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false },
  ...more,
});
const texts = async (stream: AsyncIterable<KeptPacket>): Promise<string[]> => {
  const found: string[] = [];
  for await (const { topic, payload } of stream) found.push(`${topic} ${payload}`);
  return found;
};
const subscriber = { id: 'away' };

test('what was kept early is on disk before it is acknowledged, is delivered once, and survives', async () => {
  const path = nextPath();
  const first = open(path);
  await first.addSubscriptions(subscriber, [{ topic: 'a/#', qos: 1 }]);
  expect(first.keepEarly(publish('b/1', 'nobody waits'))).toBe(undefined);
  const packet = publish('a/1', 'x', { retain: true });
  await first.keepEarly(packet);
  // A second reader sees only what is committed.
  const db = new Database(path, { readonly: true });
  const keys = db.prepare<[], { key: string }>('SELECT key FROM record').all();
  db.close();
  expect(keys.map(({ key }) => JSON.parse(key)[0]).sort()).toEqual(['queued', 'retained', 'subscription']);
  expect(await texts(first.outgoingStream(subscriber))).toEqual([]); // not yet published
  const numbered = { ...packet, brokerId: 'b', brokerCounter: 7 };
  await first.storeRetained(numbered);
  await first.outgoingEnqueueCombi(await first.subscriptionsByTopic('a/1'), numbered);
  expect(await texts(first.outgoingStream(subscriber))).toEqual(['a/1 x']);
  await first.destroy();
  const second = open(path);
  expect(await texts(second.createRetainedStream('#'))).toEqual(['a/1 x']);
  const [waiting] = await second.outgoingStream(subscriber).toArray();
  await second.outgoingUpdate(subscriber, { ...waiting, messageId: 5 });
  await second.outgoingClearMessageId(subscriber, publish('', '', { messageId: 5 }));
  expect(second.counts()).toMatchObject({ waiting: 0, waitingBytes: 0, retained: 1, sessions: 1 });
});

test('limits: what does not fit is counted, what was there stays', async () => {
  const said: Said = { dropped: 0, lines: [] };
  const tight = { retainedTopicsMax: 2, retainedBytesMax: 1500, waitingMessagesMax: 2, sessionsMax: 1 };
  const persistence = open(undefined, { limits: tight, said });
  for (const n of [1, 2, 3]) await persistence.storeRetained(publish(`t/${n}`, `${n}`));
  expect(said.dropped).toBe(1);
  await persistence.storeRetained(publish('t/1', 'x'.repeat(2000)));
  expect(said.dropped).toBe(2);
  await persistence.storeRetained(publish('$SYS/broker/uptime', '1'));
  expect(await texts(persistence.createRetainedStream('#'))).toEqual(['t/1 1', 't/2 2']);
  await persistence.addSubscriptions({ id: 'a' }, [{ topic: 'q', qos: 1 }]);
  await persistence.addSubscriptions({ id: 'b' }, [{ topic: 'q', qos: 1 }]);
  expect(said.dropped).toBe(3);
  for (const n of [1, 2, 3])
    await persistence.outgoingEnqueueCombi(await persistence.subscriptionsByTopic('q'), publish('q', `${n}`));
  expect(await texts(persistence.outgoingStream({ id: 'a' }))).toEqual(['q 1', 'q 2']);
  expect(said.dropped).toBe(4);
});

test('sessions end by the monotonic clock, also those of an earlier run', async () => {
  const path = nextPath();
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  const first = open(path, { clock });
  await first.addSubscriptions({ id: 'short' }, [{ topic: 'a', qos: 1 }]);
  await first.addSubscriptions({ id: 'long' }, [{ topic: 'a', qos: 1 }]);
  first.sessionAway('short', 10);
  first.sessionAway('long', 1e9);
  await first.destroy();
  const second = open(path, { clock });
  nowMs = 11_000;
  expect(second.expireSessions()).toEqual(['short']);
  expect(await second.subscriptionsByClient({ id: 'short' })).toEqual([]);
  second.sessionConnected('long', 1e9);
  nowMs += 2 * 3600 * 1000;
  expect(second.expireSessions()).toEqual([]);
  second.sessionAway('long', 1e9);
  nowMs += 3601 * 1000;
  expect(second.expireSessions()).toEqual(['long']);
  await second.destroy();
  expect(open(path).counts()).toMatchObject({ sessions: 0 });
});

test.each(['no database at all', ''])(
  'a file that is %j is put aside, and the broker starts',
  async (content) => {
    const path = nextPath();
    const first = open(path);
    await first.storeRetained(publish('a', '1'));
    await first.destroy();
    writeFileSync(path, content);
    const said: Said = { dropped: 0, lines: [] };
    const second = open(path, { said });
    await second.storeRetained(publish('b', '2'));
    await second.destroy();
    if (content !== '') expect(said.lines.join()).toContain('cannot be read');
    if (content !== '') expect(readdirSync(damagedFolder)).toHaveLength(1);
    expect(await texts(open(path).createRetainedStream('#'))).toEqual(['b 2']);
  },
);

test('a database that turns out to be damaged while in use is written anew from memory', async () => {
  const path = nextPath();
  const said: Said = { dropped: 0, lines: [] };
  const before = open(path);
  for (let n = 0; n < 200; n++) await before.storeRetained(publish(`a/${n}`, 'x'.repeat(500)));
  await before.destroy();
  const first = open(path, { said });
  writeFileSync(path, Buffer.alloc(200_000, 7));
  await first.storeRetained(publish('a/0', 'new'));
  expect(said.lines.join()).toContain('cannot be written');
  expect(said.lines.join()).toContain('written again');
  expect(first.counts().failing).toBe(false);
  await first.destroy();
  const second = open(path);
  expect(second.counts().retained).toBe(200);
  expect(await texts(second.createRetainedStream('a/0'))).toEqual(['a/0 new']);
});
