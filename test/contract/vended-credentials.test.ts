import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
import type { StoreSettings } from '../../lake/object-store/settings.ts';
import { makeRole, type S3Server, s3Missing, startS3 } from './s3-server.ts';

const bucket = 'lake';
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

  test('of a gateway write into its own inbox and read its own outbox, and nothing else', async () => {
    using uploads = await openUploads({ store, roleArn, ...role });
    const who = { tenant: tenantId('acme'), site: 'north', gateway: 'gw', group: '' };
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
    const folder = mkdtempSync(join(tmpdir(), 'firn-upload-'));
    const large = join(folder, 'large');
    writeFileSync(large, Buffer.alloc(6 * 1024 * 1024, 'x'));
    // What shipping takes.
    await gateway.putFile('acme/inbox/gw/segments/metrics/2.parquet', large);
    await gateway.putIfAbsent('acme/inbox/gw/manifests/2.json', Buffer.from('{}'));
    const again = gateway.putIfAbsent('acme/inbox/gw/manifests/2.json', Buffer.from('{}'));
    await expect(again).rejects.toMatchObject({ code: 'conflict' });
    expect((await gateway.get('acme/outbox/gw/receipt.json')).sizeBytes).toBe(1);
    expect(asked).toBe(1);
    // What a thief would like to.
    const bytes = Buffer.from('y');
    const denied: Record<string, () => Promise<unknown>> = {
      'read its inbox': () => gateway.get('acme/inbox/gw/manifests/1.json'),
      'remove from it': () => gateway.delete('acme/inbox/gw/manifests/1.json'),
      'forge its receipt': () => gateway.put('acme/outbox/gw/receipt.json', bytes),
      'write as another gateway': () => gateway.put('acme/inbox/gw-2/manifests/1.json', bytes),
      'write as one whose name goes on': () => gateway.put('acme/inbox/gwx/manifests/1.json', bytes),
      'write as another tenant': () => gateway.put('other/inbox/gw/manifests/1.json', bytes),
      'read another’s receipt': () => gateway.get('acme/outbox/gw-2/receipt.json'),
      'read the lake': () => gateway.get('acme/lake/metrics/metadata/v1.metadata.json'),
      'write the lake': () => gateway.put('acme/lake/metrics/metadata/v2.metadata.json', bytes),
      'list the bucket': () => Array.fromAsync(gateway.list('')),
      'list its inbox': () => Array.fromAsync(gateway.list('acme/inbox/gw/')),
    };
    for (const [what, attempt] of Object.entries(denied))
      expect([
        what,
        await attempt().then(
          () => 'done',
          (error: FirnError) => error.code,
        ),
      ]).toEqual([what, 'denied']);
    // The next ones are asked for ahead, and nobody waits for them.
    clockMs = 500_000;
    await gateway.put('acme/inbox/gw/manifests/3.json', bytes);
    await expect.poll(() => asked).toBe(2);
    gateway.close();
    rmSync(folder, { recursive: true });
  });
});

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
