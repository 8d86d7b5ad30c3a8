import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ErrorCode, FirnError } from '../../lake/base/errors.ts';
import { keyBytesMax, keySegmentBytesMax } from '../../lake/object-store/key.ts';
import type { ListOptions, ObjectStore, Pace } from '../../lake/object-store/object-store.ts';

// What every object store does. Each test writes below a prefix of its own, so that one store serves them all.

/** In the order of their UTF-8 bytes, which is neither that of JavaScript's strings nor that of a tree of folders. */
const oddKeys: readonly string[] = [
  ' ',
  "'()!*~",
  'a b',
  'a%2Fb',
  'a+b',
  'a-b',
  'a-c/d',
  'a.b',
  'a/ lead and trail ',
  'a/b',
  'a/b c/d',
  'a/day=2026-11-21/x',
  'a/ü/x',
  'a0',
  'a=b',
  'a&<b>"c"',
  'ä',
  '\u{ff5e}',
  '\u{1f600}/x',
].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
const racers = 20;
const manyKeys = 1100;
const storePrefixBytesMax = 100;
const partBytes = 5 * 1024 * 1024;

const bytes = (text: string): Buffer => Buffer.from(text);

export async function arrayOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | 'done'> {
  try {
    await promise;
    return 'done';
  } catch (error) {
    if (error instanceof FirnError) return error.code;
    throw error;
  }
}

async function keysOf(store: ObjectStore, prefix: string, options?: ListOptions): Promise<string[]> {
  const infos = await arrayOf(store.list(prefix, options));
  return infos.map(({ key }) => key.slice(prefix.length));
}

/** `make` opens an empty store, which puts files in parts of 5 MiB if it does so at all. The suite closes it. */
export function describeObjectStore(name: string, make: () => Promise<ObjectStore>): void {
  describe(name, { timeout: 120_000 }, () => {
    let store: ObjectStore;
    const folder = mkdtempSync(join(tmpdir(), 'firn-store-'));
    beforeAll(async () => {
      store = await make();
    });
    afterAll(() => {
      store.close();
      rmSync(folder, { recursive: true });
    });
    testObjects(() => store);
    testConditions(() => store);
    testListings(() => store);
    testFiles(() => store, folder);
    testPace(() => store, folder);
  });
}

function testObjects(store: () => ObjectStore): void {
  test('what is put is there, until it is replaced or deleted', async () => {
    const first = await store().put('life/x', bytes('one'), { contentType: 'text/plain' });
    expect(first).toMatchObject({ key: 'life/x', sizeBytes: 3 });
    expect(first.etag).not.toMatch(/"|^$/);
    expect(await store().head('life/x')).toEqual(first);
    const { body, ...info } = await store().get('life/x');
    expect([Buffer.from(body).toString(), info]).toEqual(['one', first]);
    const second = await store().put('life/x', bytes('two'));
    expect(second.etag).not.toBe(first.etag);
    expect(await arrayOf(store().list('life/'))).toEqual([second]);
    await store().delete('life/x');
    expect(await codeOf(store().get('life/x'))).toBe('not-found');
    await store().delete('life/x');
    await store().delete('life/never/was');
    expect(await keysOf(store(), 'life/')).toEqual([]);
  });

  test('an object may be empty', async () => {
    const info = await store().put('empty/x', bytes(''));
    expect(info.sizeBytes).toBe(0);
    expect((await store().get('empty/x')).body.byteLength).toBe(0);
    expect(await codeOf(store().getRange('empty/x', 0, 1))).toBe('invalid');
  });

  test('what is not there is not found, also below an object and where a folder is', async () => {
    await store().put('absent/a/b', bytes('x'));
    for (const key of ['absent/z', 'absent/a', 'absent/a/b/c']) {
      expect(await codeOf(store().get(key))).toBe('not-found');
      expect(await codeOf(store().getRange(key, 0, 1))).toBe('not-found');
      expect(await codeOf(store().head(key))).toBe('not-found');
      expect(await codeOf(store().getFile(key, join(tmpdir(), 'firn-never')))).toBe('not-found');
      expect(await codeOf(store().delete(key))).toBe('done');
    }
    expect(await keysOf(store(), 'absent/')).toEqual(['a/b']);
  });

  test('ranges', async () => {
    await store().put('range/x', bytes('0123456789'));
    const table: readonly (readonly [number, number, string])[] = [
      [0, 1, '0'],
      [0, 10, '0123456789'],
      [3, 7, '3456'],
      [9, 10, '9'],
      [8, 1000, '89'],
      [10, 11, 'invalid'],
      [1000, 2000, 'invalid'],
      [3, 3, 'invalid'],
      [4, 3, 'invalid'],
      [-1, 3, 'invalid'],
      [0, 1.5, 'invalid'],
    ];
    for (const [startByte, endByte, expected] of table) {
      const range = store().getRange('range/x', startByte, endByte);
      const got = await range.then(
        (body) => Buffer.from(body).toString(),
        (error: FirnError) => error.code,
      );
      expect([startByte, endByte, got]).toEqual([startByte, endByte, expected]);
    }
  });

  test.each(['', '/a', 'a/', 'a//b', '../a', 'a/../b', 'a/.', 'a\0b', 'a\nb', '\ud800', '.firn-store/x'])(
    'the key %j is refused',
    async (key) => {
      expect(await codeOf((async () => store().put(key, bytes('x')))())).toBe('invalid');
      expect(await codeOf((async () => store().get(key))())).toBe('invalid');
    },
  );

  test('a key may have so many bytes, and so may a segment', async () => {
    const segment = 'ü'.repeat(Math.floor(keySegmentBytesMax / 2));
    await store().put(`long/${segment}`, bytes('x'));
    expect(await keysOf(store(), 'long/')).toEqual([segment]);
    // Below a prefix there is less room.
    const deep = 'deep/'.repeat((keyBytesMax - storePrefixBytesMax) / 5).slice(0, -1);
    expect(await codeOf((async () => store().put(`long/${segment}üü`, bytes('x')))())).toBe('invalid');
    expect(await codeOf((async () => store().head(deep))())).toBe('not-found');
    expect(await codeOf((async () => store().head(`${deep}/${'x'.repeat(2 * storePrefixBytesMax)}`))())).toBe(
      'invalid',
    );
  });

  test('an aborted call rejects with the reason of its signal', async () => {
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await store().put('abort/x', bytes('x'));
    const calls = [
      async () => store().put('abort/y', bytes('y'), { signal }),
      async () => store().putIfAbsent('abort/y', bytes('y'), { signal }),
      async () => store().get('abort/x', { signal }),
      async () => store().head('abort/x', { signal }),
      async () => store().delete('abort/x', { signal }),
      async () => keysOf(store(), 'abort/', { signal }),
      async () => arrayOf(store().listFolders('', { signal })),
    ];
    for (const call of calls) await expect(call()).rejects.toBe(reason);
    expect(await keysOf(store(), 'abort/')).toEqual(['x']);
  });
}

function testConditions(store: () => ObjectStore): void {
  test('put if absent', async () => {
    const info = await store().putIfAbsent('once/x', bytes('first'));
    expect(await codeOf(store().putIfAbsent('once/x', bytes('second')))).toBe('conflict');
    // Also when it would change nothing: the writer has to know that it was not its own doing.
    expect(await codeOf(store().putIfAbsent('once/x', bytes('first')))).toBe('conflict');
    expect(await store().head('once/x')).toEqual(info);
  });

  test('put if match', async () => {
    expect(await codeOf(store().putIfMatch('match/x', bytes('a'), 'none'))).toBe('conflict');
    const first = await store().put('match/x', bytes('a'));
    const second = await store().putIfMatch('match/x', bytes('b'), first.etag);
    expect(await codeOf(store().putIfMatch('match/x', bytes('c'), first.etag))).toBe('conflict');
    expect(await store().head('match/x')).toEqual(second);
    await store().delete('match/x');
    expect(await codeOf(store().putIfMatch('match/x', bytes('d'), second.etag))).toBe('conflict');
    expect(await keysOf(store(), 'match/')).toEqual([]);
  });

  test(`of ${racers} that put if absent, one wins, and its bytes are there`, async () => {
    await race('race/absent', (key, body) => store().putIfAbsent(key, body));
  });

  test(`of ${racers} that put if match, one wins, and its bytes are there`, async () => {
    const { etag } = await store().put('race/match', bytes('before'));
    await race('race/match', (key, body) => store().putIfMatch(key, body, etag));
  });

  async function race(
    key: string,
    write: (key: string, body: Uint8Array) => Promise<unknown>,
  ): Promise<void> {
    const outcomes = await Promise.all(
      Array.from({ length: racers }, (_, index) => codeOf(write(key, bytes(`racer ${index}`)))),
    );
    expect(outcomes.toSorted()).toEqual([...Array(racers - 1).fill('conflict'), 'done']);
    const { body } = await store().get(key);
    expect(Buffer.from(body).toString()).toBe(`racer ${outcomes.indexOf('done')}`);
  }
}

function testListings(store: () => ObjectStore): void {
  test('keys with odd characters are listed in the order of their bytes, after any of them, under any prefix', async () => {
    for (const [index, key] of oddKeys.entries()) await store().put(`odd/${key}`, bytes(String(index)));
    expect(await keysOf(store(), 'odd/')).toEqual(oddKeys);
    for (const [index, key] of oddKeys.entries()) {
      expect(Buffer.from((await store().get(`odd/${key}`)).body).toString()).toBe(String(index));
      expect(await keysOf(store(), 'odd/', { after: `odd/${key}` })).toEqual(oddKeys.slice(index + 1));
    }
    for (const prefix of ['a', 'a/', 'a-', 'a/b', 'a/day=', 'nothing', 'a/b c/'])
      expect(await keysOf(store(), `odd/${prefix}`)).toEqual(
        oddKeys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length)),
      );
    const options = { after: 'odd/a-b', limit: 3 };
    const from = oddKeys.indexOf('a-b') + 1;
    expect(await keysOf(store(), 'odd/', options)).toEqual(oddKeys.slice(from, from + 3));
    // After a key that is not there; before and behind the prefix.
    expect(await keysOf(store(), 'odd/', { after: 'odd/a/b!' })).toEqual(
      oddKeys.filter((key) => Buffer.compare(bytes(key), bytes('a/b!')) > 0),
    );
    expect(await keysOf(store(), 'odd/', { after: 'oda' })).toEqual(oddKeys);
    expect(await keysOf(store(), 'odd/', { after: 'odd/\u{10ffff}' })).toEqual([]);
    expect(await keysOf(store(), 'odd/', { limit: 0 })).toEqual([]);
  });

  test('folders are the next segments, in the order of the keys below them', async () => {
    for (const key of ['g-2/x', 'g-1/d/y', 'g-1/d/z', 'g 3/é/x', 'g-1-b/x', 'file'])
      await store().put(`folders/${key}`, bytes('x'));
    const list = (prefix: string) => arrayOf(store().listFolders(prefix));
    expect(await list('folders/')).toEqual(['g 3', 'g-1-b', 'g-1', 'g-2']);
    expect(await list('folders/g-1/')).toEqual(['d']);
    expect(await list('folders/g-1/d/')).toEqual([]);
    expect(await list('folders/none/')).toEqual([]);
    expect(await list('')).toContain('folders');
    await store().delete('folders/g-2/x');
    expect(await list('folders/')).toEqual(['g 3', 'g-1-b', 'g-1']);
    expect(await codeOf((async () => list('folders'))())).toBe('invalid');
  });

  test(`${manyKeys} keys, more than a page`, async () => {
    const keys = Array.from(
      { length: manyKeys },
      (_, index) => `d${index % 3}/${String(index).padStart(6, '0')}`,
    );
    const lanes = Array.from({ length: 16 }, async (_, lane) => {
      for (let index = lane; index < keys.length; index += 16)
        await store().put(`many/${keys[index]}`, bytes('x'));
    });
    await Promise.all(lanes);
    keys.sort();
    expect(await keysOf(store(), 'many/')).toEqual(keys);
    expect(await keysOf(store(), 'many/', { limit: 1200 })).toEqual(keys.slice(0, 1200));
    expect(await keysOf(store(), 'many/', { after: `many/${keys[1100]}` })).toEqual(keys.slice(1101));
    expect(await arrayOf(store().listFolders('many/'))).toEqual(['d0', 'd1', 'd2']);
  });
}

function testFiles(store: () => ObjectStore, folder: string): void {
  test.each([0, 1, partBytes, partBytes + 1, 3 * partBytes + 12_345])(
    'a file of %d bytes, there and back',
    async (size) => {
      const [from, to] = [join(folder, 'from'), join(folder, 'to')];
      const content = Buffer.alloc(size, `${size} bytes, `);
      writeFileSync(from, content);
      writeFileSync(to, 'what stood here before, longer than an empty file');
      const info = await store().putFile('file/x', from, { contentType: 'application/octet-stream' });
      expect(info).toMatchObject({ key: 'file/x', sizeBytes: size });
      expect(await store().head('file/x')).toEqual(info);
      expect(await store().getFile('file/x', to)).toBe(size);
      expect(readFileSync(to).equals(content)).toBe(true);
      if (size > partBytes)
        expect(await store().getRange('file/x', partBytes - 5, partBytes + 1)).toEqual(
          content.subarray(partBytes - 5, partBytes + 1),
        );
      const local = store().localPath('file/x');
      if (local !== undefined) expect(readFileSync(local).equals(content)).toBe(true);
    },
  );

  test('a local file that is not there is not an object that is not there', async () => {
    await store().put('local/x', bytes('x'));
    expect(await codeOf(store().putFile('local/y', join(folder, 'none')))).toBe('invalid');
    expect(await codeOf(store().getFile('local/x', join(folder, 'none', 'x')))).toBe('invalid');
    expect(await keysOf(store(), 'local/')).toEqual(['x']);
  });

  test('a file whose upload is aborted does not appear', async () => {
    const path = join(folder, 'large');
    writeFileSync(path, Buffer.alloc(4 * partBytes));
    const stop = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => stop.abort(reason), 1);
    await expect(store().putFile('aborted/x', path, { signal: stop.signal })).rejects.toBe(reason);
    expect(await keysOf(store(), 'aborted/')).toEqual([]);
  });
}

function testPace(store: () => ObjectStore, folder: string): void {
  test('every byte of every write is asked for, in order, before it goes out', async () => {
    const path = join(folder, 'paced');
    writeFileSync(path, Buffer.alloc(partBytes + 1));
    const { etag } = await store().put('pace/match', bytes('before'));
    const body = Buffer.alloc(50_000);
    const writes: readonly (readonly [number, (pace: Pace) => Promise<unknown>])[] = [
      [body.byteLength, (pace) => store().put('pace/put', body, { pace })],
      [body.byteLength, (pace) => store().putIfAbsent('pace/absent', body, { pace })],
      [body.byteLength, (pace) => store().putIfMatch('pace/match', body, etag, { pace })],
      [partBytes + 1, (pace) => store().putFile('pace/file', path, { pace })],
    ];
    for (const [expected, write] of writes) {
      let total = 0;
      let whole = 0;
      await write(async (byteCount, _, { sentBytes, totalBytes }) => {
        total += byteCount;
        if (sentBytes === 0) whole += totalBytes;
        expect(sentBytes + byteCount).toBeLessThanOrEqual(totalBytes);
      });
      expect([total, whole]).toEqual([expected, expected]);
    }
  });

  test('a write whose pace fails or is aborted does not happen', async () => {
    const path = join(folder, 'unpaced');
    writeFileSync(path, Buffer.alloc(100));
    const reason = new FirnError({ code: 'limit', operation: 'x', subject: 'x', message: 'x' });
    const pace: Pace = () => Promise.reject(reason);
    await expect(store().put('unpaced/x', bytes('x'), { pace })).rejects.toBe(reason);
    await expect(store().putFile('unpaced/x', path, { pace })).rejects.toBe(reason);
    const stop = new AbortController();
    const asked: Pace = async (_, signal) => {
      stop.abort(reason);
      signal?.throwIfAborted();
    };
    await expect(store().putFile('unpaced/x', path, { pace: asked, signal: stop.signal })).rejects.toBe(
      reason,
    );
    expect(await keysOf(store(), 'unpaced/')).toEqual([]);
  });
}
