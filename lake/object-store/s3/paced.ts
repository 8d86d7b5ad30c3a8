import { Readable } from 'node:stream';
import type { PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import type { WriteOptions } from '../object-store.ts';
import { abortable } from './bucket.ts';

/** Small enough that also 400 bytes a second move within the 20 s of silence after which servers hang up. */
const pieceBytes = 8 * 1024;

/**
 * Sends a command so that its body goes out piece by piece, as `pace` lets it. The SDK signs and repeats the body that it
 * was given; only what is written to the connection is a stream.
 */
export async function sendPaced<T>(
  command: PutObjectCommand | UploadPartCommand,
  bodyBytes: number,
  { pace, signal }: WriteOptions,
  send: (options: { readonly abortSignal?: AbortSignal }) => Promise<T>,
): Promise<T> {
  if (pace === undefined) return await send(abortable(signal));
  const ended = new AbortController();
  const stop = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
  const wait = (sentBytes: number) =>
    pace(Math.min(pieceBytes, bodyBytes - sentBytes), stop, { sentBytes, totalBytes: bodyBytes });

  // Both commands' stacks take middleware that looks at nothing but the request.
  const { middlewareStack } = command as PutObjectCommand;
  // A signature is good for 15 minutes, and the first wait may be longer.
  middlewareStack.addRelativeTo(
    <A, R>(next: (args: A) => Promise<R>) =>
      async (args: A) => {
        await wait(0);
        return await next(args);
      },
    { relation: 'before', toMiddleware: 'httpSigningMiddleware', name: 'firnPaceFirst' },
  );
  middlewareStack.add(
    (next) => async (args) => {
      const request = args.request as { readonly body: Uint8Array };
      const body = Readable.from(piecesOf(request.body, wait));
      const broken = new Promise<never>((_, reject) => body.once('error', reject));
      try {
        return await Promise.race([next({ ...args, request: { ...request, body } }), broken]);
      } finally {
        body.destroy();
      }
    },
    { step: 'deserialize', priority: 'low', name: 'firnPace' },
  );
  try {
    return await send({ abortSignal: stop });
  } finally {
    // Ends a request that was answered before all of its body was sent; else its connection would wait for the rest.
    ended.abort();
  }
}

async function* piecesOf(
  body: Uint8Array,
  wait: (sentBytes: number) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < body.byteLength; sent += pieceBytes) {
    if (sent > 0) await wait(sent);
    yield body.subarray(sent, sent + pieceBytes);
  }
}
