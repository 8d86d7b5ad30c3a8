import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  ListMultipartUploadsCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../lake/base/errors.ts';
import type { ObjectStore, UploadResume } from '../../lake/object-store/object-store.ts';
import type { S3Limits } from '../../lake/object-store/s3/connection.ts';
import { s3Store } from '../../lake/object-store/s3/s3-store.ts';
import { type FaultProxy, startFaultProxy } from '../harness/fault-proxy.ts';
import { type S3Server, s3Missing, startS3 } from './s3-server.ts';

// Uploads over a bad line to a real S3 server. The credentials are as a gateway's, good for writing only: the proxy answers
// 403 to whatever reads.

const bucket = 'lake';
const partBytes = 5 * 1024 * 1024;
const parts = 6;
const content = Buffer.alloc((parts - 1) * partBytes + 12_345, 'what is shipped. ');

describe.skipIf(s3Missing)(`S3 over a bad line${s3Missing ? ` (skipped: ${s3Missing})` : ''}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'firn-faults-'));
  const file = join(folder, 'file');
  let server: S3Server;
  let admin: S3Client;
  let direct: ObjectStore;
  let proxy: FaultProxy;
  let store: ObjectStore;

  const connectionTo = (endpoint: string) => ({
    ...{ endpoint, region: 'us-east-1', bucket, prefix: 'p', pathStyle: true },
    ...{ accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
  });
  const openStore = (limits: Partial<S3Limits> = {}) =>
    s3Store({ ...connectionTo(proxy.url), limits: { partBytes, requestAttemptsMax: 1, ...limits } });

  beforeAll(async () => {
    server = await startS3();
    const credentials = { accessKeyId: server.accessKey, secretAccessKey: server.secretKey };
    admin = new S3Client({
      ...{ endpoint: server.endpoint, region: 'us-east-1', forcePathStyle: true, credentials },
    });
    await admin.send(new CreateBucketCommand({ Bucket: bucket }));
    direct = s3Store(connectionTo(server.endpoint));
  }, 150_000);
  afterAll(async () => {
    direct.close();
    admin.destroy();
    await server[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  }, 30_000);
  beforeEach(async () => {
    writeFileSync(file, content);
    proxy = await startFaultProxy({ targetPort: Number(new URL(server.endpoint).port) });
    writeOnly();
    store = openStore();
  });
  afterEach(async () => {
    store.close();
    await proxy[Symbol.asyncDispose]();
    for (const { Key, UploadId } of await unfinished())
      await admin.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
  });

  const writeOnly = () =>
    proxy.spoil({
      ...{ kind: 'status', status: 403, code: 'AccessDenied' },
      match: ({ method }) => method === 'GET' || method === 'HEAD',
    });
  const unfinished = async () =>
    (await admin.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads ?? [];
  const partOf = (url: string): number => Number(/[?&]partNumber=(\d+)/.exec(url)?.[1] ?? 0);
  /** The parts that were sent, those that were answered, since the last `forget`. */
  const sent = () => proxy.requests.map(({ url }) => partOf(url)).filter((part) => part > 0);
  const answered = () =>
    proxy.requests.flatMap(({ url, outcome }) => (outcome === 200 && partOf(url) > 0 ? [partOf(url)] : []));
  const isStored = async (key: string, expected = content) => {
    const path = join(folder, 'back');
    await direct.getFile(key, path);
    return readFileSync(path).equals(expected);
  };
  const codeOf = (promise: Promise<unknown>): Promise<ErrorCode | 'done'> =>
    promise.then(
      () => 'done',
      (error: { code: ErrorCode }) => error.code,
    );
  const inMemory = (): UploadResume & { state: string | undefined; saves: number } => {
    const resume = {
      state: undefined as string | undefined,
      saves: 0,
      load: () => resume.state,
      save: (state: string | undefined) => {
        resume.state = state;
        resume.saves++;
      },
    };
    return resume;
  };
  /** Leaves an upload behind of which two parts are there. */
  const breakAfterTwo = async (key: string, resume: UploadResume): Promise<void> => {
    const one = openStore({ partsInFlightMax: 1 });
    const heal = proxy.spoil({ kind: 'drop-request', match: ({ url }) => partOf(url) === 3 });
    expect(await codeOf(one.putFile(key, file, { resume }))).toBe('unavailable');
    heal();
    one.close();
    expect(sent()).toEqual([1, 2, 3]);
    proxy.forget();
  };

  test('a process that is killed in the middle goes on where it was', { timeout: 60_000 }, async () => {
    const state = join(folder, 'state');
    const child = uploadInProcess(connectionTo(proxy.url), file, state);
    await expect.poll(() => answered().length, { timeout: 30_000, interval: 5 }).toBeGreaterThan(2);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const saved = JSON.parse(readFileSync(state, 'utf8')) as { etags: (string | null)[] };
    const missing = saved.etags.flatMap((etag, index) => (etag === null ? [index + 1] : []));
    expect(missing.length).toBeGreaterThan(0);
    expect(missing.length).toBeLessThan(parts - 1);
    proxy.forget();
    const resume: UploadResume = {
      load: () => (existsSync(state) ? readFileSync(state, 'utf8') : undefined),
      save: (text) => (text === undefined ? rmSync(state) : writeFileSync(state, text)),
    };
    const info = await store.putFile('killed', file, { resume });
    expect(info).toMatchObject({ key: 'killed', sizeBytes: content.byteLength });
    expect(sent().toSorted()).toEqual(missing);
    // Nothing was begun anew: the only POST puts the object together.
    expect([proxy.count('POST'), proxy.count('GET'), proxy.count('DELETE')]).toEqual([1, 0, 0]);
    expect(await isStored('killed')).toBe(true);
    expect([existsSync(state), await unfinished()]).toEqual([false, []]);
  });

  test('another store object goes on; it saves after each part', async () => {
    const resume = inMemory();
    await breakAfterTwo('again', resume);
    expect(resume.saves).toBe(3);
    expect((await unfinished()).length).toBe(1);
    await store.putFile('again', file, { resume });
    expect(sent().toSorted()).toEqual([3, 4, 5, 6]);
    expect([resume.state, resume.saves]).toEqual([undefined, 8]);
    expect(await isStored('again')).toBe(true);
    expect(await unfinished()).toEqual([]);
  });

  test.each<[string, (resume: { state: string | undefined }) => Promise<void> | void]>([
    ['a changed file', () => utimesSync(file, 1, 1)],
    ['a longer file', () => writeFileSync(file, Buffer.concat([content, content.subarray(0, 7)]))],
    [
      'an upload that the server has lost',
      async () => {
        for (const { Key, UploadId } of await unfinished())
          await admin.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
      },
    ],
    [
      'parts that are not what was saved',
      (resume) => {
        const saved = JSON.parse(resume.state ?? '') as { etags: string[] };
        saved.etags[0] = `"${'0'.repeat(32)}"`;
        resume.state = JSON.stringify(saved);
      },
    ],
    [
      'a state that is cut off',
      (resume) => {
        resume.state = resume.state?.slice(0, 20);
      },
    ],
  ])('%s begins again', async (why, harm) => {
    const resume = inMemory();
    await breakAfterTwo('anew', resume);
    await harm(resume);
    await store.putFile('anew', file, { resume });
    expect(sent().slice(-parts).toSorted()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await isStored('anew', readFileSync(file))).toBe(true);
    expect(resume.state).toBeUndefined();
    // What could not be read could not be thrown away either.
    expect((await unfinished()).length).toBe(why === 'a state that is cut off' ? 1 : 0);
  });

  test('the state of one key is no use to another', async () => {
    const resume = inMemory();
    await breakAfterTwo('one', resume);
    await store.putFile('other', file, { resume });
    expect(sent().length).toBe(parts);
    expect((await unfinished()).map(({ Key }) => Key)).toEqual(['p/one']);
  });

  test('without resume, a failed upload is thrown away', async () => {
    proxy.spoil({ kind: 'drop-request', match: ({ url }) => partOf(url) === 3 });
    expect(await codeOf(store.putFile('away', file))).toBe('unavailable');
    expect(await unfinished()).toEqual([]);
  });

  test('an upload that is aborted is kept, and goes on', async () => {
    const resume = inMemory();
    const stop = new AbortController();
    const reason = new Error('enough');
    const save = (state: string | undefined) => {
      resume.save(state);
      if (resume.saves === 4) stop.abort(reason);
    };
    const aborted = store.putFile('aborted', file, { resume: { ...resume, save }, signal: stop.signal });
    await expect(aborted).rejects.toBe(reason);
    const there = (JSON.parse(resume.state ?? '') as { etags: unknown[] }).etags.filter(Boolean).length;
    proxy.forget();
    await store.putFile('aborted', file, { resume });
    expect(sent().length).toBe(parts - there);
    expect(await isStored('aborted')).toBe(true);
  });

  test('a put whose reply is lost is done, and doing it again changes nothing', async () => {
    for (const requestAttemptsMax of [1, 4]) {
      const one = openStore({ requestAttemptsMax });
      proxy.spoil({ kind: 'lose-reply', times: 1 });
      const first = await codeOf(one.put('lost', Buffer.from('x')));
      expect(first).toBe(requestAttemptsMax === 1 ? 'unavailable' : 'done');
      const info = await direct.head('lost');
      expect(await one.put('lost', Buffer.from('x'))).toEqual(info);
      one.close();
    }
  });

  test.each([
    ['1 try, write-only', 1, true],
    ['4 tries, write-only', 4, true],
    ['1 try', 1, false],
    ['4 tries', 4, false],
  ] as const)('the reply to the last step of an upload is lost: %s', async (_, requestAttemptsMax, only) => {
    if (!only) {
      await proxy.heal();
    }
    const one = openStore({ requestAttemptsMax });
    const resume = inMemory();
    const isLast = ({ url, method }: { url: string; method: string }) =>
      method === 'POST' && url.includes('uploadId=');
    proxy.spoil({ kind: 'lose-reply', times: 1, match: isLast });
    const first = await codeOf(one.putFile('last', file, { resume }));
    const info = await direct.head('last');
    if (first !== 'done') {
      expect(requestAttemptsMax).toBe(1);
      expect(await codeOf(one.putFile('last', file, { resume }))).toBe('done');
    }
    // Who may look recognises the object as its own; who may not sends it again.
    if (!only) expect([await direct.head('last'), sent().length]).toEqual([info, parts]);
    expect(await isStored('last')).toBe(true);
    expect(resume.state).toBeUndefined();
    expect(await unfinished()).toEqual([]);
    one.close();
  });

  test('a conditional put whose reply is lost knows its own', async () => {
    await proxy.heal();
    proxy.spoil({ kind: 'lose-reply', times: 1 });
    const info = await store.putIfAbsent('own', Buffer.from('x'));
    expect(await direct.head('own')).toEqual(info);
    proxy.spoil({ kind: 'lose-reply', times: 1 });
    const next = await store.putIfMatch('own', Buffer.from('y'), info.etag);
    expect(await direct.head('own')).toEqual(next);
    expect(await codeOf(store.putIfAbsent('own', Buffer.from('z')))).toBe('conflict');
  });

  test('parts and files are paced, and arrive whole', async () => {
    let paced = 0;
    let bodies = 0;
    const pace = async (bytes: number, _: AbortSignal | undefined, request: { sentBytes: number }) => {
      paced += bytes;
      if (request.sentBytes === 0) bodies++;
    };
    await store.putFile('paced', file, { pace });
    expect([paced, bodies]).toEqual([content.byteLength, parts]);
    expect(await isStored('paced')).toBe(true);
    await store.put('paced', content.subarray(0, 100_000), { pace });
    expect([paced, bodies]).toEqual([content.byteLength + 100_000, parts + 1]);
    expect(await isStored('paced', content.subarray(0, 100_000))).toBe(true);
  });
});

/** A process of its own that uploads slowly enough to be killed in the middle. */
function uploadInProcess(connection: object, file: string, state: string): ChildProcess {
  const module = pathToFileURL(join(import.meta.dirname, '../../lake/object-store/s3/s3-store.ts')).href;
  const program = `
    const { writeFileSync, renameSync } = await import('node:fs');
    const { s3Store } = await import(${JSON.stringify(module)});
    const store = s3Store({ ...${JSON.stringify(connection)}, limits: { partBytes: ${partBytes} } });
    const save = (text) => {
      writeFileSync(process.argv[2] + '.new', text ?? '');
      renameSync(process.argv[2] + '.new', process.argv[2]);
    };
    const pace = () => new Promise((done) => setTimeout(done, 1));
    await store.putFile('killed', process.argv[1], { resume: { load: () => undefined, save }, pace });`;
  return spawn(process.execPath, ['--input-type=module', '-e', program, file, state], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
