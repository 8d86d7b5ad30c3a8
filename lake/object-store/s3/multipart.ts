import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { hasCode } from '../../base/errors.ts';
import { localFileError } from '../local-file.ts';
import type { ObjectInfo, WriteOptions } from '../object-store.ts';
import { abortable, addressOf, type Bucket, bareEtag, head, type ObjectHead, writeIdName } from './bucket.ts';
import { nameOf, s3Error, statusOf } from './s3-errors.ts';
import { type Body, sendBody } from './send-body.ts';
import { inOrder, loadUnfinished, printUnfinished, type Subject, type Unfinished } from './unfinished.ts';

/** S3's limit. */
const partsMax = 10_000;

/** What is held of a file at once, for each part under way. */
const chunkBytes = 128 * 1024;

interface LocalFile {
  readonly file: FileHandle;
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedNs: string;
}

/**
 * Puts a file in parts, a few at once. When it fails, the parts that are there are thrown away, or kept if the upload can
 * be resumed. Which parts are there is known from the answers to them: it takes no permission to list them.
 */
export async function putParts(
  bucket: Bucket,
  key: string,
  source: LocalFile,
  options: WriteOptions,
): Promise<ObjectInfo> {
  const { resume } = options;
  const subject = {
    place: `${bucket.place} ${bucket.name} ${bucket.prefix}${key}`,
    sizeBytes: source.sizeBytes,
    modifiedNs: source.modifiedNs,
  };
  const saved = loadUnfinished(resume, subject);
  if (saved?.mine) {
    try {
      return await finish(bucket, key, source, subject, saved.upload, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!isBeyondResuming(error)) throw error;
    }
  }
  if (saved !== undefined) {
    await throwAway(bucket, key, saved.upload.uploadId);
    await resume?.save(undefined);
  }
  const upload = await begin(bucket, key, source.sizeBytes, options);
  try {
    await resume?.save(printUnfinished(upload, subject));
    return await finish(bucket, key, source, subject, upload, options);
  } catch (error) {
    if (resume === undefined) await throwAway(bucket, key, upload.uploadId);
    throw error;
  }
}

async function begin(
  bucket: Bucket,
  key: string,
  sizeBytes: number,
  { contentType }: WriteOptions,
): Promise<Unfinished> {
  const writeId = randomUUID();
  // Not aborted half-way: an upload whose id is not known could not be thrown away.
  const { UploadId } = await bucket.client.send(
    new CreateMultipartUploadCommand({
      ...addressOf(bucket, key),
      ...(contentType === undefined ? {} : { ContentType: contentType }),
      Metadata: { [writeIdName]: writeId },
    }),
  );
  if (UploadId === undefined) throw new Error('the answer has no upload id');
  const partBytes = Math.max(bucket.limits.partBytes, Math.ceil(sizeBytes / partsMax));
  const etags = Array<null>(Math.ceil(sizeBytes / partBytes)).fill(null);
  return { uploadId: UploadId, writeId, partBytes, etags };
}

/** Sends what is missing and puts the object together. */
async function finish(
  bucket: Bucket,
  key: string,
  source: LocalFile,
  subject: Subject,
  upload: Unfinished,
  options: WriteOptions,
): Promise<ObjectInfo> {
  const { resume, signal } = options;
  const save = inOrder((state) => resume?.save(state));
  await sendParts(bucket, key, source, upload, options, () => save(printUnfinished(upload, subject)));
  const Parts = upload.etags.map(
    (ETag, index): CompletedPart => ({ PartNumber: index + 1, ETag: ETag ?? '' }),
  );
  let etag: string;
  try {
    const answer = await bucket.client.send(
      new CompleteMultipartUploadCommand({
        ...addressOf(bucket, key),
        UploadId: upload.uploadId,
        MultipartUpload: { Parts },
      }),
      abortable(signal),
    );
    // Some servers leave the etag out of this answer.
    etag = bareEtag(answer.ETag) || ((await headIfAllowed(bucket, key, signal))?.etag ?? '');
  } catch (error) {
    // No such upload: an earlier try, whose reply was lost, may have completed it.
    const done = statusOf(error) === 404 ? await headIfAllowed(bucket, key, signal) : undefined;
    if (done?.metadata[writeIdName] !== upload.writeId) throw error;
    etag = done.etag;
  }
  await resume?.save(undefined);
  return { key, etag, sizeBytes: source.sizeBytes };
}

/** Undefined when the object is not there, or when the credentials are only good for writing. */
async function headIfAllowed(
  bucket: Bucket,
  key: string,
  signal: AbortSignal | undefined,
): Promise<ObjectHead | undefined> {
  try {
    return await head(bucket, key, signal);
  } catch (error) {
    const failure = s3Error('head', key, error);
    if (hasCode(failure, 'not-found') || hasCode(failure, 'denied')) return undefined;
    throw error;
  }
}

/** The server has lost the upload, or its parts are not what we believe: only a new one can succeed. */
const isBeyondResuming = (error: unknown): boolean =>
  ['NoSuchUpload', 'InvalidPart', 'InvalidPartOrder', 'EntityTooSmall'].includes(nameOf(error)) ||
  (statusOf(error) === 404 && nameOf(error) !== 'NoSuchBucket');

/**
 * What is left if this fails costs room until the bucket's rule for unfinished uploads removes it. Whoever calls has
 * something more important to say or to do.
 */
async function throwAway(bucket: Bucket, key: string, UploadId: string): Promise<void> {
  const command = new AbortMultipartUploadCommand({ ...addressOf(bucket, key), UploadId });
  await bucket.client.send(command).catch(() => undefined);
}

/** Sends the parts that have no etag yet; calls `onPart` after each. */
async function sendParts(
  bucket: Bucket,
  key: string,
  source: LocalFile,
  upload: Unfinished,
  options: WriteOptions,
  onPart: () => Promise<void>,
): Promise<void> {
  const { uploadId: UploadId, partBytes, etags } = upload;
  const missing = etags.flatMap((etag, index) => (etag === null ? [index] : []));
  const failed = new AbortController();
  const stop =
    options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);

  const sendPart = async (index: number): Promise<void> => {
    const startByte = index * partBytes;
    const body = fileBody(source, startByte, Math.min(startByte + partBytes, source.sizeBytes));
    const PartNumber = index + 1;
    const command = new UploadPartCommand({ ...addressOf(bucket, key), UploadId, PartNumber });
    const { ETag } = await sendBody(command, body, { ...options, signal: stop }, (how) =>
      bucket.client.send(command, how),
    );
    if (ETag === undefined) throw new Error(`the answer to part ${PartNumber} has no etag`);
    etags[index] = ETag;
    await onPart();
  };

  const lanes = Array.from({ length: bucket.limits.partsInFlightMax }, async () => {
    try {
      for (let index = missing.shift(); index !== undefined && !stop.aborted; index = missing.shift())
        await sendPart(index);
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
  // All have ended before the upload is thrown away: a part that arrives later would be left behind.
  await Promise.allSettled(lanes);
  stop.throwIfAborted();
}

/** Bytes [startByte, endByte) of a file. */
export function fileBody({ file, path }: LocalFile, startByte: number, endByte: number): Body {
  return {
    sizeBytes: endByte - startByte,
    chunks: async function* () {
      const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, endByte - startByte));
      for (let at = startByte; at < endByte; ) {
        const wanted = Math.min(chunk.byteLength, endByte - at);
        const { bytesRead } = await file.read(chunk, 0, wanted, at).catch((error: unknown) => {
          throw localFileError('put file', path, error);
        });
        if (bytesRead === 0)
          throw localFileError('put file', path, new Error('it became shorter while it was read'));
        yield chunk.subarray(0, bytesRead);
        at += bytesRead;
      }
    },
  };
}
