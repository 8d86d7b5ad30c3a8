import { Readable } from 'node:stream';
import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { FirnError, hasCode } from '../../base/errors.ts';
import { backoffMs } from '../../base/retry.ts';
import { bodyBytesMax, checkBodySize, checkRange } from '../body.ts';
import { localFileError, openLocalFile } from '../local-file.ts';
import type { StoredObject } from '../object-store.ts';
import { abortable, addressOf, type Bucket, bareEtag } from './bucket.ts';
import { s3Error } from './s3-errors.ts';

// The SDK repeats requests, but not answers that break off in the middle of their body: those are repeated here.

const retryWaits = { retryMinMs: 100, retryMaxMs: 2_000 };

export interface Downloads {
  get(key: string, signal?: AbortSignal): Promise<StoredObject>;
  getRange(key: string, startByte: number, endByte: number, signal?: AbortSignal): Promise<Uint8Array>;
  getFile(key: string, path: string, signal?: AbortSignal): Promise<number>;
}

export function createDownloads(bucket: Bucket): Downloads {
  const { client, clock, limits } = bucket;

  /** Asks for the object and hands its body to `consume`, again from the start when it breaks off. */
  async function download<T>(
    operation: string,
    key: string,
    range: { readonly Range?: string },
    signal: AbortSignal | undefined,
    consume: (answer: Answer) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const output = await client.send(
        new GetObjectCommand({ ...addressOf(bucket, key), ...range }),
        abortable(signal),
      );
      const answer = answerOf(output);
      try {
        return await consume(answer);
      } catch (error) {
        const final = error instanceof FirnError || !hasCode(s3Error(operation, key, error), 'unavailable');
        if (final || attempt >= limits.downloadAttemptsMax || signal?.aborted) throw error;
        await clock.sleep(backoffMs(attempt, retryWaits, Math.random()), signal);
      } finally {
        answer.body.destroy();
      }
    }
  }

  return {
    get: (key, signal) =>
      download('get', key, {}, signal, async (answer) => {
        checkBodySize('get', key, answer.sizeBytes, bodyBytesMax);
        return { key, etag: answer.etag, sizeBytes: answer.sizeBytes, body: await readWhole(answer) };
      }),
    getRange: async (key, startByte, endByte, signal) => {
      checkRange(key, startByte, endByte);
      const Range = `bytes=${startByte}-${endByte - 1}`;
      return await download('get range', key, { Range }, signal, async (answer) => {
        checkBodySize('get range', key, answer.sizeBytes, bodyBytesMax);
        return await readWhole(answer);
      });
    },
    getFile: (key, path, signal) =>
      download('get file', key, {}, signal, async (answer) => {
        await using file = await openLocalFile('get file', path, 'w');
        let done = 0;
        for await (const chunk of answer.body) {
          await file.writeFile(chunk).catch((error: unknown) => {
            throw localFileError('get file', path, error);
          });
          done += chunk.byteLength;
        }
        checkWhole(answer, done);
        return done;
      }),
  };
}

interface Answer {
  readonly etag: string;
  /** Of the body that follows: the object, or its range. */
  readonly sizeBytes: number;
  readonly body: Readable;
}

function answerOf({ Body, ETag, ContentLength }: GetObjectCommandOutput): Answer {
  if (!(Body instanceof Readable) || ContentLength === undefined)
    throw new Error('the answer has no body, or no length');
  return { etag: bareEtag(ETag), sizeBytes: ContentLength, body: Body };
}

async function readWhole(answer: Answer): Promise<Uint8Array> {
  const bytes = Buffer.concat(await answer.body.toArray());
  checkWhole(answer, bytes.byteLength);
  return bytes;
}

function checkWhole({ sizeBytes }: Answer, done: number): void {
  if (done !== sizeBytes) throw new Error(`the answer broke off after ${done} of ${sizeBytes} bytes`);
}
