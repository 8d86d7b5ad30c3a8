import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { type StorageCredential, s3CredentialVendor } from '../../cloud/iceberg-rest/credentials.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { s3Missing, startS3 } from './s3-server.ts';

const bucket = 'lake';
const keys = [
  'base/acme/lake/metrics/metadata/v1.metadata.json',
  'base/acme/inbox/gw/segments/metrics/1.parquet',
  'base/acme/lake/logs/metadata/v1.metadata.json',
  'base/acme/inbox/gw/segments/logs/1.parquet',
  'base/acme/inbox/gw/manifests/1.json',
  'base/other/lake/metrics/metadata/v1.metadata.json',
];

describe.skipIf(s3Missing)(`credentials of a table${s3Missing ? ` (skipped: ${s3Missing})` : ''}`, () => {
  test('read its own objects, and neither write nor see anything else', async () => {
    await using server = await startS3();
    const admin = clientOf(server.endpoint, server.accessKey, server.secretKey);
    await admin.send(new CreateBucketCommand({ Bucket: bucket }));
    for (const Key of keys) await admin.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'x' }));
    const trust = {
      Effect: 'Allow',
      Principal: { AWS: ['arn:aws:iam:::user/admin'] },
      Action: ['sts:AssumeRole'],
    };
    const reads = { Effect: 'Allow', Action: ['s3:*'], Resource: ['*'] };
    const policy = (statement: object): string =>
      JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
    await server.admin('role', 'create', '--role-name=reader', `--assume-role-policy-doc=${policy(trust)}`);
    await server.admin(
      'role-policy',
      'put',
      '--role-name=reader',
      '--policy-name=all',
      `--policy-doc=${policy(reads)}`,
    );

    using vendor = s3CredentialVendor({
      store: {
        ...{
          kind: 's3',
          path: '',
          endpoint: server.endpoint,
          region: 'us-east-1',
          bucket,
          prefix: 'base',
          pathStyle: true,
        },
        ...{ accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
      },
      roleArn: 'arn:aws:iam:::role/reader',
      stsEndpoint: '',
      durationSeconds: 900,
      locationOf: (key) => `s3://${bucket}/base/${key}`,
      clock: systemClock,
    });
    const vended = await vendor.credentialsOf(tenantId('acme'), 'metrics');
    expect(await vendor.credentialsOf(tenantId('acme'), 'metrics')).toBe(vended);
    expect(vended.prefix).toBe('s3://lake/base/acme/');
    expect(vended.config).toMatchObject({ 's3.endpoint': server.endpoint, 's3.path-style-access': 'true' });

    const reader = readerOf(vended);
    const outcome = async (send: () => Promise<unknown>): Promise<string> =>
      send().then(
        () => 'allowed',
        (error: Error) => error.name,
      );
    const got = await Promise.all(
      keys.map((Key) => outcome(() => reader.send(new GetObjectCommand({ Bucket: bucket, Key })))),
    );
    expect(got).toEqual(['allowed', 'allowed', ...Array.from({ length: 4 }, () => 'AccessDenied')]);
    const put = new PutObjectCommand({ Bucket: bucket, Key: keys[0], Body: 'y' });
    expect(await outcome(() => reader.send(put))).toBe('AccessDenied');
    const list = (Prefix: string) =>
      outcome(() => reader.send(new ListObjectsV2Command({ Bucket: bucket, Prefix })));
    expect(await list('base/acme/lake/metrics/')).toBe('allowed');
    expect(await list('base/other/')).toBe('AccessDenied');
    reader.destroy();
    admin.destroy();
  }, 180_000);
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
