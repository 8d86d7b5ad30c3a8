import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { type S3Server, startS3 } from '../contract/s3-server.ts';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';
import { type Part, readKey, startPart } from './firn.ts';

/** A gateway that reaches its S3 store over a line with faults, and a cloud that is beside the store. */
export interface S3Site extends AsyncDisposable {
  readonly proxy: FaultProxy;
  readonly cloud: Part;
  /** The one that runs. */
  readonly gateway: Part;
  restartGateway(): Promise<void>;
  /** The cloud's. */
  readonly key: ReturnType<typeof readKey>;
}

export async function openS3Site(folder: string, gatewayArgs: readonly string[] = []): Promise<S3Site> {
  await using stack = new AsyncDisposableStack();
  const s3 = stack.use(await startS3());
  await makeBucket(s3, 'lake');
  const proxy = stack.use(await startFaultProxy({ targetPort: Number(new URL(s3.endpoint).port) }));
  const store = (endpoint: string): string[] => s3StoreArgs(s3, 'lake', endpoint);
  const cloud = stack.use(
    await startPart('cloud', ['--data-dir', join(folder, 'cloud'), ...store(s3.endpoint)]),
  );
  const startGateway = () =>
    startPart('gateway', ['--data-dir', join(folder, 'gateway'), ...store(proxy.url), ...gatewayArgs]);
  let gateway = await startGateway();
  stack.defer(() => gateway.kill());
  const open = stack.move();
  return {
    proxy,
    cloud,
    get gateway() {
      return gateway;
    },
    restartGateway: async () => {
      await gateway.stop();
      gateway = await startGateway();
    },
    key: readKey(String(cloud.ready.keyFile)),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** Flags of a store in a bucket of this server, reached at `endpoint`. */
export const s3StoreArgs = (s3: S3Server, bucket: string, endpoint: string): string[] => [
  ...['--store-kind', 's3', '--store-endpoint', endpoint, '--store-bucket', bucket, '--log-level', 'warn'],
  ...['--store-access-key-id', s3.accessKey, '--store-secret-access-key', s3.secretKey],
];

export async function makeBucket(
  { endpoint, accessKey, secretKey }: S3Server,
  bucket: string,
): Promise<void> {
  const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey };
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
}
