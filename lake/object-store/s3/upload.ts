import { randomUUID } from 'node:crypto';
import { PutObjectCommand, type PutObjectCommandInput } from '@aws-sdk/client-s3';
import { FirnError, hasCode } from '../../base/errors.ts';
import { openLocalFile } from '../local-file.ts';
import type { ObjectInfo, WriteOptions } from '../object-store.ts';
import { addressOf, type Bucket, bareEtag, head, type ObjectHead, writeIdName } from './bucket.ts';
import { fileBody, putParts } from './multipart.ts';
import { attemptsOf, s3Error, statusOf } from './s3-errors.ts';
import { type Body, bodyOf, sendBody } from './send-body.ts';

// A write whose reply is lost is sent again by the SDK, and then meets its own first try: 412. Each therefore
// carries an id of its own in the object's metadata, by which a writer knows what is its own. (An etag would not do: two
// writers may write the same bytes, of whom one must lose; and with server-side encryption it is not the MD5.)

export interface Uploads {
  put(key: string, body: Uint8Array, options: WriteOptions): Promise<ObjectInfo>;
  putIfAbsent(key: string, body: Uint8Array, options: WriteOptions): Promise<ObjectInfo>;
  putIfMatch(key: string, body: Uint8Array, etag: string, options: WriteOptions): Promise<ObjectInfo>;
  putFile(key: string, path: string, options: WriteOptions): Promise<ObjectInfo>;
}

export function createUploads(bucket: Bucket): Uploads {
  const send = async (
    key: string,
    body: Body,
    options: WriteOptions,
    more: Partial<PutObjectCommandInput> = {},
  ): Promise<ObjectInfo> => {
    const { contentType } = options;
    const command = new PutObjectCommand({
      ...addressOf(bucket, key),
      ...(contentType === undefined ? {} : { ContentType: contentType }),
      ...more,
    });
    const answer = await sendBody(command, body, options, (how) => bucket.client.send(command, how));
    // Whatever else says 200 without it, a captive portal for one, has stored nothing.
    if (answer.ETag === undefined) throw noEtag(key);
    return { key, etag: bareEtag(answer.ETag), sizeBytes: body.sizeBytes };
  };

  async function sendIf(
    attempt: Conditional,
    body: Uint8Array,
    options: WriteOptions,
    condition: Partial<PutObjectCommandInput>,
  ): Promise<ObjectInfo> {
    const writeId = randomUUID();
    try {
      return await send(attempt.key, bodyOf(body), options, {
        ...condition,
        Metadata: { [writeIdName]: writeId },
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      return await settle(bucket, { ...attempt, writeId }, error, options.signal);
    }
  }

  return {
    put: (key, body, options) => send(key, bodyOf(body), options),
    putIfAbsent: (key, body, options) =>
      sendIf({ operation: 'put if absent', key }, body, options, { IfNoneMatch: '*' }),
    putIfMatch: (key, body, etag, options) =>
      sendIf({ operation: 'put if match', key, etag }, body, options, { IfMatch: etag }),
    putFile: async (key, path, options) => {
      await using file = await openLocalFile('put file', path, 'r');
      const { size, mtimeNs } = await file.stat({ bigint: true });
      const source = { file, path, sizeBytes: Number(size), modifiedNs: String(mtimeNs) };
      if (size > bucket.limits.partBytes) return await putParts(bucket, key, source, options);
      return await send(key, fileBody(source, 0, source.sizeBytes), options);
    },
  };
}

const noEtag = (key: string): FirnError =>
  new FirnError({
    code: 'unavailable',
    operation: 'put',
    subject: key,
    message: `can't put ${key}: the answer has no etag, so it is not an object store's`,
    hint: 'look what answers at store.endpoint',
    answered: true,
  });

interface Conditional {
  readonly operation: string;
  readonly key: string;
  /** Of a put-if-match. */
  readonly etag?: string;
}

/**
 * What became of a conditional write that failed. 412, 409 and 404 say that it was lost, unless it was sent more than
 * once. After anything else (a 5xx, a timeout) it may have taken effect, or lost: the object itself tells. Some servers
 * answer 500 to the losers of a race.
 */
async function settle(
  bucket: Bucket,
  attempt: Conditional & { readonly writeId: string },
  error: unknown,
  signal: AbortSignal | undefined,
): Promise<ObjectInfo> {
  const { operation, key, etag, writeId } = attempt;
  const failure = s3Error(operation, key, error);
  const refused = hasCode(failure, 'conflict') || hasCode(failure, 'not-found') || statusOf(error) === 409;
  if (!refused && !hasCode(failure, 'unavailable')) throw failure;
  if (hasCode(failure, 'unavailable') || attemptsOf(error) > 1) {
    const found = await headIfAny(bucket, key, signal);
    if (found?.metadata[writeIdName] === writeId)
      return { key, etag: found.etag, sizeBytes: found.sizeBytes };
    if (!refused && found?.etag === etag) throw failure;
  }
  throw new FirnError({
    code: 'conflict',
    operation,
    subject: key,
    message: `can't ${operation} ${key}: it ${etag === undefined ? 'exists' : 'was replaced or deleted'}`,
    hint: 'read it again and decide',
    cause: error,
  });
}

async function headIfAny(bucket: Bucket, key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
  try {
    return await head(bucket, key, signal);
  } catch (error) {
    if (hasCode(s3Error('head', key, error), 'not-found')) return undefined;
    throw error;
  }
}
