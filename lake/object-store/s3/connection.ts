import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import { proxyEnv } from '../../base/proxy.ts';
import { type SignElsewhere, signedElsewhere } from './signed-elsewhere.ts';

/** How a bucket is reached. Absent keys: the AWS default chain (environment, profile, instance role). */
export interface S3Connection {
  /** URL of the service; absent for AWS. */
  readonly endpoint?: string;
  readonly region: string;
  readonly bucket: string;
  /** Before every key, with or without a `/` at its end. */
  readonly prefix?: string;
  /** Addresses like endpoint/bucket/key instead of bucket.endpoint/key. */
  readonly pathStyle: boolean;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  /** Instead of the two: asked before each request, so it should hold what it gives. */
  readonly credentials?: () => Promise<S3Credentials>;
  /** Instead of all three: somebody else signs each request. */
  readonly sign?: SignElsewhere;
  /** HTTP proxy on the way; absent or empty: none. */
  readonly proxy?: string;
}

interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

/**
 * With the cable cut, a try of a request ends after connectMsMax when it needs a new connection, and after idleMsMax on
 * one that stood already; the tries after it need new ones.
 */
export interface S3Limits {
  /** Tries of one request, with growing waits between them (together below a second). */
  readonly requestAttemptsMax: number;
  /** Until a connection stands, with the look-up of its name. */
  readonly connectMsMax: number;
  /** A connection on which nothing moves for so long is given up; a slow one that moves is not. */
  readonly idleMsMax: number;
  /** A connection that no request has used for so long is closed: who knows what became of the line meanwhile. */
  readonly unusedMsMax: number;
  readonly connectionsMax: number;
  /** Tries of a download that breaks off in the middle of its body. */
  readonly downloadAttemptsMax: number;
  /** Files larger than this are put in parts of this size (larger ones where a file would have more than 10 000). */
  readonly partBytes: number;
  /** Parts of one file under way at once. */
  readonly partsInFlightMax: number;
}

export const defaultS3Limits: S3Limits = {
  requestAttemptsMax: 4,
  connectMsMax: 5_000,
  idleMsMax: 30_000,
  unusedMsMax: 20_000,
  connectionsMax: 50,
  downloadAttemptsMax: 3,
  partBytes: 8 * 1024 * 1024,
  partsInFlightMax: 2,
};

export interface Connections {
  readonly client: S3Client;
  /** Closes the connections that no request uses just now. */
  dropUnused(): void;
}

export function connect(connection: S3Connection, limits: S3Limits): Connections {
  const { endpoint, region, pathStyle, proxy = '' } = connection;
  const reuse = {
    keepAlive: true,
    maxSockets: limits.connectionsMax,
    timeout: limits.unusedMsMax,
    ...proxyEnv(proxy),
  };
  const agents = [new HttpAgent(reuse), new HttpsAgent(reuse)] as const;
  const [httpAgent, httpsAgent] = agents;
  const client = new S3Client({
    region,
    forcePathStyle: pathStyle,
    ...(endpoint ? { endpoint } : {}),
    ...credentialsOf(connection),
    maxAttempts: limits.requestAttemptsMax,
    requestHandler: {
      connectionTimeout: limits.connectMsMax,
      socketTimeout: limits.idleMsMax,
      httpAgent,
      httpsAgent,
    },
    // Otherwise every large part waits for a "100 Continue", over a connection of its own.
    expectContinueHeader: false,
    // Checksum trailers are newer than many servers; bodies are covered by the signature, or by TLS.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  return {
    client,
    dropUnused: () => {
      for (const { freeSockets } of agents)
        for (const sockets of Object.values(freeSockets))
          for (const socket of sockets ?? []) socket.destroy();
    },
  };
}

function credentialsOf(connection: S3Connection) {
  const { credentials, accessKeyId, secretAccessKey = '', sign } = connection;
  if (sign !== undefined) return signedElsewhere(connection, sign);
  if (credentials === undefined) return accessKeyId ? { credentials: { accessKeyId, secretAccessKey } } : {};
  // The SDK asks again for what is about to be over, and so before each request.
  return { credentials: async () => ({ ...(await credentials()), expiration: new Date(0) }) };
}
