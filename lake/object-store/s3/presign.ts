import { PutObjectCommand } from '@aws-sdk/client-s3';
import { SignatureV4 } from '@smithy/signature-v4';
import { connect, defaultS3Limits, type S3Connection } from './connection.ts';
import { prefixOf } from './prefix.ts';
import type { SignableRequest } from './signed-elsewhere.ts';

/** Signs requests for others with the keys of a store. */
export interface Presigner extends Disposable {
  /** The query of a request, with a signature that counts for some seconds and binds all that is said of the request. */
  presign(request: SignableRequest, seconds: number): Promise<Readonly<Record<string, string>>>;
}

interface Address {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
}

export function openPresigner(connection: S3Connection): Presigner {
  const { client } = connect(connection, defaultS3Limits);
  const { credentials, sha256 } = client.config;
  const signer = new SignatureV4({
    ...{ service: 's3', region: connection.region, credentials, sha256, uriEscapePath: false },
  });
  /** Where an object is, as the SDK addresses it. */
  const addressOf = async (key: string): Promise<Address> => {
    const command = new PutObjectCommand({ Bucket: connection.bucket, Key: prefixOf(connection) + key });
    const found = Promise.withResolvers<Address>();
    command.middlewareStack.add(
      () => async (args) => {
        found.resolve(args.request as Address);
        return { output: { $metadata: {} }, response: undefined };
      },
      { step: 'build', priority: 'low', name: 'firnAddress' },
    );
    await client.send(command);
    return found.promise;
  };
  return {
    presign: async ({ method, key, query, headers }, seconds) => {
      const { protocol, hostname, port, path } = await addressOf(key);
      const host = port === undefined ? hostname : `${hostname}:${port}`;
      const request = { method, protocol, hostname, path, query, headers: { ...headers, host } };
      // As headers, since servers look for metadata nowhere else.
      const unhoistableHeaders = new Set(Object.keys(headers));
      const signed = await signer.presign(request, { expiresIn: seconds, unhoistableHeaders });
      return Object.fromEntries(
        Object.entries(signed.query ?? {}).map(([name, value]) => [name, `${value}`]),
      );
    },
    [Symbol.dispose]: () => client.destroy(),
  };
}
