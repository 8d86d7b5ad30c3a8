import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { SqlError } from '../sql/errors.ts';
import { createAnswerReader, jsonFrame } from './frames.ts';
import type { StatementHead } from './messages.ts';

// The client's side of the engine's sockets.

/** What is read at once. Unix sockets hold less. */
const readBytes = 262_144;

/** Memory that closed sockets have read into. Making it for each is dear: it is large, and no garbage of JavaScript's. */
const spare: Buffer[] = [];
const spareMax = 8;

/** Connects, and gives what comes to `take`, in memory that is read into again: `take` says whether to read on at once. */
export async function connectEngine(path: string, take: (bytes: Uint8Array) => boolean): Promise<Socket> {
  const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(readBytes);
  let isFree = true;
  const callback = (bytes: number): boolean => {
    isFree = take(buffer.subarray(0, bytes));
    return isFree;
  };
  const socket = connect({ path, onread: { buffer, callback } });
  socket.once('close', () => {
    if (isFree && spare.length < spareMax) spare.push(buffer);
  });
  await once(socket, 'connect');
  return socket;
}

/** Pieces of an answer that may wait for their reader. */
const piecesMax = 4;

/** Asks one statement. `done` is called when nothing more is to come of an answer that has begun. */
export async function askStatement(
  path: string,
  head: StatementHead,
  { sql, type, signal }: { readonly sql: string; readonly type: string; readonly signal: AbortSignal },
  done: () => void,
): Promise<Response> {
  const { promise: answer, resolve, reject } = Promise.withResolvers<Response>();
  let body: ReadableStreamDefaultController<Uint8Array> | undefined;
  let isComplete = false;
  const read = createAnswerReader({
    head: ({ status, contentType }) => {
      const stream = new ReadableStream<Uint8Array>(
        {
          start: (controller) => {
            body = controller;
          },
          pull: () => void socket.resume(),
          cancel: () => void socket.destroy(),
        },
        { highWaterMark: piecesMax },
      );
      resolve(new Response(stream, { status, headers: { 'content-type': contentType } }));
    },
    body: (bytes) => body?.enqueue(Buffer.from(bytes)),
    end: () => {
      isComplete = true;
      body?.close();
      socket.destroy();
    },
  });
  const socket = await connectEngine(path, (bytes) => {
    read(bytes);
    return (body?.desiredSize ?? 1) > 0;
  });
  const abort = (): void => void socket.destroy();
  signal.addEventListener('abort', abort);
  socket.on('error', () => undefined); // `close` follows.
  socket.once('close', () => {
    signal.removeEventListener('abort', abort);
    const error = signal.aborted ? signal.reason : crashed();
    if (!body) return reject(error);
    // A reader that has left has closed it already.
    if (!isComplete && body.desiredSize !== null) body.error(error);
    done();
  });
  if (signal.aborted) abort();
  socket.write(jsonFrame({ ...head, sql, type }));
  return answer;
}

const crashed = (): SqlError =>
  new SqlError('57P02', 'the SQL engine of this database has crashed', {
    hint: 'Ask again: it is started anew. A statement that ended it before will again.',
  });
