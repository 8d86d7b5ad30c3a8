import { createHash } from 'node:crypto';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import type { S3Connection } from './connection.ts';
import { prefixOf } from './prefix.ts';

// Requests whose keys are somewhere else: what is to be signed is sent there, and the signature comes back as query
// parameters (AWS Signature Version 4, "authenticating requests: using query parameters").

/** A request for one object, as much of it as its signature binds. Keys are without the store's prefix. */
export interface SignableRequest {
  readonly method: string;
  readonly key: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
}

/** Gives the query to send it with. */
export type SignElsewhere = (request: SignableRequest) => Promise<Readonly<Record<string, string>>>;

/** Headers of ours that a signature binds. S3 refuses others that begin with x-amz- when they are not signed. */
export const boundHeaders: readonly string[] = [
  ...['content-length', 'content-type', 'if-match', 'if-none-match', 'range'],
  ...['x-amz-content-sha256', 'x-amz-meta-firn-write'],
];

type Signer = Awaited<ReturnType<Extract<S3ClientConfig['signer'], (...given: never) => unknown>>>;

/** What the client of a bucket gets instead of credentials. */
export function signedElsewhere(
  connection: S3Connection,
  sign: SignElsewhere,
): Pick<S3ClientConfig, 'signer' | 'credentials'> {
  const root = `/${connection.pathStyle ? `${connection.bucket}/` : ''}${prefixOf(connection)}`;
  const signer: Signer = {
    sign: async (request) => {
      const { method, path } = request;
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(request.headers))
        if (boundHeaders.includes(name.toLowerCase())) headers[name.toLowerCase()] = value;
      headers['x-amz-content-sha256'] ??= createHash('sha256')
        .update(request.body ?? '')
        .digest('hex');
      const query = Object.fromEntries(
        Object.entries(request.query ?? {}).map(([name, value]) => [name, `${value ?? ''}`]),
      );
      const key = decodeURIComponent(path.slice(root.length));
      const signed = await sign({ method, key, query, headers });
      const rest = Object.entries(request.headers).filter(([name]) => !/^x-amz-/i.test(name));
      // A copy: one that is sent again is signed again.
      return Object.assign(Object.create(Object.getPrototypeOf(request) as object), request, {
        query: { ...signed },
        headers: { ...Object.fromEntries(rest), ...headers },
      }) as typeof request;
    },
  };
  return { signer: async () => signer, credentials: { accessKeyId: 'none', secretAccessKey: 'none' } };
}
