import { S3Client } from '@aws-sdk/client-s3';

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
}

export interface S3Limits {
  /** Tries of one request, with growing waits between them. */
  readonly requestAttemptsMax: number;
  /** Until a connection stands. */
  readonly connectMsMax: number;
  /** A connection on which nothing moves for so long is given up; a slow one that moves is not. */
  readonly idleMsMax: number;
  /** Tries of a download that breaks off in the middle of its body. */
  readonly downloadAttemptsMax: number;
  /** Files larger than this are put in parts of this size (larger ones where a file would have more than 10 000). */
  readonly partBytes: number;
  /** Parts under way at once; each is held in memory. */
  readonly partsInFlightMax: number;
}

export const defaultS3Limits: S3Limits = {
  requestAttemptsMax: 4,
  connectMsMax: 10_000,
  idleMsMax: 30_000,
  downloadAttemptsMax: 3,
  partBytes: 8 * 1024 * 1024,
  partsInFlightMax: 2,
};

export function connect(connection: S3Connection, limits: S3Limits): S3Client {
  const { endpoint, region, pathStyle, accessKeyId, secretAccessKey } = connection;
  return new S3Client({
    region,
    forcePathStyle: pathStyle,
    ...(endpoint ? { endpoint } : {}),
    ...(accessKeyId ? { credentials: { accessKeyId, secretAccessKey: secretAccessKey ?? '' } } : {}),
    maxAttempts: limits.requestAttemptsMax,
    requestHandler: { connectionTimeout: limits.connectMsMax, socketTimeout: limits.idleMsMax },
    // Otherwise every large part waits for a "100 Continue", over a connection of its own.
    expectContinueHeader: false,
    // Checksum trailers are newer than many servers; bodies are covered by the signature, or by TLS.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}
