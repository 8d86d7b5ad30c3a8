import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import type { WriteOptions } from '../object-store.ts';

// Bodies are not given to the SDK, which would have them in memory as a whole, per part and per try. It gets their size and
// their hash, signs and repeats the request as if it had no body, and the body joins at the last moment, from the file.

/** Small enough that also 400 bytes a second move within the 20 s of silence after which servers hang up. */
const pieceBytes = 8 * 1024;

export interface Body {
  readonly sizeBytes: number;
  /** From the start, each time. What is yielded is good until the next is asked for. */
  chunks(): AsyncIterable<Uint8Array>;
}

export const bodyOf = (bytes: Uint8Array): Body => ({
  sizeBytes: bytes.byteLength,
  chunks: async function* () {
    yield bytes;
  },
});

/** Sends a command without a body of its own with this one, at the pace that is asked for. */
export async function sendBody<T>(
  command: PutObjectCommand | UploadPartCommand,
  body: Body,
  { pace, signal }: WriteOptions,
  send: (options: { readonly abortSignal: AbortSignal }) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const stop = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
  const wait = async (sentBytes: number): Promise<void> => {
    const bytes = Math.min(pieceBytes, body.sizeBytes - sentBytes);
    await pace?.(bytes, stop, { sentBytes, totalBytes: body.sizeBytes });
  };
  const sha256 = await hash(body, stop);

  // Both commands' stacks take middleware that looks at nothing but the request.
  const { middlewareStack } = command as PutObjectCommand;
  middlewareStack.addRelativeTo(
    <A extends { request?: unknown }, R>(next: (args: A) => Promise<R>) =>
      async (args: A) => {
        // A signature is good for 15 minutes, and the first wait may be longer.
        await wait(0);
        const { headers } = args.request as { readonly headers: Record<string, string> };
        headers['content-length'] = String(body.sizeBytes);
        headers['x-amz-content-sha256'] = sha256;
        return await next(args);
      },
    { relation: 'before', toMiddleware: 'httpSigningMiddleware', name: 'firnDescribeBody' },
  );
  middlewareStack.add(
    (next) => async (args) => {
      const broken = Promise.withResolvers<never>();
      const pieces = pace === undefined ? body.chunks() : piecesOf(body, wait);
      const request = { ...(args.request as object), body: pipeOnly(pieces, broken.reject) };
      return await Promise.race([next({ ...args, request }), broken.promise]);
    },
    { step: 'deserialize', priority: 'low', name: 'firnSendBody' },
  );
  try {
    return await send({ abortSignal: stop });
  } finally {
    // Ends a request that was answered before all of its body was sent; else its connection would wait for the rest.
    ended.abort();
  }
}

/**
 * What the SDK's HTTP handler takes for a stream. It calls nothing but `pipe`, and this `pipe` hands over a piece only
 * when the one before it has left, so that one buffer serves them all.
 */
function pipeOnly(pieces: AsyncIterable<Uint8Array>, fail: (error: unknown) => void): Readable {
  const stream = new Readable();
  stream.pipe = (target) => {
    writeAll(target, pieces).catch(fail);
    return target;
  };
  return stream;
}

async function writeAll(target: NodeJS.WritableStream, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  let closed = false;
  const closing = new Promise<void>((resolve) => {
    target.once('close', () => {
      closed = true;
      resolve();
    });
  });
  for await (const piece of pieces) {
    // Why a request fails is for the handler to say; here it only ends the writing.
    const left = new Promise<void>((resolve) => target.write(piece, () => resolve()));
    await Promise.race([left, closing]);
    if (closed) return;
  }
  target.end();
}

async function hash(body: Body, stop: AbortSignal): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of body.chunks()) {
    stop.throwIfAborted();
    digest.update(chunk);
  }
  return digest.digest('hex');
}

async function* piecesOf(body: Body, wait: (sentBytes: number) => Promise<void>): AsyncGenerator<Uint8Array> {
  let sent = 0;
  for await (const chunk of body.chunks()) {
    for (let start = 0; start < chunk.byteLength; start += pieceBytes) {
      const piece = chunk.subarray(start, start + pieceBytes);
      if (sent > 0) await wait(sent);
      yield piece;
      sent += piece.byteLength;
    }
  }
}
