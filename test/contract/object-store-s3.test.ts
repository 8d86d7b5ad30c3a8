import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openObjectStore } from '../../lake/object-store/open.ts';
import { s3Store } from '../../lake/object-store/s3/s3-store.ts';
import { describeObjectStore } from './object-store.ts';
import { type S3Server, s3Missing, startS3 } from './s3-server.ts';

const bucket = 'lake';

describe.skipIf(s3Missing)(`S3${s3Missing ? ` (skipped: ${s3Missing})` : ''}`, () => {
  let server: S3Server;
  let admin: S3Client;
  const options = (prefix: string) => ({
    endpoint: server.endpoint,
    region: 'us-east-1',
    bucket,
    prefix,
    pathStyle: true,
    accessKeyId: server.accessKey,
    secretAccessKey: server.secretKey,
  });

  beforeAll(async () => {
    server = await startS3();
    admin = new S3Client({
      endpoint: server.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    });
    await admin.send(new CreateBucketCommand({ Bucket: bucket }));
  }, 150_000);
  afterAll(async () => {
    admin.destroy();
    await server[Symbol.asyncDispose]();
  }, 30_000);

  const limits = { partBytes: 5 * 1024 * 1024 };
  describeObjectStore('in a whole bucket', async () => s3Store({ ...options(''), limits }));
  describeObjectStore('below a prefix', async () => s3Store({ ...options('some/where/'), limits }));

  test('no upload is left unfinished', async () => {
    const { Uploads = [] } = await admin.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    expect(Uploads).toEqual([]);
  });

  test('wrong credentials, a bucket that is not there, nobody at home', async () => {
    const codeOf = async (changed: Partial<ReturnType<typeof options>>) => {
      const settings = { kind: 's3', path: '', ...options(''), ...changed } as const;
      const { store } = await openObjectStore(settings);
      const code = await store
        .putIfAbsent('x', Buffer.from('x'))
        .catch((error: { code: string }) => error.code);
      store.close();
      return code;
    };
    expect(await codeOf({ secretAccessKey: 'wrong' })).toBe('denied');
    expect(await codeOf({ accessKeyId: 'nobody' })).toBe('denied');
    expect(await codeOf({ bucket: 'none-such' })).toBe('unavailable');
    expect(await codeOf({ endpoint: 'http://127.0.0.1:1' })).toBe('unavailable');
  });

  test('objects are where their location says', async () => {
    const settings = { kind: 's3', path: '', ...options('/at/last/') } as const;
    const { store, locationOf } = await openObjectStore(settings);
    await store.put('a/b', Buffer.from('x'));
    expect(locationOf('a/b')).toBe('s3://lake/at/last/a/b');
    const whole = s3Store(options(''));
    expect((await whole.get('at/last/a/b')).sizeBytes).toBe(1);
    expect(store.description).toBe(`bucket s3://lake/at/last/ at ${server.endpoint}`);
    store.close();
    whole.close();
  });
});
