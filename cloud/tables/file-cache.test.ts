import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FirnError } from '../../lake/base/errors.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { countedStore } from '../../test/contract/lake-fixtures.ts';
import { type MemoryStore, memoryStore, watchedStore } from '../../test/contract/memory-store.ts';
import { type CachedObject, openFileCache } from './file-cache.ts';

let directory: string;
let memory: MemoryStore;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'firn-cache-'));
  memory = memoryStore();
  for (const key of ['a', 'b', 'c', 'd']) await memory.put(`t/${key}`, Buffer.alloc(100, key));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (store: ObjectStore, cacheBytesMax = 1_000) =>
  openFileCache({ store, directory, cacheBytesMax });
const objects = (...names: string[]): CachedObject[] =>
  names.map((name) => ({ key: `t/${name}`, bytes: 100 }));
const letters = (paths: readonly string[]): string =>
  paths.map((path) => readFileSync(path, 'utf8')[0]).join('');

test('many who want an object share one fetch, in order, and later ones need none', async () => {
  const { store, take } = countedStore(memory);
  const cache = await open(store);
  const leases = await Promise.all(Array.from({ length: 10 }, () => cache.acquire(objects('b', 'a', 'b'))));
  expect(leases.map(({ paths }) => letters(paths))).toEqual(Array(10).fill('bab'));
  expect(take().sort()).toEqual(['getFile t/a', 'getFile t/b']);
  expect(cache.bytes).toBe(200);
});

test('the least recently used go first, and what is in use stays', async () => {
  const { store, take } = countedStore(memory);
  const cache = await open(store, 300);
  const pinned = await cache.acquire(objects('a'));
  (await cache.acquire(objects('b')))[Symbol.dispose]();
  (await cache.acquire(objects('c')))[Symbol.dispose]();
  (await cache.acquire(objects('b')))[Symbol.dispose]();
  take();
  (await cache.acquire(objects('d')))[Symbol.dispose]();
  expect(readdirSync(directory)).toHaveLength(3);
  expect(letters(pinned.paths)).toBe('a');
  (await cache.acquire(objects('a', 'b', 'd')))[Symbol.dispose]();
  expect(take()).toEqual(['getFile t/d']);
});

test('a limit that is met names itself, and gives back what was taken', async () => {
  const cache = await open(memory, 250);
  const limit = { code: 'limit', subject: 'cacheBytesMax' };
  await expect(cache.acquire(objects('a', 'b', 'c'))).rejects.toMatchObject(limit);
  const pinned = await cache.acquire(objects('a', 'b'));
  await expect(cache.acquire(objects('c'))).rejects.toMatchObject(limit);
  pinned[Symbol.dispose]();
  expect(letters((await cache.acquire(objects('c', 'd'))).paths)).toBe('cd');
});

test('files survive a restart, unfinished ones do not, and it respects a smaller limit', async () => {
  (await (await open(memory)).acquire(objects('a', 'b', 'c')))[Symbol.dispose]();
  writeFileSync(join(directory, 'x.part'), 'half');
  writeFileSync(join(directory, 'not-ours.txt'), 'stays');
  const { store, take } = countedStore(memory);
  const cache = await open(store);
  expect(letters((await cache.acquire(objects('a', 'b', 'c'))).paths)).toBe('abc');
  expect(take()).toEqual([]);
  expect(readdirSync(directory).filter((name) => !/^[0-9a-f]{64}/.test(name))).toEqual(['not-ours.txt']);
  expect((await open(store, 150)).bytes).toBe(100);
});

test('a file that a power failure cut short is fetched again', async () => {
  const [path = ''] = (await (await open(memory)).acquire(objects('a'))).paths;
  truncateSync(path, 10);
  const cache = await open(memory);
  expect(readFileSync((await cache.acquire(objects('a'))).paths[0] ?? '')).toHaveLength(100);
  expect(cache.bytes).toBe(100);
});

test('a fetch that fails is an error for all who waited, and the next one tries again', async () => {
  let down = true;
  const store = watchedStore(memory, async (_method, key) => {
    await setImmediate();
    if (down)
      throw new FirnError({ code: 'unavailable', operation: 'get', subject: key, message: 'no route' });
  });
  const cache = await open(store);
  const results = await Promise.allSettled([cache.acquire(objects('a', 'b')), cache.acquire(objects('a'))]);
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await setImmediate();
  expect(cache.bytes).toBe(0);
  down = false;
  expect(letters((await cache.acquire(objects('a', 'b'))).paths)).toBe('ab');
});

test('an object that is not what the table says is refused', async () => {
  const cache = await open(memory);
  await expect(cache.acquire([{ key: 't/a', bytes: 99 }])).rejects.toMatchObject({
    code: 'corrupt',
    subject: 't/a',
  });
  expect(readdirSync(directory)).toEqual([]);
});

test('who has given up waiting fetches nothing more', async () => {
  const { store, take } = countedStore(memory);
  const cache = await open(store);
  await expect(cache.acquire(objects('a'), AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
  expect(take()).toEqual([]);
  expect(existsSync(directory)).toBe(true);
});

test('a file that the disk has changed since is fetched anew; one that is as it was is not', async () => {
  const { store, take } = countedStore(memory);
  (await (await open(store)).acquire(objects('a', 'b')))[Symbol.dispose]();
  const [damaged = ''] = readdirSync(directory).filter(
    (name) => readFileSync(join(directory, name), 'utf8')[0] === 'a',
  );
  writeFileSync(join(directory, damaged), Buffer.alloc(100, 'x'));
  take();
  const cache = await open(store);
  const leases = await Promise.all([cache.acquire(objects('a', 'b')), cache.acquire(objects('b', 'a'))]);
  expect(leases.map(({ paths }) => letters(paths))).toEqual(['ab', 'ba']);
  expect(take()).toEqual(['getFile t/a']);
  expect(cache.bytes).toBe(200);
  expect(readdirSync(directory)).toHaveLength(2);
});
