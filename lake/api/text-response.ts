import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { constants, createGzip, gzip, gzipSync } from 'node:zlib';
import type { Context, MiddlewareHandler } from 'hono';
import { accepts } from 'hono/accepts';
import { compress } from 'hono/compress';
import { bytePieces } from '../base/byte-pieces.ts';

type Headers = Readonly<Record<string, string>>;

type Bytes = Uint8Array<ArrayBuffer>;

/** What a response was made of, so that compressing it need not read it. */
interface Made {
  /** Of a large one its pieces; they can be taken once. */
  readonly body: Bytes | AsyncIterable<Bytes>;
  readonly headers: Headers;
}

const made = new WeakMap<Response, Made>();

/** An answer of text in pieces: a small one is made at once, the pieces of others as the client takes them. */
export function textResponse(texts: Iterable<string>, headers: Headers): Response {
  const pieces = bytePieces(texts);
  const [first, second] = [pieces.next(), pieces.next()];
  return responseOf(first, second, inTurns(pieces), headers);
}

/** The same of bytes that are made elsewhere. Throws what making the first pieces throws. */
export async function bytesResponse(pieces: AsyncIterable<Bytes>, headers: Headers): Promise<Response> {
  const rest = pieces[Symbol.asyncIterator]();
  const [first, second] = [await rest.next(), await rest.next()];
  return responseOf(first, second, rest, headers);
}

function responseOf(
  first: IteratorResult<Bytes>,
  second: IteratorResult<Bytes>,
  rest: AsyncIterator<Bytes>,
  headers: Headers,
): Response {
  // Most answers are one piece, which needs no stream.
  const body = first.done ? noBytes : second.done ? first.value : joined([first.value, second.value], rest);
  const response = new Response(body instanceof Uint8Array ? body : streamOf(body), { headers });
  made.set(response, { body, headers });
  return response;
}

const noBytes = new Uint8Array();

/** Whoever else the thread serves has its turn between two pieces. */
async function* inTurns(pieces: Iterable<Bytes>): AsyncGenerator<Bytes> {
  for (const piece of pieces) {
    yield piece;
    await setImmediate();
  }
}

async function* joined(pieces: readonly Bytes[], rest: AsyncIterator<Bytes>): AsyncGenerator<Bytes> {
  try {
    yield* pieces;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

function streamOf(pieces: AsyncIterable<Bytes>): ReadableStream<Bytes> {
  const iterator = pieces[Symbol.asyncIterator]();
  const pull = async (controller: ReadableStreamDefaultController<Bytes>): Promise<void> => {
    const { done, value } = await iterator.next();
    if (done) controller.close();
    else controller.enqueue(value);
  };
  // Nothing is made before it is asked for: it may be compressed instead.
  const cancel = async (): Promise<void> => void (await iterator.return?.());
  return new ReadableStream<Bytes>({ pull, cancel }, { highWaterMark: 0 });
}

/** A shorter text is sent as it is. */
const compressedBytesMin = 1024;
/** Twice as fast as zlib's own choice; answers, which are a tenth of their text, become a fifth larger by it. */
const level = constants.Z_BEST_SPEED;

/** Compresses answers for clients that take gzip: those of `textResponse` and `bytesResponse` without reading them first. */
export function gzipAnswers(): MiddlewareHandler {
  const others = compress({ encoding: 'gzip' });
  return async (c, next) => {
    await next();
    const answer = made.get(c.res);
    if (answer === undefined) return others(c, async () => undefined);
    const { body, headers } = answer;
    if (body instanceof Uint8Array && body.length < compressedBytesMin) return;
    if (!takesGzip(c)) return c.header('vary', 'Accept-Encoding');
    const compressed = await gzipped(body);
    // Without an answer before it, the new one is taken as it is.
    c.res = undefined;
    c.res = new Response(compressed, {
      headers: { ...headers, 'content-encoding': 'gzip', vary: 'Accept-Encoding' },
    });
  };
}

const takesGzip = (c: Context): boolean =>
  accepts(c, {
    ...{ header: 'Accept-Encoding', supports: ['gzip'], default: '' },
    match: (offers) => {
      const offer = offers.find(({ type }) => type === 'gzip') ?? offers.find(({ type }) => type === '*');
      return offer !== undefined && offer.q > 0 ? 'gzip' : '';
    },
  }) === 'gzip';

/** Smaller than so many bytes, an answer is compressed in one call on another thread: streams take as long again. */
const wholeBytesMax = 1024 * 1024;
const gzipOnThread = promisify(gzip);

async function gzipped(body: Made['body']): Promise<Bytes | ReadableStream> {
  if (body instanceof Uint8Array) return gzipSync(body, { level });
  const { pieces, rest } = await firstPieces(body, wholeBytesMax);
  if (rest === undefined) return new Uint8Array(await gzipOnThread(Buffer.concat(pieces), { level }));
  return Readable.toWeb(Readable.from(joined(pieces, rest)).compose(createGzip({ level }))) as ReadableStream;
}

/** Pieces up to so many bytes, and where the others come from; none when these were all. */
async function firstPieces(
  all: AsyncIterable<Bytes>,
  bytesMax: number,
): Promise<{ readonly pieces: readonly Bytes[]; readonly rest: AsyncIterator<Bytes> | undefined }> {
  const rest = all[Symbol.asyncIterator]();
  const pieces: Bytes[] = [];
  for (let bytes = 0; bytes < bytesMax; ) {
    const next = await rest.next();
    if (next.done) return { pieces, rest: undefined };
    pieces.push(next.value);
    bytes += next.value.length;
  }
  return { pieces, rest };
}
