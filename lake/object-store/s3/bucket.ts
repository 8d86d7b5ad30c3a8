import {
  DeleteObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  type ListObjectsV2CommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { Clock } from '../../base/clock.ts';
import { hasCode } from '../../base/errors.ts';
import type { ObjectInfo } from '../object-store.ts';
import type { S3Limits } from './connection.ts';
import { s3Error } from './s3-errors.ts';

/** Keys in one answer to a listing. S3 allows no more. */
const listPageMax = 1000;

/** Metadata of an object: which write made it (see upload.ts). */
export const writeIdName = 'firn-write';

export interface Bucket {
  readonly client: S3Client;
  readonly limits: S3Limits;
  readonly clock: Clock;
  /** The service's URL, '' for AWS. */
  readonly place: string;
  readonly name: string;
  /** Before every key: '' or ending in `/`. */
  readonly prefix: string;
}

/** What a request names its object by. */
export const addressOf = (bucket: Bucket, key: string) => ({ Bucket: bucket.name, Key: bucket.prefix + key });

/** For `send`. */
export const abortable = (signal: AbortSignal | undefined) =>
  signal === undefined ? {} : { abortSignal: signal };

/** Runs `work`; what it throws becomes a FirnError, or the signal's reason once it is aborted. */
export async function call<T>(
  operation: string,
  key: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  try {
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    throw s3Error(operation, key, error);
  }
}

/** The port's etags are without quotes, and so `IfMatch` must be: some servers compare the quotes too. */
export const bareEtag = (etag: string | undefined): string => (etag ?? '').replace(/^"(.*)"$/, '$1');

export interface ObjectHead extends ObjectInfo {
  readonly metadata: Readonly<Record<string, string>>;
}

export async function head(bucket: Bucket, key: string, signal?: AbortSignal): Promise<ObjectHead> {
  const answer = await bucket.client.send(new HeadObjectCommand(addressOf(bucket, key)), abortable(signal));
  return {
    key,
    etag: bareEtag(answer.ETag),
    sizeBytes: answer.ContentLength ?? 0,
    metadata: answer.Metadata ?? {},
  };
}

export async function remove(bucket: Bucket, key: string, signal?: AbortSignal): Promise<void> {
  try {
    await bucket.client.send(new DeleteObjectCommand(addressOf(bucket, key)), abortable(signal));
  } catch (error) {
    // S3 itself answers 204; others say that it was not there.
    if (!hasCode(s3Error('delete', key, error), 'not-found')) throw error;
  }
}

export async function* listObjects(
  bucket: Bucket,
  prefix: string,
  after: string | undefined,
  limit: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  if (limit <= 0) return;
  let left = limit;
  const start = after ? { StartAfter: bucket.prefix + after } : {};
  const pages = listPages(
    bucket,
    'list',
    prefix,
    { ...start, MaxKeys: Math.min(limit, listPageMax) },
    signal,
  );
  for await (const { Contents = [] } of pages) {
    for (const { Key = '', ETag, Size = 0 } of Contents) {
      // Consoles mark empty folders with objects that end in a slash; no key of ours does.
      if (Key.endsWith('/')) continue;
      yield { key: Key.slice(bucket.prefix.length), etag: bareEtag(ETag), sizeBytes: Size };
      if (--left <= 0) return;
    }
  }
}

export async function* listFolders(
  bucket: Bucket,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<string> {
  const begin = bucket.prefix.length + prefix.length;
  for await (const page of listPages(bucket, 'list folders', prefix, { Delimiter: '/' }, signal))
    for (const { Prefix = '' } of page.CommonPrefixes ?? []) yield Prefix.slice(begin, -1);
}

async function* listPages(
  bucket: Bucket,
  operation: string,
  prefix: string,
  input: Omit<ListObjectsV2CommandInput, 'Bucket'>,
  signal: AbortSignal | undefined,
): AsyncGenerator<ListObjectsV2CommandOutput> {
  let token: string | undefined;
  do {
    const page: ListObjectsV2CommandOutput = await call(operation, prefix, signal, () =>
      bucket.client.send(
        new ListObjectsV2Command({
          ...input,
          Bucket: bucket.name,
          Prefix: bucket.prefix + prefix,
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
        abortable(signal),
      ),
    );
    yield page;
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
}
