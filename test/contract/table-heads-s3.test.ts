import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe } from 'vitest';
import { s3Store } from '../../lake/object-store/s3/s3-store.ts';
import { type S3Server, s3Missing, startS3 } from './s3-server.ts';
import { describeTableHead } from './table-heads.ts';

// Commits on a real S3: exactly one of those that race gets in because the service keeps `If-None-Match: *`.

const bucket = 'lake';

describe.skipIf(s3Missing)(`S3${s3Missing ? ` (skipped: ${s3Missing})` : ''}`, () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startS3();
    const { endpoint, accessKey: accessKeyId, secretKey: secretAccessKey } = server;
    const credentials = { accessKeyId, secretAccessKey };
    const admin = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
    await admin.send(new CreateBucketCommand({ Bucket: bucket }));
    admin.destroy();
  }, 150_000);
  afterAll(() => server[Symbol.asyncDispose](), 30_000);

  let tables = 0;
  describeTableHead('an object store alone', () => ({
    store: s3Store({
      ...{ endpoint: server.endpoint, region: 'us-east-1', bucket, prefix: `table-${++tables}/` },
      ...{ pathStyle: true, accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    }),
    headOf: undefined,
  }));
});
