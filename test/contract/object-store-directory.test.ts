import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import { leftoverAgeMsMax } from '../../lake/object-store/directory/staging.ts';
import { turnMsMax } from '../../lake/object-store/directory/turns.ts';
import { openObjectStore } from '../../lake/object-store/open.ts';
import { arrayOf, describeObjectStore } from './object-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-directory-'));
afterAll(() => rmSync(folder, { recursive: true }), 60_000);

let root = '';
let count = 0;
beforeEach(() => {
  root = join(folder, `lake-${++count}`);
});

const bytes = (text: string): Buffer => Buffer.from(text);
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'done',
    (error: { code: string }) => error.code,
  );
const keysOf = async (store: ReturnType<typeof directoryStore>) =>
  (await arrayOf(store.list(''))).map(({ key }) => key);

describeObjectStore('directory', async () => directoryStore({ root: join(folder, 'contract', 'lake') }));

test('nothing but objects is listed, and nothing else stays behind', async () => {
  const store = directoryStore({ root });
  const info = await store.put('a/b/c', bytes('x'));
  await store.putIfAbsent('a/d', bytes('x'));
  await store.putIfMatch('a/b/c', bytes('y'), info.etag);
  await codeOf(store.putIfMatch('a/b/c', bytes('y'), info.etag));
  await codeOf(store.putFile('a/e', join(root, 'none')));
  // A writer that was killed.
  mkdirSync(join(root, '.firn-store/staging/left'));
  writeFileSync(join(root, '.firn-store/staging/left/left'), 'half');
  expect(await keysOf(store)).toEqual(['a/b/c', 'a/d']);
  expect(await arrayOf(store.listFolders(''))).toEqual(['a']);
  for (const key of ['a/b/c', 'a/d']) await store.delete(key);
  expect(readdirSync(root)).toEqual(['.firn-store']);
  expect(readdirSync(join(root, '.firn-store/staging'))).toEqual(['left']);
});

test('leftovers of killed writers are removed after a day', async () => {
  const old = join(root, '.firn-store/staging/old');
  const young = join(root, '.firn-store/staging/young');
  for (const path of [old, young]) mkdirSync(path, { recursive: true });
  const thenSeconds = (Date.now() - leftoverAgeMsMax - 1000) / 1000;
  utimesSync(old, thenSeconds, thenSeconds);
  expect(await keysOf(directoryStore({ root }))).toEqual([]);
  expect(readdirSync(join(root, '.firn-store/staging'))).toEqual(['young']);
});

test('an object and a folder can not have the same name', async () => {
  const store = directoryStore({ root });
  await store.put('a/b', bytes('x'));
  for (const key of ['a', 'a/b/c']) {
    expect(await codeOf(store.put(key, bytes('y')))).toBe('invalid');
    expect(await codeOf(store.putIfAbsent(key, bytes('y')))).toBe('invalid');
  }
  expect(await keysOf(store)).toEqual(['a/b']);
});

test('a root that is lost makes everything unavailable, and is used again when it is back', async () => {
  const store = directoryStore({ root });
  const { etag } = await store.put('a/b', bytes('x'));
  const calls = {
    get: () => store.get('a/b'),
    head: () => store.head('a/b'),
    range: () => store.getRange('a/b', 0, 1),
    list: () => keysOf(store),
    folders: () => arrayOf(store.listFolders('')),
    match: () => store.putIfMatch('a/b', bytes('y'), etag),
    delete: () => store.delete('a/b'),
    put: () => store.put('a/b', bytes('z')),
    absent: () => store.putIfAbsent('a/c', bytes('z')),
  };
  rmSync(root, { recursive: true });
  writeFileSync(root, 'a file');
  for (const [name, call] of Object.entries(calls))
    expect([name, await codeOf(call())]).toEqual([name, 'unavailable']);
  rmSync(root);
  const { put, absent, ...others } = calls;
  for (const [name, call] of Object.entries(others))
    expect([name, await codeOf(call())]).toEqual([name, 'unavailable']);
  // Writes make it anew.
  await put();
  await absent();
  expect(await keysOf(store)).toEqual(['a/b', 'a/c']);
});

test('a root that is lost was not reached', async () => {
  const store = directoryStore({ root });
  await store.put('a', bytes('x'));
  rmSync(root, { recursive: true });
  await expect(store.get('a')).rejects.toMatchObject({ code: 'unavailable', answered: false });
});

test('a turn that a killed writer holds is broken', { timeout: 30_000 }, async () => {
  const store = directoryStore({ root });
  await store.put('x', bytes('1'));
  // Which of the turns is the key's is not looked at: all are taken.
  for (let turn = 0; turn < 256; turn++)
    mkdirSync(join(root, '.firn-store/turns', String(turn), 'dead'), { recursive: true });
  const before = performance.now();
  await store.put('x', bytes('2'));
  expect(performance.now() - before).toBeGreaterThan(turnMsMax);
  expect(Buffer.from((await store.get('x')).body).toString()).toBe('2');
});

test('processes that count in one object lose no count', { timeout: 60_000 }, async () => {
  const [workers, counts] = [3, 40];
  const storeFile = join(import.meta.dirname, '../../lake/object-store/directory/directory-store.ts');
  const program = `
    const { directoryStore } = await import(${JSON.stringify(pathToFileURL(storeFile).href)});
    const store = directoryStore({ root: process.argv[1] });
    for (let done = 0; done < ${counts}; ) {
      const { body, etag } = await store.get('count');
      try {
        await store.putIfMatch('count', Buffer.from(String(Number(Buffer.from(body)) + 1)), etag);
        done++;
      } catch (error) {
        if (error.code !== 'conflict') throw error;
      }
    }
    for (let index = 0; index < ${counts}; index++)
      await store.putIfAbsent('claims/' + index, Buffer.from(String(process.pid))).then(
        () => console.log(index),
        (error) => { if (error.code !== 'conflict') throw error; },
      );`;
  const store = directoryStore({ root });
  await store.put('count', bytes('0'));
  const outputs = await Promise.all(
    Array.from({ length: workers }, async () => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program, root], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const closed = once(child, 'close');
      const output = Buffer.concat(await child.stdout.toArray()).toString();
      expect((await closed)[0]).toBe(0);
      return output.split('\n').filter(Boolean);
    }),
  );
  expect(Buffer.from((await store.get('count')).body).toString()).toBe(String(workers * counts));
  const claims = outputs.flat().map(Number);
  expect(claims.sort((a, b) => a - b)).toEqual(Array.from({ length: counts }, (_, index) => index));
});

test('opened from settings, objects are where their location says', async () => {
  const none = { endpoint: '', region: '', bucket: '', prefix: '', accessKeyId: '', secretAccessKey: '' };
  const settings = { kind: 'directory', path: join(root, 'my lake'), pathStyle: true, ...none } as const;
  const { store, locationOf } = await openObjectStore(settings);
  await store.put('a/b', bytes('x'));
  expect(locationOf('a/b')).toBe(`${pathToFileURL(root).href}/my%20lake/a/b`);
  expect(store.localPath('a/b')).toBe(join(root, 'my lake', 'a', 'b'));
  expect(await codeOf(openObjectStore({ ...settings, kind: 'none' }))).toBe('invalid');
});

test('a limited listing passes over keys that are deleted meanwhile, and over no others', async () => {
  const store = directoryStore({ root: join(folder, 'limited') });
  const keys = Array.from({ length: 130 }, (_, index) => `l/${String(index).padStart(4, '0')}`);
  for (const key of keys) await store.put(key, new Uint8Array(1));
  const found: string[] = [];
  for await (const { key } of store.list('l/', { limit: 65 })) {
    found.push(key);
    if (found.length === 64) await store.delete('l/0064');
  }
  expect(found.at(-1)).toBe('l/0065');
});
