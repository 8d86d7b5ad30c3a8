import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { localFileError } from '../local-file.ts';
import type { ObjectInfo, WriteOptions } from '../object-store.ts';
import { abortable, addressOf, type Bucket, bareEtag, head, writeIdName } from './bucket.ts';
import { statusOf } from './s3-errors.ts';

/** S3's limit. */
const partsMax = 10_000;

interface LocalFile {
  readonly file: FileHandle;
  readonly path: string;
  readonly size: number;
}

/** Puts a file in parts, a few at once. When it fails, the parts that are there are thrown away. */
export async function putParts(
  bucket: Bucket,
  key: string,
  source: LocalFile,
  { contentType, signal }: WriteOptions,
): Promise<ObjectInfo> {
  const { client } = bucket;
  const address = addressOf(bucket, key);
  const writeId = randomUUID();
  // Not aborted half-way: an upload whose id is not known could not be thrown away.
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({
      ...address,
      ...(contentType === undefined ? {} : { ContentType: contentType }),
      Metadata: { [writeIdName]: writeId },
    }),
  );
  if (UploadId === undefined) throw new Error('the answer has no upload id');
  try {
    const Parts = await sendParts(bucket, key, UploadId, source, signal);
    const answer = await client.send(
      new CompleteMultipartUploadCommand({ ...address, UploadId, MultipartUpload: { Parts } }),
      abortable(signal),
    );
    // Some servers leave the etag out of this answer.
    const etag = bareEtag(answer.ETag) || (await head(bucket, key, signal)).etag;
    return { key, etag, sizeBytes: source.size };
  } catch (error) {
    // No such upload: an earlier try, whose reply was lost, may have completed it.
    const done = statusOf(error) === 404 ? await head(bucket, key, signal) : undefined;
    if (done?.metadata[writeIdName] === writeId) return { key, etag: done.etag, sizeBytes: done.sizeBytes };
    // What is left if this fails too costs room until the bucket's rule for unfinished uploads removes it; the caller
    // has to see the first error.
    await client.send(new AbortMultipartUploadCommand({ ...address, UploadId })).catch(() => undefined);
    throw error;
  }
}

async function sendParts(
  bucket: Bucket,
  key: string,
  UploadId: string,
  source: LocalFile,
  signal: AbortSignal | undefined,
): Promise<CompletedPart[]> {
  const { partBytes: partBytesWanted, partsInFlightMax } = bucket.limits;
  const partBytes = Math.max(partBytesWanted, Math.ceil(source.size / partsMax));
  const partCount = Math.ceil(source.size / partBytes);
  const parts: CompletedPart[] = [];
  const failed = new AbortController();
  const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);

  const sendPart = async (index: number): Promise<void> => {
    const startByte = index * partBytes;
    const Body = await readPart(source, startByte, Math.min(startByte + partBytes, source.size));
    const PartNumber = index + 1;
    const { ETag } = await bucket.client.send(
      new UploadPartCommand({ ...addressOf(bucket, key), UploadId, PartNumber, Body }),
      { abortSignal: stop },
    );
    if (ETag === undefined) throw new Error(`the answer to part ${PartNumber} has no etag`);
    parts[index] = { PartNumber, ETag };
  };

  let next = 0;
  const lanes = Array.from({ length: Math.min(partsInFlightMax, partCount) }, async () => {
    try {
      while (next < partCount && !stop.aborted) await sendPart(next++);
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
  // All have ended before the upload is thrown away: a part that arrives later would be left behind.
  await Promise.allSettled(lanes);
  stop.throwIfAborted();
  return parts;
}

async function readPart(source: LocalFile, startByte: number, endByte: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafe(endByte - startByte);
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesRead } = await source.file
      .read(bytes, done, bytes.byteLength - done, startByte + done)
      .catch((error: unknown) => {
        throw localFileError('put file', source.path, error);
      });
    if (bytesRead === 0)
      throw localFileError('put file', source.path, new Error('it became shorter while it was read'));
    done += bytesRead;
  }
  return bytes;
}
