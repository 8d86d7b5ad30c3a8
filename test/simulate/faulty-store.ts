import { readFileSync } from 'node:fs';
import { FirnError } from '../../lake/base/errors.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { MemoryStore } from '../contract/memory-store.ts';
import { type Life, network, type World } from './world.ts';

/** What a process' way to the store is like at the moment. */
export interface Weather {
  /** Nothing arrives. */
  outage: boolean;
  /** How many requests, of those that could, go wrong in some way. */
  faultShare: number;
}

interface StoreOptions {
  readonly world: World;
  readonly life: Life;
  readonly memory: MemoryStore;
  readonly weather: Weather;
  /** Told of every fault: a test that tries nothing proves nothing. */
  readonly count: (fault: string) => void;
}

/**
 * One process' view of a store in memory. Requests wait for their turn; then they may be lost, or their answer may be,
 * they may arrive twice, or after the client has given up, or the server may be out of order.
 */
export function faultyStore(options: StoreOptions): ObjectStore {
  const { world, life, memory } = options;
  const send = <T>(method: string, key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> =>
    untilAborted(
      world.request(life, `${method} ${key}`, true, () => fate(options, method, key, work)),
      signal,
    );
  const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
    const all: T[] = [];
    for await (const item of items) all.push(item);
    return all;
  };
  return {
    description: 'simulated store',
    put: (key, body, { signal } = {}) => send('put', key, () => memory.put(key, body), signal),
    putIfAbsent: (key, body, { signal } = {}) =>
      send('putIfAbsent', key, () => memory.putIfAbsent(key, body), signal),
    putIfMatch: (key, body, etag, { signal } = {}) =>
      send('putIfMatch', key, () => memory.putIfMatch(key, body, etag), signal),
    putFile: async (key, path, { signal } = {}) => {
      const body = readFileSync(path);
      return send('putFile', key, () => memory.put(key, body), signal);
    },
    get: (key, { signal } = {}) => send('get', key, () => memory.get(key), signal),
    getRange: (key, startByte, endByte, { signal } = {}) =>
      send('getRange', key, () => memory.getRange(key, startByte, endByte), signal),
    getFile: (key, path) => send('getFile', key, () => memory.getFile(key, path)),
    head: (key, { signal } = {}) => send('head', key, () => memory.head(key), signal),
    list: async function* (prefix, listing) {
      yield* await send('list', prefix, () => collect(memory.list(prefix, listing)));
    },
    listFolders: async function* (prefix) {
      yield* await send('listFolders', prefix, () => collect(memory.listFolders(prefix)));
    },
    delete: (key) => send('delete', key, () => memory.delete(key)),
    localPath: () => undefined,
    close: () => undefined,
  };
}

const faults = ['lost', 'lost-reply', 'twice', 'late', 'refused'] as const;

/** Decides what becomes of a request when its turn has come. */
async function fate<T>(
  { world, weather, count, life }: StoreOptions,
  method: string,
  key: string,
  work: () => Promise<T>,
): Promise<T> {
  const writes = method.startsWith('put') || method === 'delete';
  if (weather.outage) {
    count('outage');
    throw unavailable(method, key, false);
  }
  if (!world.chance(weather.faultShare)) return work();
  const fault = world.pick(faults) ?? 'lost';
  count(fault);
  switch (fault) {
    case 'lost':
      throw unavailable(method, key, false);
    case 'refused':
      throw unavailable(method, key, true);
    case 'lost-reply':
      if (writes) await work().catch(() => undefined);
      throw unavailable(method, key, false);
    case 'twice':
      // As when a client's library tries again by itself: the caller gets the second answer.
      if (writes) await work();
      return work();
    case 'late':
      // It arrives after whatever else comes meanwhile, also after the end of whoever sent it.
      if (writes) sendLate(world, `${life.name} ${method} ${key}`, work);
      throw unavailable(method, key, false);
  }
}

/** Lets a request arrive at some time, although nobody waits for its answer. */
function sendLate(world: World, label: string, work: () => Promise<unknown>): void {
  void world.request(network, label, true, () => work().catch(() => undefined));
}

function untilAborted<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return answer;
  // What was sent is on its way, and may still arrive.
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    answer.then(resolve, reject);
  });
}

function unavailable(method: string, key: string, answered: boolean): FirnError {
  const message = `${method} ${key} failed${answered ? ' with 503' : ''}`;
  return new FirnError({ code: 'unavailable', operation: method, subject: key, message, answered });
}
