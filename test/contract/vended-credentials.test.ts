import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openUploads } from '../../cloud/fleet/uploads.ts';
import { type StorageCredential, s3CredentialVendor } from '../../cloud/iceberg-rest/credentials.ts';
import { cloudStore } from '../../gateway/fleet/cloud-store.ts';
import type { Identity } from '../../gateway/fleet/identity.ts';
import { systemClock } from '../../lake/base/clock.ts';
import type { FirnError } from '../../lake/base/errors.ts';
import { tenantId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { SignableRequest } from '../../lake/object-store/s3/signed-elsewhere.ts';
import type { StoreSettings } from '../../lake/object-store/settings.ts';
import { fleetPaths, signRequest } from '../../provisioning/contract.ts';
import { makeRole, type S3Server, s3Missing, startS3 } from './s3-server.ts';

const bucket = 'lake';
const stolen = Buffer.from('y');
const keys = [
  'base/acme/lake/metrics/metadata/v1.metadata.json',
  'base/acme/inbox/gw/segments/metrics/1.parquet',
  'base/acme/lake/logs/metadata/v1.metadata.json',
  'base/acme/inbox/gw/segments/logs/1.parquet',
  'base/acme/inbox/gw/manifests/1.json',
  'base/acme/outbox/gw/receipt.json',
  'base/acme/outbox/gw-2/receipt.json',
  'base/other/lake/metrics/metadata/v1.metadata.json',
];

describe.skipIf(s3Missing)(`vended credentials${s3Missing ? ` (skipped: ${s3Missing})` : ''}`, () => {
  let server: S3Server;
  let admin: S3Client;
  let store: StoreSettings;
  let roleArn: string;
  beforeAll(async () => {
    server = await startS3();
    admin = clientOf(server.endpoint, server.accessKey, server.secretKey);
    await admin.send(new CreateBucketCommand({ Bucket: bucket }));
    for (const Key of keys) await admin.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'x' }));
    roleArn = await makeRole(server, 'lake');
    store = {
      ...{ kind: 's3', path: '', endpoint: server.endpoint, region: 'us-east-1', bucket, prefix: 'base' },
      ...{ pathStyle: true, accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    };
  }, 180_000);
  afterAll(async () => {
    admin?.destroy();
    await server?.[Symbol.asyncDispose]();
  });
  const role = { stsEndpoint: '', durationSeconds: 900, clock: systemClock };
  const outcome = async (send: () => Promise<unknown>): Promise<string> =>
    send().then(
      () => 'allowed',
      (error: Error) => error.name,
    );

  test('of a table read its own objects, and neither write nor see anything else', async () => {
    const locationOf = (key: string): string => `s3://${bucket}/base/${key}`;
    using vendor = s3CredentialVendor({ store, roleArn, ...role, locationOf });
    const vended = await vendor.credentialsOf(tenantId('acme'), 'metrics');
    expect(await vendor.credentialsOf(tenantId('acme'), 'metrics')).toEqual(vended);
    expect(vended.prefix).toBe('s3://lake/base/acme/');
    expect(vended.config).toMatchObject({ 's3.endpoint': server.endpoint, 's3.path-style-access': 'true' });

    const reader = readerOf(vended);
    const got = await Promise.all(
      keys.map((Key) => outcome(() => reader.send(new GetObjectCommand({ Bucket: bucket, Key })))),
    );
    expect(got).toEqual(['allowed', 'allowed', ...Array.from({ length: 6 }, () => 'AccessDenied')]);
    const put = new PutObjectCommand({ Bucket: bucket, Key: keys[0], Body: 'y' });
    expect(await outcome(() => reader.send(put))).toBe('AccessDenied');
    const list = (Prefix: string) =>
      outcome(() => reader.send(new ListObjectsV2Command({ Bucket: bucket, Prefix })));
    expect(await list('base/acme/lake/metrics/')).toBe('allowed');
    expect(await list('base/other/')).toBe('AccessDenied');
    reader.destroy();
  });

  const who = { tenant: tenantId('acme'), site: 'north', gateway: 'gw', group: '' };
  /** What nobody may do who ships as the gateway gw. */
  const thefts = (gateway: ObjectStore): Record<string, () => Promise<unknown>> => ({
    'read its inbox': () => gateway.get('acme/inbox/gw/manifests/1.json'),
    'remove from it': () => gateway.delete('acme/inbox/gw/manifests/1.json'),
    'forge its receipt': () => gateway.put('acme/outbox/gw/receipt.json', stolen),
    'write as another gateway': () => gateway.put('acme/inbox/gw-2/manifests/1.json', stolen),
    'write as one whose name goes on': () => gateway.put('acme/inbox/gwx/manifests/1.json', stolen),
    'write as another tenant': () => gateway.put('other/inbox/gw/manifests/1.json', stolen),
    'read another’s receipt': () => gateway.get('acme/outbox/gw-2/receipt.json'),
    'read the lake': () => gateway.get('acme/lake/metrics/metadata/v1.metadata.json'),
    'write the lake': () => gateway.put('acme/lake/metrics/metadata/v2.metadata.json', stolen),
    'list the bucket': () => Array.fromAsync(gateway.list('')),
    'list its inbox': () => Array.fromAsync(gateway.list('acme/inbox/gw/')),
  });
  const allDenied = async (gateway: ObjectStore): Promise<void> => {
    for (const [what, attempt] of Object.entries(thefts(gateway)))
      expect([
        what,
        await attempt().then(
          () => 'done',
          (error: FirnError) => error.code,
        ),
      ]).toEqual([what, 'denied']);
  };
  /** All that shipping takes, with the key's number. */
  const shipsAs = async (gateway: ObjectStore, number: number): Promise<void> => {
    const folder = mkdtempSync(join(tmpdir(), 'firn-upload-'));
    const large = join(folder, 'large');
    writeFileSync(large, Buffer.alloc(6 * 1024 * 1024, 'x'));
    await gateway.putFile(`acme/inbox/gw/segments/metrics/${number}.parquet`, large);
    rmSync(folder, { recursive: true });
    const manifest = `acme/inbox/gw/manifests/${number}.json`;
    await gateway.putIfAbsent(manifest, Buffer.from('{}'));
    const again = gateway.putIfAbsent(manifest, Buffer.from('{}'));
    await expect(again).rejects.toMatchObject({ code: 'conflict' });
    expect((await gateway.get('acme/outbox/gw/receipt.json')).sizeBytes).toBe(1);
  };

  test('of a gateway write into its own inbox and read its own outbox, and nothing else', async () => {
    using uploads = await openUploads({ store, roleArn, ...role, presignedSeconds: 300 });
    let asked = 0;
    let clockMs = 0;
    const gateway = cloudStore({
      session: {
        identity: { url: 'https://lake.example.com' } as Identity,
        ask: async () => {
          asked++;
          return uploads.placeFor(who);
        },
      },
      ...{ limits: { requestAttemptsMax: 1, partBytes: 5 * 1024 * 1024 }, proxy: '' },
      clock: { ...systemClock, monotonicMs: () => clockMs },
    });
    await shipsAs(gateway, 2);
    expect(asked).toBe(1);
    await allDenied(gateway);
    // The next ones are asked for ahead, and nobody waits for them.
    clockMs = 500_000;
    await gateway.put('acme/inbox/gw/manifests/3.json', stolen);
    await expect.poll(() => asked).toBe(2);
    gateway.close();
  });

  test('signed requests ship as a gateway, and nothing else', async () => {
    using uploads = await openUploads({ store, roleArn: '', ...role, presignedSeconds: 300 });
    const gateway = cloudStore({
      session: {
        identity: { url: 'https://lake.example.com' } as Identity,
        ask: async (path, { body } = {}) =>
          path === fleetPaths.uploads
            ? uploads.placeFor(who)
            : { query: await uploads.sign(who, signRequest.parse(body)) },
      },
      ...{ limits: { requestAttemptsMax: 1, partBytes: 5 * 1024 * 1024 }, proxy: '' },
    });
    await shipsAs(gateway, 4);
    const stored = await admin.send(
      new GetObjectCommand({ Bucket: bucket, Key: 'base/acme/inbox/gw/segments/metrics/4.parquet' }),
    );
    expect(stored.ContentLength).toBe(6 * 1024 * 1024);
    await allDenied(gateway);
    gateway.close();
  });

  test('a stolen signature puts the same bytes under the same key for a while, and does nothing else', async () => {
    const signed = { store, roleArn: '', ...role };
    using uploads = await openUploads({ ...signed, presignedSeconds: 300 });
    using brief = await openUploads({ ...signed, presignedSeconds: 1 });
    const body = 'the bytes that were signed';
    const key = 'acme/inbox/gw/manifests/5.json';
    const headers = {
      'x-amz-content-sha256': createHash('sha256').update(body).digest('hex'),
      'content-length': String(body.length),
      'if-none-match': '*',
    };
    const query = await uploads.sign(who, { method: 'PUT', key, query: {}, headers });
    const over = await brief.sign(who, { method: 'PUT', key, query: {}, headers });
    const send = async (
      change: { method?: string; path?: string; body?: string; headers?: object; query?: object } = {},
    ): Promise<string> => {
      const asked = new URLSearchParams({ ...query, ...change.query });
      const url = `${server.endpoint}/${bucket}/${change.path ?? `base/${key}`}?${asked}`;
      const { method = 'PUT' } = change;
      const { 'content-length': length, ...others } = headers;
      const sent = method === 'PUT' ? { ...others, 'content-length': length, ...change.headers } : others;
      const answer = await sendRaw(
        url,
        { method, headers: sent },
        method === 'PUT' ? (change.body ?? body) : undefined,
      );
      return /<Code>(\w+)/.exec(answer.text)?.[1] ?? `${answer.status}`;
    };
    const other = 'other bytes of this length';
    expect(other.length).toBe(body.length);
    const tries: Record<string, string> = {
      'another key': await send({ path: 'base/acme/inbox/gw/manifests/6.json' }),
      'the lake': await send({ path: 'base/acme/lake/metrics/metadata/v9.metadata.json' }),
      'read it': await send({ method: 'GET' }),
      'remove it': await send({ method: 'DELETE' }),
      'list the bucket': await send({ method: 'GET', path: '', query: { 'list-type': '2' } }),
      'other bytes, said so': await send({
        body: other,
        headers: { 'x-amz-content-sha256': createHash('sha256').update(other).digest('hex') },
      }),
      'no hash': await send({ body: other, headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } }),
      'more bytes': await send({ body: `${body}!`, headers: { 'content-length': String(body.length + 1) } }),
      'without its condition': await send({ headers: { 'if-none-match': 'x' } }),
      'a later end': await send({ query: { 'X-Amz-Expires': '3000' } }),
    };
    for (const [what, code] of Object.entries(tries))
      expect([what, code]).toEqual([what, expect.stringMatching(/^(AccessDenied|SignatureDoesNotMatch)$/)]);
    expect(await send({ body: other })).toMatch(/XAmzContentSHA256Mismatch|BadDigest/);
    expect([await send(), await send()]).toEqual(['200', 'PreconditionFailed']);
    await expect.poll(() => send({ query: over }), { timeout: 10_000 }).toBe('AccessDenied');
  });

  test.each<[string, Partial<SignableRequest>]>([
    ['another gateway’s key', { key: 'acme/inbox/gw-2/manifests/1.json' }],
    ['a path that leaves the inbox', { key: 'acme/inbox/gw/../gw-2/manifests/1.json' }],
    ['the same, encoded', { key: 'acme/inbox/gw%2f..%2fgw-2/1.json' }],
    ['a key with a NUL', { key: 'acme/inbox/gw/\0' }],
    ['its inbox as a whole', { key: 'acme/inbox/gw/' }],
    ['a copy', { headers: { 'x-amz-copy-source': '/lake/base/other/x' } }],
    ['another’s right to read', { headers: { 'x-amz-acl': 'public-read' } }],
    ['a body of which nothing is said', { headers: {} }],
    ['another operation', { query: { acl: '' } }],
    ['to remove it', { method: 'DELETE' }],
    ['to read its inbox', { method: 'GET' }],
  ])('%s is not signed', async (_, change) => {
    using uploads = await openUploads({ store, roleArn: '', ...role, presignedSeconds: 300 });
    const request = {
      ...{ method: 'PUT', key: 'acme/inbox/gw/manifests/1.json', query: {} },
      headers: { 'x-amz-content-sha256': 'a'.repeat(64), 'content-length': '1' },
    };
    await expect(uploads.sign(who, request)).resolves.toHaveProperty('X-Amz-Signature');
    await expect(uploads.sign(who, { ...request, ...change })).rejects.toThrow(/is not signed|can't be used/);
  });
});

/** As they are, headers too. */
async function sendRaw(
  url: string,
  options: { readonly method: string; readonly headers: object },
  body: string | undefined,
): Promise<{ readonly status: number; readonly text: string }> {
  const sending = request(url, {
    method: options.method,
    headers: options.headers as Record<string, string>,
  });
  sending.end(body);
  const [answer] = (await once(sending, 'response')) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, text: Buffer.concat(await Array.fromAsync(answer)).toString() };
}

function clientOf(
  endpoint: string,
  accessKeyId: string,
  secretAccessKey: string,
  sessionToken?: string,
): S3Client {
  const credentials = { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) };
  return new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
}

const readerOf = ({ config }: StorageCredential): S3Client =>
  clientOf(
    config['s3.endpoint'] ?? '',
    config['s3.access-key-id'] ?? '',
    config['s3.secret-access-key'] ?? '',
    config['s3.session-token'],
  );
